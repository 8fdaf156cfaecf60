import { Emitter } from './emitter';
import type { IceProvider } from './ice';
import type { CameraUse, Capture } from './media';
import { Negotiator, type NegotiatorDeps, type NegotiatorEvents } from './negotiator';
import type { Platform } from './platform';
import type { Candidate } from './protocol';
import { RemoteStreams } from './remote';

export interface PeerLinkEvents
  extends Pick<NegotiatorEvents, 'candidate' | 'description' | 'connection' | 'peerSession'> {
  remoteStream: MediaStream | null;
  remoteScreen: MediaStream | null;
}

export interface PeerLinkDeps {
  readonly platform: Platform;
  readonly ice: IceProvider;
  readonly capture: Capture;
}

/** A call's connection to the peer: what is captured goes in, the peer's streams come out. */
export class PeerLink extends Emitter<PeerLinkEvents> {
  readonly remote: RemoteStreams;
  readonly #deps: PeerLinkDeps;
  #negotiator: Negotiator | null = null;
  /** What came before there was a peer connection. */
  #inbox: Candidate[] = [];
  #relayRefused = false;
  #forgetIce: () => void = () => {};
  #closed = false;

  constructor(deps: PeerLinkDeps) {
    super();
    this.#deps = deps;
    this.remote = new RemoteStreams(() => deps.platform.media.emptyStream());
  }

  /** Null before `open`. */
  get negotiator(): Negotiator | null {
    return this.#negotiator;
  }

  /** Whether a TURN server refused us, and none has served us since. */
  get relayRefused(): boolean {
    return this.#relayRefused;
  }

  /** Captures, and makes a peer connection that sends it; null when the call ended meanwhile. */
  async open(camera: CameraUse, sides: Omit<NegotiatorDeps, 'create'>): Promise<Negotiator | null> {
    const { platform, ice, capture } = this.#deps;
    const [servers] = await Promise.all([ice.servers(), capture.open(camera)]);
    if (this.#closed) return null;
    const negotiator = new Negotiator({
      ...sides,
      create: () => platform.peerConnection({ iceServers: [...ice.latest(servers)] }),
    });
    this.#negotiator = negotiator;
    this.#listen(negotiator);
    this.#forgetIce = ice.on('renewed', (renewed) => negotiator.configure({ iceServers: [...renewed] }));
    await capture.sendBy(negotiator);
    for (const candidate of this.#inbox.splice(0)) void negotiator.receiveCandidate(candidate);
    return negotiator;
  }

  receiveCandidate(candidate: Candidate): void {
    if (this.#negotiator === null) this.#inbox.push(candidate);
    else void this.#negotiator.receiveCandidate(candidate);
  }

  /** Back to before `open`: for another call in place of this one. */
  reset(): void {
    this.#forgetIce();
    this.#negotiator?.close();
    this.#negotiator = null;
  }

  close(): void {
    this.#closed = true;
    this.#forgetIce();
    this.#negotiator?.close();
  }

  #listen(negotiator: Negotiator): void {
    negotiator.on('tracks', (tracks) => {
      const changed = this.remote.update(tracks);
      if (changed.main) this.emit('remoteStream', this.remote.main);
      if (changed.screen) this.emit('remoteScreen', this.remote.screen);
    });
    negotiator.on('relay', (said) => {
      this.#relayRefused = said === 'refused';
    });
    negotiator.on('candidate', (candidate) => this.emit('candidate', candidate));
    negotiator.on('description', (description) => this.emit('description', description));
    negotiator.on('connection', (state) => this.emit('connection', state));
    negotiator.on('peerSession', (session) => this.emit('peerSession', session));
  }
}
