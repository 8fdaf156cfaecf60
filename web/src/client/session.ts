import { Emitter } from './emitter';
import { CallError, isCallError } from './errors';
import type { Clock, SessionStore, StoredSession, TabLock } from './platform';
import type { Login, Party, Tokens } from './protocol';
import type { Rest, RestRequest } from './rest';

/** Why there is no session any more. */
export type SignOutReason =
  | 'logout'
  | 'session_revoked'
  | 'session_expired'
  | 'account_deleted'
  | 'elsewhere';

export interface SessionEvents {
  signedIn: Party;
  signedOut: SignOutReason;
  /** A newer access token of the same session, whichever tab fetched it. */
  refreshed: string;
}

export interface SessionDeps {
  readonly rest: Rest;
  readonly store: SessionStore;
  readonly lock: TabLock;
  readonly clock: Clock;
}

/** Refreshed this long before the token expires: ahead of the server's `token_expiring` (60 s). */
const MARGIN_MS = 90_000;
const RETRY_MS = 5_000;
/** Timers count in 32 bits. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * Who is signed in, and with which tokens. A refresh token is good for one use, so refreshes are single-flight in this
 * tab, one at a time over all tabs, and what another tab has fetched is taken over from the shared store.
 */
export class Session extends Emitter<SessionEvents> {
  readonly #deps: SessionDeps;
  #current: StoredSession | null = null;
  #refreshing: Promise<string> | null = null;
  #cancelTimer: () => void = () => {};
  /** Why we asked the server to end the session: its cut of our socket may come before its answer. */
  #leaving: SignOutReason | null = null;

