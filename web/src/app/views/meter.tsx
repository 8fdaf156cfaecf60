import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { type Call, type Quality, QualityMeter } from '../../client';
import { duration } from '../model/time';

const BARS: Record<Quality, number> = { poor: 1, fair: 2, good: 3, excellent: 4 };

/** How long the call lasts and how well it goes; neither is announced, both can be read. */
export function Meter({ call, since }: { call: Call; since: number }) {
  const seconds = useSignal((Date.now() - since) / 1000);
  const quality = useSignal<Quality>('excellent');
  useEffect(() => {
    const meter = new QualityMeter();
    const timer = setInterval(async () => {
      seconds.value = (Date.now() - since) / 1000;
      const stats = await call.getStats();
      if (stats !== null) quality.value = meter.read(stats);
    }, 1000);
    return () => clearInterval(timer);
  }, [call, since]);
  return (
    <>
      <span role="timer">{duration(seconds.value)}</span>
      <span class={`quality ${quality.value}`}>
        <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
          {[1, 2, 3, 4].map((bar) => (
            <path
              key={bar}
              class={bar <= BARS[quality.value] ? 'lit' : ''}
              d={`M${bar * 5 - 0.5} 20v-${bar * 4}`}
            />
          ))}
        </svg>
        <span class="words">Connection {quality.value}</span>
      </span>
    </>
  );
}
