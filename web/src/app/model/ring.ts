import { effect } from '@preact/signals';
import { call, callVersion } from './call';

interface Tone {
  /** Seconds after the beginning of the pattern. */
  readonly at: number;
  readonly length: number;
  readonly hertz: readonly number[];
}

interface Pattern {
  readonly tones: readonly Tone[];
  /** Seconds until it begins again. */
  readonly period: number;
  readonly volume: number;
  /** As `navigator.vibrate` takes it. */
  readonly vibration: readonly number[];
}

const RING: Pattern = {
  tones: [
    { at: 0, length: 0.5, hertz: [659.3, 1318.5] },
    { at: 0.22, length: 0.5, hertz: [784, 1568] },
    { at: 0.44, length: 1, hertz: [987.8, 1975.5] },
  ],
  period: 2.4,
  volume: 0.08,
  vibration: [300, 150, 300],
};
/** What the caller hears while it rings there. */
const RINGBACK: Pattern = {
  tones: [{ at: 0, length: 1.2, hertz: [425] }],
  period: 4,
  volume: 0.03,
  vibration: [],
};
const LOCK = 'video-call.ring';

/** Plays until the function that is returned is called. A browser that allows no sound yet plays none. */
function play({ tones, period, volume, vibration }: Pattern): () => void {
  const context = new AudioContext();
  let timer = 0;
  let silence = () => {};
  const silenced = new Promise<void>((resolve) => {
    silence = resolve;
  });
  const round = () => {
    for (const tone of tones) sound(context, tone, volume);
    if (vibration.length > 0 && navigator.userActivation?.hasBeenActive) navigator.vibrate?.([...vibration]);
  };
  const begin = async () => {
    // Pending for as long as the person has not touched the page; refused when it is closed meanwhile.
    await context.resume().catch(() => {});
    if (context.state !== 'running') return;
    await oneTab(async () => {
      if (context.state !== 'running') return;
      round();
      timer = window.setInterval(round, period * 1000);
      await silenced;
    });
  };
  void begin();
  return () => {
    clearInterval(timer);
    silence();
    if (vibration.length > 0 && navigator.userActivation?.hasBeenActive) navigator.vibrate?.(0);
    void context.close();
  };
}

/** It rings on every tab, but is heard from one. */
async function oneTab(task: () => Promise<void>): Promise<void> {
  if (!('locks' in navigator)) return task();
  await navigator.locks.request(LOCK, { ifAvailable: true }, (lock) => (lock === null ? undefined : task()));
}

/** Struck like a bell: there at once, then fading. */
function sound(context: AudioContext, { at, length, hertz }: Tone, volume: number): void {
  const from = context.currentTime + at;
  hertz.forEach((frequency, overtone) => {
    const level = context.createGain();
    level.gain.setValueAtTime(0, from);
    level.gain.linearRampToValueAtTime(volume / (overtone * 3 + 1), from + 0.02);
    level.gain.exponentialRampToValueAtTime(0.0001, from + length);
    const oscillator = new OscillatorNode(context, { frequency });
    oscillator.connect(level).connect(context.destination);
    oscillator.start(from);
    oscillator.stop(from + length);
  });
}

function patternNow(): Pattern | null {
  callVersion.value;
  const current = call.value;
  if (current?.state.phase === 'incoming') return RING;
  return current?.state.phase === 'ringing' ? RINGBACK : null;
}

let playing: Pattern | null = null;
let stop = () => {};

effect(() => {
  const wanted = patternNow();
  if (wanted === playing) return;
  stop();
  playing = wanted;
  stop = wanted === null ? () => {} : play(wanted);
});