  constructor(deps: SessionDeps) {
    super();
    this.#deps = deps;
    deps.store.subscribe((stored) => this.#storedElsewhere(stored));
  }

  get user(): Party | null {
    return this.#current?.user ?? null;
  }

  /** Takes up the session that an earlier page left, if there is one. */
  restore(): Party | null {
    const stored = this.#deps.store.read();
    if (stored !== null) this.#begin(stored);
    return this.user;
  }

  async signUp(username: string, password: string): Promise<Party> {
    return this.#enter('/api/register', username, password);
  }

  async login(username: string, password: string): Promise<Party> {
    return this.#enter('/api/login', username, password);
  }

  /** Ends the session; also when the server cannot be reached, then only here. */
  async logout(): Promise<void> {
    this.#leaving = 'logout';
    try {
      await this.authorized({ method: 'POST', path: '/api/logout' });
    } catch (error) {
      if (!isCallError(error)) throw error;
    }
    this.end('logout');
  }

  async changePassword(currentPassword: string, newPassword: string): Promise<void> {
    await this.authorized({
      method: 'PUT',
      path: '/api/me/password',
      body: { currentPassword, newPassword },
    });
  }

  async deleteAccount(password: string): Promise<void> {
    this.#leaving = 'account_deleted';
    try {
      await this.authorized({ method: 'DELETE', path: '/api/me', body: { password } });
      this.end('account_deleted');
    } finally {
      this.#leaving = null;
    }
  }

  /** A request with the access token, which is refreshed and the request repeated when it has expired. */
  async authorized<T>(request: Omit<RestRequest, 'token'>): Promise<T> {
    const token = await this.token();
    try {
      return await this.#deps.rest.send<T>({ ...request, token });
    } catch (error) {
      if (isCallError(error, 'session_revoked')) this.end('session_revoked');
      if (!isCallError(error, 'token_expired', 'unauthorized')) throw error;
      return this.#deps.rest.send<T>({ ...request, token: await this.refresh(token) });
    }
  }

  /** An access token that has not expired. */
  async token(): Promise<string> {
    const current = this.#require();
    return current.expiresAt > this.#deps.clock.now() ? current.token : this.refresh(current.token);
  }

  /** The access token as it is, to answer a handshake at once; empty when signed out. */
  get currentToken(): string {
    return this.#current?.token ?? '';
  }

  get isTokenExpired(): boolean {
    return this.#current !== null && this.#current.expiresAt <= this.#deps.clock.now();
  }

  /** A newer access token than `stale` (default: than the one held now). */
  refresh(stale: string = this.currentToken): Promise<string> {
    if (this.#refreshing === null) {
      this.#refreshing = this.#refreshOnce(stale).finally(() => {
        this.#refreshing = null;
      });
    }
    return this.#refreshing;
  }

  /** Signs out on this side. */
  end(reason: SignOutReason): void {
    if (this.#current === null) return;
    this.#deps.store.write(null);
    this.#drop(this.#leaving ?? reason);
  }

  async #enter(path: string, username: string, password: string): Promise<Party> {
    const login = await this.#deps.rest.send<Login>({ method: 'POST', path, body: { username, password } });
    if (this.#current !== null) this.#drop('elsewhere');
    const now = this.#deps.clock.now();
    const { id, username: name } = login.user;
    const session: StoredSession = {
      user: { id, username: name },
      token: login.token,
      refreshToken: login.refreshToken,
      expiresAt: now + login.expiresIn * 1000,
      signedInAt: now,
    };
    this.#deps.store.write(session);
    this.#begin(session);
    return session.user;
  }

  async #refreshOnce(stale: string): Promise<string> {
    const current = this.#require();
    if (current.token !== stale) return current.token;
    return this.#deps.lock(async () => {
      if (this.#adoptNewer()) return this.#require().token;
      const before = this.#require();
      try {
        const tokens = await this.#deps.rest.send<Tokens>({
          method: 'POST',
          path: '/api/refresh',
          body: { refreshToken: before.refreshToken },
        });
        this.#renew(before, tokens);
      } catch (error) {
        this.#refreshFailed(error);
      }
      return this.#require().token;
    });
  }

  #renew(before: StoredSession, tokens: Tokens): void {
    // Signed out, or in anew, while the answer was on its way.
    if (this.#current?.signedInAt !== before.signedInAt) return;
    const session: StoredSession = {
      ...before,
      token: tokens.token,
      refreshToken: tokens.refreshToken,
      expiresAt: this.#deps.clock.now() + tokens.expiresIn * 1000,
    };
    this.#deps.store.write(session);
    this.#replace(session);
  }

  #refreshFailed(error: unknown): void {
    // Without a lock over tabs another tab may have been first, and has what we need.
    if (isCallError(error, 'session_revoked', 'unauthorized', 'token_expired') && this.#adoptNewer()) return;
    if (isCallError(error, 'session_revoked', 'unauthorized')) this.end('session_revoked');
    if (isCallError(error, 'token_expired')) this.end('session_expired');
    throw error;
  }

  /** Takes over tokens of this session that another tab has stored. */
  #adoptNewer(): boolean {
    const stored = this.#deps.store.read();
    const current = this.#current;
    if (stored === null || current === null || stored.refreshToken === current.refreshToken) return false;
    if (!sameSession(stored, current)) return false;
    this.#replace(stored);
    return true;
  }

  #storedElsewhere(stored: StoredSession | null): void {
    const current = this.#current;
    if (stored !== null && current !== null && sameSession(stored, current)) {
      if (stored.refreshToken !== current.refreshToken) this.#replace(stored);
      return;
    }
    if (current !== null) this.#drop('elsewhere');
    if (stored !== null) this.#begin(stored);
  }

  #begin(session: StoredSession): void {
    this.#hold(session);
    this.emit('signedIn', session.user);
  }

  #replace(session: StoredSession): void {
    this.#hold(session);
    this.emit('refreshed', session.token);
  }

  #hold(session: StoredSession): void {
    this.#current = session;
    const left = session.expiresAt - this.#deps.clock.now();
    // A token that lives hardly longer than the margin is renewed half way.
    this.#schedule(left > MARGIN_MS * 2 ? left - MARGIN_MS : left / 2);
  }

  #drop(reason: SignOutReason): void {
    this.#current = null;
    this.#leaving = null;
    this.#cancelTimer();
    this.emit('signedOut', reason);
  }

  #schedule(ms: number): void {
    this.#cancelTimer();
    this.#cancelTimer = this.#deps.clock.after(Math.min(Math.max(ms, 0), LONGEST_TIMER_MS), () => {
      this.refresh().catch((error: unknown) => {
        if (this.#current !== null)
          this.#schedule(isCallError(error) ? (error.retryAfterMs ?? RETRY_MS) : RETRY_MS);
      });
    });
  }

  #require(): StoredSession {
    if (this.#current === null) throw new CallError('signed_out', 'Nobody is signed in');
    return this.#current;
  }
}

function sameSession(a: StoredSession, b: StoredSession): boolean {
  return a.user.id === b.user.id && a.signedInAt === b.signedInAt;
}
