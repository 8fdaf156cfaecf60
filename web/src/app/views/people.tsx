import { computed, useSignal } from '@preact/signals';
import { Avatar } from '../components/avatar';
import { CallButtons } from '../components/call-buttons';
import { SearchIcon } from '../components/icons';
import { connection, online, user } from '../model/client';

/** More rows than a person reads would only cost time at each change of presence. */
const SHOWN = 200;

const others = computed(() =>
  [...online.value.values()]
    .filter(({ id }) => id !== user.value?.id)
    .sort((a, b) => a.username.localeCompare(b.username)),
);

export function People() {
  const query = useSignal('');
  const wanted = query.value.trim().toLowerCase();
  const found = others.value.filter(({ username }) => username.toLowerCase().includes(wanted));
  const more = found.length - SHOWN;
  return (
    <section class="card" aria-labelledby="people">
      <header>
        <h2 id="people">Online now</h2>
        <span class="count">{others.value.length}</span>
      </header>
      <label class="input search">
        <span class="hidden">Search people</span>
        <SearchIcon />
        <input
          type="search"
          placeholder="Search"
          value={query.value}
          onInput={(event) => {
            query.value = event.currentTarget.value;
          }}
        />
      </label>
      <ul>
        {found.slice(0, SHOWN).map((person) => (
          <li key={person.id}>
            <Avatar name={person.username} online />
            <span class="grow">{person.username}</span>
            <CallButtons peer={person} />
          </li>
        ))}
      </ul>
      {found.length === 0 && <p class="quiet nothing">{nobody(wanted)}</p>}
      {more > 0 && <p class="quiet nothing">And {more} more: search for a name.</p>}
    </section>
  );
}

function nobody(wanted: string): string {
  if (wanted !== '') return 'Nobody by that name is online.';
  return connection.value === 'online' ? 'Nobody else is here yet.' : 'Not connected yet.';
}
