import { type CallClient, createClient } from './client';
import type { Clock, HeldCall, Platform, SocketLike, StoredSession, TabMessage } from './platform';
import type { ActiveCall, ClientEvent, Party, ServerEvent, ServerEvents } from './protocol';
import { answerTo, FakePeer, FakeStream, FakeTrack } from './testing-peer';

/** The library's surroundings for tests: everything is in memory, and time passes when it is told to. */

export const ANN: Party = { id: 'ann-id', username: 'ann' };
export const BEN: Party = { id: 'ben-id', username: 'ben' };

/** Lets everything run that waits for nothing but its turn. */
export const settle = (): Promise<void> => new Promise((done) => setTimeout(done));

export function json(status: number, body: unknown, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify(body), { status, headers });
}

export class FakeClock implements Clock {
  #now = 0;
  #timers: { at: number; task: () => void }[] = [];
  now() {
    return this.#now;
  }
  after(ms: number, task: () => void) {
    const timer = { at: this.#now + ms, task };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }
  /** Runs what is due within `ms`, in order. */
  async passes(ms: number) {
    const until = this.#now + ms;
    for (;;) {
      const [next] = this.#timers.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at);
      if (next === undefined) break;
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.#now = Math.max(next.at, this.#now);
      next.task();
      await settle();
    }
    this.#now = until;
  }
}

export class FakeSocket implements SocketLike {
  connected = false;
  active = true;
  connects = 0;
  /** Deliberate ones, after which the server ends a call at once. */
  departures = 0;
  /** Of the transport, by us. */
  closings = 0;
  readonly io = {
    engine: {
      close: () => {
        this.closings += 1;
        void this.drops('forced close');
      },
    },
  };
  readonly sent: [ClientEvent, unknown][] = [];
  /** What acknowledges an event; without an entry it is `{ok: true}`. */
  readonly replies: Partial<Record<ClientEvent, (payload: never) => unknown>> = {};
  readonly #listeners = new Map<string, (...args: unknown[]) => void>();
  #lose: (() => void)[] = [];

  connect() {
    this.connects += 1;
  }
  disconnect() {
    if (this.connected) this.departures += 1;
    this.connected = false;
  }
  on(event: string, listener: (...args: unknown[]) => void) {
    this.#listeners.set(event, listener);
  }
  timeout() {
    return {
      emitWithAck: (event: string, payload: unknown) =>
        new Promise<unknown>((resolve, reject) => {
          this.sent.push([event as ClientEvent, payload]);
          this.#lose.push(() => reject(new Error('socket has been disconnected')));
          const reply = this.replies[event as ClientEvent] ?? (() => ({ ok: true }));
          Promise.resolve(reply(payload as never)).then(resolve, reject);
        }),
    };
  }

  /** What was sent under this name. */
  all(event: ClientEvent): unknown[] {
    return this.sent.flatMap(([name, payload]) => (name === event ? [payload] : []));
  }

  async hears(event: string, payload?: unknown) {
    this.#listeners.get(event)?.(payload);
    await settle();
  }

  says<E extends ServerEvent>(event: E, payload: ServerEvents[E]) {
    return this.hears(event, payload);
  }

  /** Connects, and is let in. */
  async joins(activeCall?: ActiveCall) {
    this.connected = true;
    await this.hears('connect');
    await this.says('join_success', {
      message: '',
      onlineUsers: [],
      socketId: 's',
      ...(activeCall === undefined ? {} : { activeCall }),
    });
  }

  /** The network goes: what was not acknowledged never is. */
  async drops(reason = 'transport close') {
    this.connected = false;
    for (const lose of this.#lose.splice(0)) lose();
    await this.hears('disconnect', reason);
  }

  /** The server disconnects it for cause. */
  isCut() {
    this.active = false;
    return this.drops('io server disconnect');
  }
}

/** Acknowledges never. */
export const silence = () => new Promise<never>(() => {});
/** Refuses with a code. */
export const refusal = (code: string) => () => ({ ok: false, error: code, code });

/** Cameras, microphones and screens. */
export class FakeMedia {
  readonly asked: string[] = [];
  readonly captured: FakeTrack[] = [];
  /** Waited for by every capture: a permission prompt that can be answered later, or refused. */
  prompt: (asked: string) => Promise<void> = async () => {};

  async capture({ audio, video }: { audio: boolean; video: boolean }) {
    const asked = [audio && 'microphone', video && 'camera'].filter(Boolean).join('+');
    this.asked.push(asked);
    await this.prompt(asked);
    return this.#stream(...(audio ? ['audio' as const] : []), ...(video ? ['video' as const] : []));
  }
  async captureScreen() {
    this.asked.push('screen');
    await this.prompt('screen');
    return this.#stream('video');
  }
  emptyStream() {
    return new FakeStream() as unknown as MediaStream;
  }
  /** Tracks whose device is in use. */
  get live() {
    return this.captured.filter(({ readyState }) => readyState === 'live');
  }
  #stream(...kinds: ('audio' | 'video')[]) {
    const tracks = kinds.map((kind) => new FakeTrack(kind));
    this.captured.push(...tracks);
    return new FakeStream(...tracks) as unknown as MediaStream;
  }
}

/** One page: a client, and what it is surrounded by. */
export interface Page {
  readonly client: CallClient;
  readonly socket: FakeSocket;
  readonly peers: FakePeer[];
  readonly media: FakeMedia;
  readonly clock: FakeClock;
  readonly tab: { held: HeldCall | null };
  /** What this page told the other tabs. */
  readonly posted: TabMessage[];
  /** Another tab says something. */
  readonly hearsTab: (message: TabMessage) => void;
  /** Calls that this page was offered to continue. */
  readonly elsewhere: ActiveCall[];
  /** Errors of every call of this page. */
  readonly errors: string[];
}

export interface PageSetup {
  readonly user?: Party;
  readonly held?: HeldCall;
  readonly activeCall?: ActiveCall;
  readonly fetch?: typeof fetch;
  readonly prompt?: FakeMedia['prompt'];
}

/** What a page keeps of a video call, for its reload. */
export const HELD: HeldCall = {
  callId: 'c1',
  peerSession: null,
  wanted: { audio: true, video: true },
  connectedAt: null,
};

/** A page whose user is signed in, and which is online. */
export async function openPage(setup: PageSetup = {}): Promise<Page> {
  const { user = ANN, held, activeCall, fetch, prompt } = setup;
  const socket = new FakeSocket();
  const media = new FakeMedia();
  if (prompt !== undefined) media.prompt = prompt;
  const clock = new FakeClock();
  const peers: FakePeer[] = [];
  const posted: TabMessage[] = [];
  const elsewhere: ActiveCall[] = [];
  const errors: string[] = [];
  const tab = { held: held ?? null };
  const tabListeners: ((message: TabMessage) => void)[] = [];
  const platform: Platform = {
    fetch: fetch ?? (async () => json(200, { iceServers: [{ urls: 'stun:s' }], ttl: 3600 })),
    socket: () => socket,
    peerConnection: (configuration) => {
      const peer = new FakePeer(configuration);
      peers.push(peer);
      return peer as unknown as RTCPeerConnection;
    },
    media,
    sessionStore: storeOf(user),
    tabStore: {
      read: () => tab.held,
      write: (call) => {
        tab.held = call;
      },
    },
    tabs: {
      post: (message) => posted.push(message),
      subscribe: (listener) => {
        tabListeners.push(listener);
        return () => {};
      },
    },
    lock: (task) => task(),
    clock,
  };
  const client = createClient({ serverUrl: '', platform });
  client.calls.on('current', (call) => call?.on('error', ({ code }) => errors.push(code)));
  client.calls.on('elsewhere', (active) => elsewhere.push(active));
  await socket.joins(activeCall);
  const hearsTab = (message: TabMessage) => {
    for (const listener of tabListeners) listener(message);
  };
  return { client, socket, peers, media, clock, tab, posted, hearsTab, elsewhere, errors };
}

/** Ben answers, on the page whose peer connection has offered last. */
export function benAnswers({ socket, peers }: Page): Promise<void> {
  const answer = answerTo(peers.at(-1)?.localDescription ?? null, 'ben-session');
  return socket.says('call_accepted', { callId: 'c1', answer });
}

function storeOf(user: Party): Platform['sessionStore'] {
  const session: StoredSession = {
    user,
    token: 't',
    refreshToken: 'r',
    expiresAt: Number.MAX_SAFE_INTEGER,
    signedInAt: 0,
  };
  return { read: () => session, write: () => {}, subscribe: () => () => {} };
}
