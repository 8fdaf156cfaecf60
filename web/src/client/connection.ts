import { Emitter } from './emitter';
import { CallError, type ErrorCode, isCallError, replyError, serverCode, toCallError } from './errors';
import type { Clock, SocketFactory, SocketLike } from './platform';
import {
  type ClientEvent,
  type Payload,
  type PresenceMode,
  type Reply,
  SERVER_EVENTS,
  type ServerEvents,
} from './protocol';
import type { Session } from './session';

export type ConnectionState =
  /** Nobody is signed in, or `stop` was called. */
  | 'stopped'
  /** On the way to the first join. */
  | 'connecting'
  /** Joined: events flow. */
  | 'online'
  /** Lost, and trying again by itself. */
  | 'reconnecting'
  /** The server cut this connection for cause, and it will not be tried again before `start`. */
  | 'cut';

/** The server's events under their names, and what becomes of the connection itself. */
export type ConnectionEvents = ServerEvents & {
  state: ConnectionState;
  /** Why the last attempt failed, while trying goes on. */
  trouble: ErrorCode;
};

export interface ConnectionDeps {
  readonly url: string;
  readonly presence: PresenceMode;
  readonly socket: SocketFactory;
  readonly session: Session;
  readonly clock: Clock;
  /** The call to take over at the next join, if this page holds one. */
  readonly resume: () => string | null;
}

const REPLY_TIMEOUT_MS = 10_000;
const RETRY_MS = 2_000;
const LONGEST_RETRY_MS = 30_000;

/** One socket, joined as the signed-in user for as long as somebody is signed in. */
export class Connection extends Emitter<ConnectionEvents> {
  readonly #deps: ConnectionDeps;
  #socket: SocketLike | null = null;
  #state: ConnectionState = 'stopped';
  #cancelRetry: () => void = () => {};
  /** How often our token was refused since the last join. */
  #refusals = 0;
  /** How often a wait of ours has grown since then. */
  #waits = 0;

