import { Calls } from './calls';
import { Connection } from './connection';
import { IceProvider } from './ice';
import type { Platform } from './platform';
import { Presence } from './presence';
import type { CallPage, CallQuery, CallRecord, PresenceMode } from './protocol';
import { Rest } from './rest';
import { Session } from './session';

export interface ClientOptions {
  /** Origin of the server, without a slash at the end. */
  readonly serverUrl: string;
  readonly presence?: PresenceMode;
  readonly platform: Platform;
}

export interface CallClient {
  readonly session: Session;
  readonly connection: Connection;
  readonly presence: Presence;
  readonly calls: Calls;
  /** My own calls, newest first. */
  history(query?: CallQuery): Promise<CallPage>;
  callRecord(id: string): Promise<CallRecord>;
}

/** Everything wired together; takes up the session that an earlier page left. */
export function createClient({ serverUrl, presence = 'delta', platform }: ClientOptions): CallClient {
  const { clock } = platform;
  const rest = new Rest(serverUrl, platform.fetch);
  const session = new Session({ rest, store: platform.sessionStore, lock: platform.lock, clock });
  const ice = new IceProvider(session, clock);
  const connection: Connection = new Connection({
    url: serverUrl,
    presence,
    socket: platform.socket,
    session,
    clock,
    resume: () => calls.resumable,
  });
  const calls = new Calls({ platform, connection, ice });
  const client: CallClient = {
    session,
    connection,
    presence: new Presence(connection, presence),
    calls,
    history: (query = {}) => session.authorized({ path: `/api/calls${search(query)}` }),
    callRecord: (id) => session.authorized({ path: `/api/calls/${encodeURIComponent(id)}` }),
  };
  session.restore();
  return client;
}

function search(query: CallQuery): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) parameters.set(name, String(value));
  return parameters.size === 0 ? '' : `?${parameters}`;
}
