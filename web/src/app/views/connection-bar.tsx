import type { ConnectionState } from '../../client';
import { HangUpIcon } from '../components/icons';
import { client, connection, continueHere, elsewhere, endElsewhere, trouble } from '../model/client';
import { errorWords } from '../model/words';

const STATES: Record<ConnectionState, string> = {
  stopped: '',
  connecting: 'Connecting to the server…',
  online: '',
  reconnecting: 'Connecting to the server…',
  cut: 'The server closed the connection.',
};

function why(state: ConnectionState): string {
  if (trouble.value !== null) return errorWords(trouble.value);
  return state === 'reconnecting' ? 'The connection was lost.' : '';
}

/** The live region stays, so that each change of it is announced. */
export function ConnectionBar() {
  const other = elsewhere.value;
  const state = connection.value;
  const online = state === 'online';
  const words =
    online && other !== null
      ? `Your call with ${other.peer.username} was cut off in another window.`
      : STATES[state];
  return (
    <div class={`bar ${words === '' ? 'empty' : state}`}>
      <p role="status">
        {why(state)} {words}
      </p>
      {online && other !== null && (
        <span class="actions">
          <button type="button" onClick={() => continueHere(other)}>
            Continue here
          </button>
          <button type="button" class="danger" onClick={() => endElsewhere(other)}>
            <HangUpIcon />
            Hang up
          </button>
        </span>
      )}
      {state === 'cut' && (
        <button type="button" onClick={() => client.connection.start()}>
          Connect again
        </button>
      )}
    </div>
  );
}