  constructor(deps: ConnectionDeps) {
    super();
    this.#deps = deps;
    const { session } = deps;
    session.on('signedIn', () => this.start());
    session.on('signedOut', () => this.stop());
    session.on('refreshed', (token) => this.#authenticate(token));
    this.on('token_expiring', () => this.#refreshInBackground());
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** Connects; also after the server has cut the connection. */
  start(): void {
    if (this.#socket !== null && this.#state !== 'cut') return;
    this.#discard();
    this.#become('connecting');
    const socket = this.#deps.socket(this.#deps.url, () => this.#deps.session.currentToken);
    this.#socket = socket;
    this.#listen(socket);
    socket.connect();
  }

  /** Leaves for good: the server ends a live call of this device at once. */
  stop(): void {
    this.#discard();
    this.#become('stopped');
  }

  /** Sends an event and gives its acknowledgement; a refusal is a `CallError` with the server's code. */
  async request<E extends ClientEvent>(event: E, payload: Payload<E>): Promise<Reply<E>> {
    const socket = this.#socket;
    // socket.io would keep it and send it before the join.
    if (socket === null || this.#state !== 'online') throw new CallError('offline', `${event}: not joined`);
    return ask(socket, event, payload);
  }

  #listen(socket: SocketLike): void {
    const mine =
      (act: (...args: never[]) => void) =>
      (...args: unknown[]) => {
        if (this.#socket === socket) (act as (...args: unknown[]) => void)(...args);
      };
    socket.on(
      'connect',
      mine(() => void this.#join(socket)),
    );
    socket.on(
      'disconnect',
      mine((reason: string) => void this.#disconnected(socket, reason)),
    );
    socket.on(
      'connect_error',
      mine((error: Error) => void this.#refused(socket, error)),
    );
    for (const event of SERVER_EVENTS) {
      socket.on(
        event,
        mine((payload: never) => this.#received(event, payload)),
      );
    }
  }

  #received<E extends keyof ServerEvents>(event: E, payload: ServerEvents[E]): void {
    // The state first: who hears of the join may send at once.
    if (event === 'join_success') {
      this.#cancelRetry();
      this.#refusals = 0;
      this.#waits = 0;
      this.#become('online');
    }
    this.emit(event, payload as ConnectionEvents[E]);
  }

  async #join(socket: SocketLike): Promise<void> {
    // This is the new handshake that a retry was to make.
    this.#cancelRetry();
    const { session, presence, resume } = this.#deps;
    const user = session.user;
    if (user === null) return;
    const callId = resume();
    try {
      await ask(socket, 'join', { ...user, presence, ...(callId === null ? {} : { resume: callId }) });
    } catch (error) {
      if (this.#socket !== socket || this.#state === 'online' || isCallError(error, 'offline')) return;
      await this.#refused(socket, error);
    }
  }

  /** A refused connection or join: what the code asks for. */
  async #refused(socket: SocketLike, error: unknown): Promise<void> {
    const code = isCallError(error) ? error.code : serverCode(error instanceof Error ? error.message : error);
    const { session } = this.#deps;
    if (code === 'session_revoked') return session.end('session_revoked');
    this.emit('trouble', code === 'unexpected' ? 'network' : code);
    this.#become(this.#state === 'connecting' ? 'connecting' : 'reconnecting');
    if (code === 'token_expired' || code === 'unauthorized' || code === 'identity_mismatch') {
      try {
        await session.refresh();
      } catch (failure) {
        if (session.user === null) return;
        return this.#again(socket, toCallError(failure).retryAfterMs ?? this.#longerWait());
      }
      return this.#again(socket, this.#waitForFreshToken());
    }
    if (!socket.connected && socket.active) return;
    this.#again(socket, (isCallError(error) ? error.retryAfterMs : undefined) ?? this.#longerWait());
  }

  /** A fresh token is tried at once; one that does not help either was not what was missing. */
  #waitForFreshToken(): number {
    this.#refusals += 1;
    return this.#refusals === 1 ? 0 : this.#longerWait();
  }

  /** Whoever keeps failing asks less and less often. */
  #longerWait(): number {
    const wait = Math.min(RETRY_MS * 2 ** this.#waits, LONGEST_RETRY_MS);
    this.#waits += 1;
    return wait;
  }

  async #disconnected(socket: SocketLike, reason: string): Promise<void> {
    if (reason === 'io client disconnect') return;
    if (reason !== 'io server disconnect') return this.#become('reconnecting');
    const { session } = this.#deps;
    const wasJoined = this.#state === 'online';
    this.#become('reconnecting');
    try {
      if (session.isTokenExpired) {
        await session.refresh();
        return this.#again(socket, 0);
      }
      // Revoked sessions are told by this request, and end there.
      await session.authorized({ path: '/api/me' });
    } catch (error) {
      if (session.user === null) return;
      const { code, retryAfterMs } = toCallError(error);
      this.emit('trouble', code);
      return this.#again(socket, retryAfterMs ?? this.#longerWait());
    }
    if (this.#socket !== socket) return;
    if (wasJoined) this.#become('cut');
    // It was too slow to join, or refused too often.
    else this.#again(socket, this.#longerWait());
  }

  #again(socket: SocketLike, wait: number): void {
    // Signed out meanwhile.
    if (this.#socket !== socket) return;
    this.#cancelRetry();
    this.#cancelRetry = this.#deps.clock.after(wait, () => {
      // A new token needs a new handshake. The join may have had effect all the same, so this must not leave its call.
      if (socket.connected) socket.io.engine.close();
      else socket.connect();
    });
  }

  #authenticate(token: string): void {
    // A refusal (the socket's token runs out) ends in a server disconnect, which is handled there.
    if (this.#state === 'online') this.request('authenticate', { token }).catch(() => {});
  }

  #refreshInBackground(): void {
    // The session tries again by its own timer.
    this.#deps.session.refresh().catch(() => {});
  }

  #discard(): void {
    this.#cancelRetry();
    const socket = this.#socket;
    this.#socket = null;
    socket?.disconnect();
  }

  #become(state: ConnectionState): void {
    if (this.#state === state) return;
    this.#state = state;
    this.emit('state', state);
  }
}

async function ask<E extends ClientEvent>(
  socket: SocketLike,
  event: E,
  payload: Payload<E>,
): Promise<Reply<E>> {
  let reply: unknown;
  try {
    reply = await socket.timeout(REPLY_TIMEOUT_MS).emitWithAck(event, payload);
  } catch (cause) {
    const code = socket.connected ? 'timeout' : 'offline';
    throw new CallError(code, `${event} was not acknowledged`, { cause });
  }
  if ((reply as { ok?: unknown } | null)?.ok === true) return reply as Reply<E>;
  throw replyError(reply);
}
