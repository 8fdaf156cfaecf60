import type { Connection } from './connection';
import { Emitter } from './emitter';
import { isCallError } from './errors';
import type { Party, PresenceMode } from './protocol';

export interface PresenceEvents {
  /** Who is online now, by id: a new map at each change. */
  change: ReadonlyMap<string, Party>;
}

/** Who is online, in whichever mode the connection joins with; in `none` mode only of those who are watched. */
export class Presence extends Emitter<PresenceEvents> {
  readonly #connection: Connection;
  readonly #mode: PresenceMode;
  #online: ReadonlyMap<string, Party> = new Map();
  #watched: ReadonlyMap<string, Party> = new Map();

  constructor(connection: Connection, mode: PresenceMode) {
    super();
    this.#connection = connection;
    this.#mode = mode;
    connection.on('join_success', ({ onlineUsers }) => {
      if (mode !== 'none') this.#replace(onlineUsers);
      else if (this.#watched.size > 0) this.#rewatch();
    });
    connection.on('users_updated', (users) => this.#replace(users));
    connection.on('presence_delta', ({ online, offline }) => {
      const next = new Map(this.#online);
      for (const id of offline) next.delete(id);
      for (const { id, username } of online) next.set(id, { id, username });
      this.#set(next);
    });
    // What was true before an interruption is not shown as if it still were, once it is over for good.
    connection.on('state', (state) => {
      if (state === 'stopped' || state === 'cut') this.#set(new Map());
    });
  }

  get online(): ReadonlyMap<string, Party> {
    return this.#online;
  }

  /** In `none` mode: whose presence to hear of (at most 500), in place of those before. */
  async watch(users: readonly Party[]): Promise<void> {
    if (this.#mode !== 'none') return;
    this.#watched = new Map(users.map((user) => [user.id, user]));
    const { users: states } = await this.#connection.request('watch_users', {
      ids: [...this.#watched.keys()],
    });
    this.#replace(states.filter(({ isOnline }) => isOnline).flatMap(({ id }) => this.#watched.get(id) ?? []));
  }

  #rewatch(): void {
    this.watch([...this.#watched.values()]).catch((error: unknown) => {
      // Offline again: the next join asks anew.
      if (!isCallError(error)) throw error;
    });
  }

  #replace(users: readonly Party[]): void {
    this.#set(new Map(users.map(({ id, username }) => [id, { id, username }])));
  }

  #set(online: ReadonlyMap<string, Party>): void {
    this.#online = online;
    this.emit('change', online);
  }
}
