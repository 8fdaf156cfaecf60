import type { CallRecord } from '../../client';
import { Avatar } from '../components/avatar';
import { CallButtons } from '../components/call-buttons';
import { CameraIcon, IncomingIcon, MissedIcon, OutgoingIcon, PhoneIcon } from '../components/icons';
import { online, user } from '../model/client';
import { byDay, EMPTY, isMissedBy } from '../model/history';
import { listing, loading, loadMore, missedCount, type View, view } from '../model/records';
import { clockWords } from '../model/time';
import { recordWords } from '../model/words';

export function Recent() {
  const { rows, next } = listing.value;
  return (
    <section class="card" aria-labelledby="recent">
      <header>
        <h2 id="recent">Recent calls</h2>
        <span class="grow" />
        {/* biome-ignore lint/a11y/useSemanticElements: a fieldset is for what a form sends */}
        <span class="choice" role="group" aria-label="Which calls">
          <Choice of="all" label="All" />
          <Choice of="missed" label="Missed" count={missedCount.value} />
        </span>
      </header>
      {byDay(rows, Date.now()).map(({ words, rows: ofDay }) => (
        <div key={words} class="day">
          <h3>{words}</h3>
          <ul>
            {ofDay.map((record) => (
              <Row key={record.id} record={record} />
            ))}
          </ul>
        </div>
      ))}
      {rows.length === 0 && <p class="quiet nothing">{nothing()}</p>}
      {next !== null && (
        <button type="button" aria-disabled={loading.value} onClick={() => void loadMore()}>
          Show more
        </button>
      )}
    </section>
  );
}

function nothing(): string {
  if (listing.value === EMPTY) return loading.value ? 'Loading…' : 'Not loaded yet.';
  if (listing.value.next !== null) return 'None among the latest calls.';
  return view.value === 'missed' ? 'You have missed no call.' : 'Your calls will be listed here.';
}

function Choice({ of, label, count = 0 }: { of: View; label: string; count?: number }) {
  return (
    <button
      type="button"
      aria-pressed={view.value === of}
      onClick={() => {
        view.value = of;
      }}
    >
      {label}
      {count > 0 && (
        <span class="badge">
          {count}
          <span class="hidden"> new</span>
        </span>
      )}
    </button>
  );
}

function Row({ record }: { record: CallRecord }) {
  const me = user.value?.id ?? '';
  const mine = record.from.id === me;
  const { id, username } = mine ? record.to : record.from;
  const missed = isMissedBy(me, record);
  const Direction = missed ? MissedIcon : mine ? OutgoingIcon : IncomingIcon;
  const Kind = record.callType === 'video' ? CameraIcon : PhoneIcon;
  return (
    <li>
      <Avatar name={username ?? '?'} online={id !== null && online.value.has(id)} />
      <span class="grow">
        {username ?? 'Deleted account'}
        <small class={missed ? 'problem' : 'quiet'}>
          <Direction />
          <span>
            {recordWords(record, mine)} · <time>{clockWords(record.startTime)}</time>
          </span>
          <Kind />
          <span class="hidden">{record.callType === 'video' ? 'Video' : 'Audio'}</span>
        </small>
      </span>
      {id !== null && username !== null && <CallButtons peer={{ id, username }} />}
    </li>
  );
}
