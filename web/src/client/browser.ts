import { io } from 'socket.io-client';
import { CallError, type LocalCode } from './errors';
import type {
  HeldCall,
  MediaSource,
  Platform,
  SessionStore,
  StoredSession,
  TabChannel,
  TabMessage,
} from './platform';

const SESSION_KEY = 'video-call.session';
const CALL_KEY = 'video-call.call';
const CHANNEL = 'video-call';

/** The library's surroundings in a browser. */
export function browserPlatform(): Platform {
  return {
    fetch: (input, init) => fetch(input, init),
    socket: (url, token) =>
      io(url, { autoConnect: false, forceNew: true, auth: (give) => give({ token: token() }) }),
    peerConnection: (configuration) => new RTCPeerConnection(configuration),
    media: browserMedia,
    sessionStore,
    tabStore: {
      read: () => parse<HeldCall>(sessionStorage.getItem(CALL_KEY)),
      write: (call) => put(sessionStorage, CALL_KEY, call),
    },
    tabs: tabChannel(),
    // Without it (an insecure origin) the server's grace for two refreshes at once has to do.
    lock: (task) => ('locks' in navigator ? navigator.locks.request(`${CHANNEL}.refresh`, task) : task()),
    clock: {
      now: () => Date.now(),
      after: (ms, task) => {
        const timer = setTimeout(task, ms);
        return () => clearTimeout(timer);
      },
    },
  };
}

const sessionStore: SessionStore = {
  read: () => parse<StoredSession>(localStorage.getItem(SESSION_KEY)),
  write: (session) => put(localStorage, SESSION_KEY, session),
  subscribe: (listener) => {
    const onStorage = (event: StorageEvent) => {
      // A null key: everything was cleared.
      if (event.storageArea === localStorage && (event.key === SESSION_KEY || event.key === null)) {
        listener(sessionStore.read());
      }
    };
    addEventListener('storage', onStorage);
    return () => removeEventListener('storage', onStorage);
  },
};

function tabChannel(): TabChannel {
  const channel = new BroadcastChannel(CHANNEL);
  return {
    post: (message) => channel.postMessage(message),
    subscribe: (listener) => {
      const onMessage = ({ data }: MessageEvent<TabMessage>) => listener(data);
      channel.addEventListener('message', onMessage);
      return () => channel.removeEventListener('message', onMessage);
    },
  };
}

const browserMedia: MediaSource = {
  capture: (wants) => captured(wants, () => navigator.mediaDevices.getUserMedia(wants)),
  captureScreen: () => captured('screen', () => navigator.mediaDevices.getDisplayMedia()),
  emptyStream: () => new MediaStream(),
};

type Wants = { audio: boolean; video: boolean } | 'screen';

async function captured(wants: Wants, capture: () => Promise<MediaStream>): Promise<MediaStream> {
  // Only secure origins have it.
  if (navigator.mediaDevices === undefined)
    throw new CallError('media_unsupported', 'No access to media devices');
  try {
    return await capture();
  } catch (cause) {
    const name = cause instanceof DOMException ? cause.name : '';
    throw new CallError(await mediaCode(name, wants), `Media: ${name}`, { cause });
  }
}

async function mediaCode(name: string, wants: Wants): Promise<LocalCode> {
  if (wants === 'screen') return 'screen_not_shared';
  if (name === 'NotAllowedError' || name === 'SecurityError') return 'media_denied';
  if (name === 'NotReadableError' || name === 'AbortError') return 'media_in_use';
  if (name !== 'NotFoundError' && name !== 'OverconstrainedError') return 'media_failed';
  const devices = await navigator.mediaDevices.enumerateDevices();
  const lacksMicrophone = wants.audio && !devices.some(({ kind }) => kind === 'audioinput');
  return lacksMicrophone ? 'microphone_not_found' : 'camera_not_found';
}

function parse<T>(text: string | null): T | null {
  if (text === null) return null;
  try {
    return JSON.parse(text) as T;
  } catch {
    return null;
  }
}

function put(storage: Storage, key: string, value: unknown): void {
  if (value === null) storage.removeItem(key);
  else storage.setItem(key, JSON.stringify(value));
}
