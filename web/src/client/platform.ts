/**
 * What the library needs of its surroundings. `browser.ts` has it for a browser; tests bring their own.
 */

import type { MediaState } from './protocol';

/** The tokens of the signed-in user, as kept between pages. */
export interface StoredSession {
  readonly user: { readonly id: string; readonly username: string };
  readonly token: string;
  readonly refreshToken: string;
  /** Epoch milliseconds, by this machine's clock. */
  readonly expiresAt: number;
  /** When the user signed in, by this machine's clock: tells one session of a user from the next. */
  readonly signedInAt: number;
}

/** Where the session is kept, shared by every tab. */
export interface SessionStore {
  read(): StoredSession | null;
  write(session: StoredSession | null): void;
  /** Tells of writes by *other* tabs. */
  subscribe(listener: (session: StoredSession | null) => void): () => void;
}

/** What this tab keeps over a reload. */
export interface TabStore {
  read(): HeldCall | null;
  write(call: HeldCall | null): void;
}

/** Microphone and camera, as the user asked for them. */
export type WantedMedia = Pick<MediaState, 'audio' | 'video'>;

export interface HeldCall {
  readonly callId: string;
  /** Session id of the peer's last description: see `sdpSession`. */
  readonly peerSession: string | null;
  /** What was on, or on its way. */
  readonly wanted: WantedMedia;
  /** Epoch milliseconds of the first media; null before. */
  readonly connectedAt: number | null;
}

/** Messages between the tabs of this browser. */
export interface TabChannel {
  post(message: TabMessage): void;
  subscribe(listener: (message: TabMessage) => void): () => void;
}

export interface TabMessage {
  readonly type: 'call_taken';
  readonly callId: string;
}

/** One task at a time over all tabs. */
export type TabLock = <T>(task: () => Promise<T>) => Promise<T>;

/** The part of a Socket.IO client socket that is used. */
export interface SocketLike {
  readonly connected: boolean;
  /** Whether it will connect again by itself. */
  readonly active: boolean;
  connect(): unknown;
  /** Leaves: the server ends a live call at once. */
  disconnect(): unknown;
  /** Closing the transport is an interruption like any other, after which the socket connects again by itself. */
  readonly io: { readonly engine: { close(): unknown } };
  // biome-ignore lint/suspicious/noExplicitAny: as in socket.io-client, whose events are not typed here
  on(event: string, listener: (...args: any[]) => void): unknown;
  timeout(ms: number): { emitWithAck(event: string, payload: unknown): Promise<unknown> };
}

/** Makes a socket that does not connect yet, and asks for the token at each attempt. */
export type SocketFactory = (url: string, token: () => string) => SocketLike;

export interface Clock {
  now(): number;
  /** Calls `task` after `ms`; the function that is returned cancels it. */
  after(ms: number, task: () => void): () => void;
}

export interface MediaSource {
  capture(wants: { audio: boolean; video: boolean }): Promise<MediaStream>;
  captureScreen(): Promise<MediaStream>;
  /** A stream to collect the peer's tracks in. */
  emptyStream(): MediaStream;
}

export interface Platform {
  readonly fetch: typeof fetch;
  readonly socket: SocketFactory;
  readonly peerConnection: (configuration: RTCConfiguration) => RTCPeerConnection;
  readonly media: MediaSource;
  readonly sessionStore: SessionStore;
  readonly tabStore: TabStore;
  readonly tabs: TabChannel;
  readonly lock: TabLock;
  readonly clock: Clock;
}
