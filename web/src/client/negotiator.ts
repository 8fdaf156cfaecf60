import { Emitter } from './emitter';
import type { Candidate, Description } from './protocol';
import { sdpSession, sentMedia } from './sdp';

/** What we send, each in a place of its own. */
export type Source = 'microphone' | 'camera' | 'screen';

/** What the peer sends, and the id of the stream that it put it in. */
export interface RemoteTrack {
  readonly track: MediaStreamTrack;
  readonly streamId: string | null;
}

export interface NegotiatorEvents {
  /** A later description, for `renegotiate`; the first offer and answer are returned instead. */
  description: Description;
  candidate: Candidate;
  /** Everything that the peer sends now: with each of its descriptions. */
  tracks: readonly RemoteTrack[];
  connection: RTCPeerConnectionState;
  /** What a TURN server said of our credentials. */
  relay: 'granted' | 'refused';
  /** The session of the peer's last description: see `sdpSession`. */
  peerSession: string;
}

/** The peer connection before this one in the same call, by what the peer last said to it: its session, where that is known. */
export type Predecessor = 'none' | 'unknown' | { readonly peerSession: string };

export const predecessorOf = (peerSession: string | null): Predecessor =>
  peerSession === null ? 'unknown' : { peerSession };

export interface NegotiatorDeps {
  readonly create: () => RTCPeerConnection;
  /** Who gives way when two offers cross. */
  readonly polite: boolean;
  readonly predecessor?: Predecessor;
}

/** Unauthorized, Forbidden, Stale Nonce, Wrong Credentials: RFC 8489 and 8656. */
const REFUSALS: ReadonlySet<number> = new Set([401, 403, 438, 441]);

/**
 * Offers and answers of a call. The first ones travel in `call_user` and `accept_call`, later ones in `renegotiate`.
 * Whatever changes the peer connection runs in one queue, one task after the other, so an offer that crosses our own shows
 * as a signalling state that is not stable, and as nothing else.
 *
 * After a reload a page has nothing that the other side could go on with, so it begins anew, and the other side replaces
 * its peer connection when it sees a new session (`sdpSession`). When offers cross, the impolite side ignores the other
 * offer, as in perfect negotiation (W3C WebRTC, section 10.7). The polite one does not roll back, because Chromium (seen in
 * 156) shows no video that it receives after a rollback: it begins anew, as after a reload.
 */
export class Negotiator extends Emitter<NegotiatorEvents> {
  readonly #deps: NegotiatorDeps;
  readonly #sources = new Map<Source, { track: MediaStreamTrack; stream: MediaStream }>();
  #pc: RTCPeerConnection;
  /** The places in this peer connection; one that sends nothing now is kept for the next time. */
  readonly #senders = new Map<Source, RTCRtpSender>();
  #queue: Promise<unknown> = Promise.resolve();
  /** Candidates that came before the description they belong to. */
  #early: RTCIceCandidateInit[] = [];
  #seen = new Set<string>();
  #peerSession: string | null = null;
  /** What the peer still says to it is not heeded: our offer will replace its session. */
  #predecessor: Predecessor;
  /** Session of an offer that was not heeded, since which our own was said again. */
  #unheeded: string | null = null;
  /** Whether `renegotiate` may be sent: the call is active and the first exchange done. */
  #live = false;
  #needed = false;
  #closed = false;

  constructor(deps: NegotiatorDeps) {
    super();
    this.#deps = deps;
    this.#predecessor = deps.predecessor ?? 'none';
    this.#pc = this.#open();
  }

  get connectionState(): RTCPeerConnectionState {
    return this.#pc.connectionState;
  }

  getStats(): Promise<RTCStatsReport> {
    return this.#pc.getStats();
  }

  /** Sends `track` in `stream`, one for each source. Renegotiates, unless it only fills a place that `pause` has left. */
  send(source: Source, track: MediaStreamTrack, stream: MediaStream): Promise<void> {
    return this.#enqueue(async () => {
      if (this.#closed) return;
      this.#sources.set(source, { track, stream });
      const sender = this.#senders.get(source);
      const place = this.#pc.getTransceivers().find((transceiver) => transceiver.sender === sender);
      if (place === undefined) return this.#add(source, track, stream);
      await place.sender.replaceTrack(track);
      // After `remove`; the stream that the sender belongs to stays with it.
      if (place.direction !== 'sendrecv') place.direction = 'sendrecv';
    });
  }

  /** Sends nothing, without the peer being told: for what comes back by `send` at any time. */
  pause(source: Source): Promise<void> {
    return this.#enqueue(async () => {
      this.#sources.delete(source);
      if (!this.#closed) await this.#senders.get(source)?.replaceTrack(null);
    });
  }

  /** Sends no more: the peer's track goes, by a renegotiation. */
  remove(source: Source): Promise<void> {
    return this.#enqueue(async () => {
      this.#sources.delete(source);
      const sender = this.#senders.get(source);
      if (sender !== undefined && !this.#closed) this.#pc.removeTrack(sender);
    });
  }

  /** The first offer of a call. */
  offer(): Promise<Description> {
    return this.#enqueue(async () => {
      // What asked for it is in this description.
      this.#needed = false;
      await this.#pc.setLocalDescription();
      return this.#localDescription();
    });
  }

  /** The answer to a call's first offer. */
  answer(offer: Description): Promise<Description> {
    return this.#enqueue(async () => {
      await this.#answer(offer);
      return this.#localDescription();
    });
  }

  /** The peer's answer to the first offer. */
  accepted(answer: Description): Promise<void> {
    return this.#enqueue(async () => {
      if (this.#pc.signalingState === 'have-local-offer') await this.#applyRemote(answer);
    });
  }

  /** From now on changes are sent by `renegotiate`; what was waiting is sent now. */
  goLive(): void {
    if (this.#live) return;
    this.#live = true;
    this.#negotiateIfNeeded();
  }

  /** A peer connection without history, in a call that is active: a page that was loaded anew. */
  goLiveAfresh(): Promise<void> {
    this.#live = true;
    return this.#enqueue(() => this.#sendOffer());
  }

  /** The peer's `renegotiate`. */
  receive(description: Description): Promise<void> {
    return this.#enqueue(async () => {
      if (this.#closed || this.#isStale(description)) return;
      if (this.#mayBeStale(description)) return this.#sayAgainInsteadOf(description);
      if (description.type === 'answer') await this.#receiveAnswer(description);
      else if (description.type === 'offer') await this.#receiveOffer(description);
    });
  }

  /** The peer's candidate. Those of an answering device come twice; the second is dropped. */
  receiveCandidate(candidate: Candidate): Promise<void> {
    return this.#enqueue(async () => {
      if (candidate === null) return;
      const key = JSON.stringify(candidate);
      if (this.#seen.has(key)) return;
      this.#seen.add(key);
      if (this.#pc.remoteDescription === null) this.#early.push(candidate);
      else await this.#addCandidate(candidate);
    });
  }

  /** Begins ICE anew, by an offer. */
  restartIce(): Promise<void> {
    return this.#enqueue(async () => {
      if (!this.#live) return;
      this.#pc.restartIce();
      if (this.#pc.signalingState === 'stable') await this.#sendOffer();
    });
  }

  /** After an interruption of signalling: says again what may have been lost. */
  resync(): Promise<void> {
    return this.#enqueue(async () => {
      if (this.#live) this.#repeatOffer();
    });
  }

  configure(configuration: RTCConfiguration): void {
    if (!this.#closed) this.#pc.setConfiguration(configuration);
  }

  close(): void {
    this.#closed = true;
    this.#release(this.#pc);
  }

  #enqueue<T>(task: () => Promise<T>): Promise<T> {
    const run = this.#queue.then(task);
    this.#queue = run.catch(() => {});
    return run;
  }

  #open(): RTCPeerConnection {
    const pc = this.#deps.create();
    pc.onicecandidate = ({ candidate }) => {
      if (candidate?.type === 'relay') this.emit('relay', 'granted');
      this.emit('candidate', candidate === null ? null : candidate.toJSON());
    };
    pc.onicecandidateerror = ({ errorCode }) => {
      if (REFUSALS.has(errorCode)) this.emit('relay', 'refused');
    };
    pc.onconnectionstatechange = () => this.emit('connection', pc.connectionState);
    pc.onnegotiationneeded = () => {
      this.#needed = true;
      this.#negotiateIfNeeded();
    };
    return pc;
  }

  #add(source: Source, track: MediaStreamTrack, stream: MediaStream): void {
    const sender = this.#pc.addTrack(track, stream);
    // The browser gives away again the place of a source that never came to send.
    for (const [other, place] of this.#senders) if (place === sender) this.#senders.delete(other);
    this.#senders.set(source, sender);
  }

  #release(pc: RTCPeerConnection): void {
    pc.onicecandidate = null;
    pc.onicecandidateerror = null;
    pc.onconnectionstatechange = null;
    pc.onnegotiationneeded = null;
    pc.close();
  }

  #rebuild(): void {
    this.#release(this.#pc);
    this.#early = [];
    this.#seen = new Set();
    this.#senders.clear();
    this.#pc = this.#open();
    for (const [source, { track, stream }] of this.#sources) this.#add(source, track, stream);
    this.emit('tracks', []);
  }

  #negotiateIfNeeded(): void {
    if (!this.#live || this.#closed || !this.#needed) return;
    void this.#enqueue(async () => {
      // Not stable: the browser asks again once it is.
      if (this.#needed && this.#pc.signalingState === 'stable') await this.#sendOffer();
    });
  }

  async #sendOffer(): Promise<void> {
    if (this.#closed) return;
    this.#needed = false;
    await this.#pc.setLocalDescription();
    this.emit('description', this.#localDescription());
  }

  async #receiveAnswer(answer: Description): Promise<void> {
    // Otherwise to an offer that was sent twice.
    if (this.#pc.signalingState === 'have-local-offer') await this.#applyRemote(answer);
  }

  async #receiveOffer(offer: Description): Promise<void> {
    const isNew = this.#peerSession !== null && sdpSession(offer.sdp) !== this.#peerSession;
    if (isNew) {
      this.#rebuild();
    } else if (this.#pc.signalingState !== 'stable') {
      // A page that takes the call over later than we has not heard our offer.
      if (!this.#deps.polite) return this.#peerSession === null ? this.#repeatOffer() : undefined;
      if (this.#peerSession !== null) return this.#beginAnew(this.#peerSession);
      // Of a peer that has begun anew at the same time.
      this.#rebuild();
    }
    await this.#answer(offer);
    this.#live = true;
    this.emit('description', this.#localDescription());
  }

  async #answer(offer: Description): Promise<void> {
    await this.#applyRemote(offer);
    // What asked for it is in this description, or is asked for again.
    this.#needed = false;
    await this.#pc.setLocalDescription();
  }

  #beginAnew(peerSession: string): Promise<void> {
    this.#predecessor = { peerSession };
    this.#peerSession = null;
    this.#rebuild();
    return this.#sendOffer();
  }

  #isStale({ sdp }: Description): boolean {
    return typeof this.#predecessor === 'object' && sdpSession(sdp) === this.#predecessor.peerSession;
  }

  /**
   * Whether an offer is perhaps to our unknown predecessor. Then the peer answers our own as soon as it hears it; a peer
   * that offers the same again has begun anew like us, and one of us has to answer: the polite one.
   */
  #mayBeStale({ type, sdp }: Description): boolean {
    if (type !== 'offer' || this.#predecessor !== 'unknown' || this.#peerSession !== null) return false;
    return !this.#deps.polite || sdpSession(sdp) !== this.#unheeded;
  }

  #sayAgainInsteadOf({ sdp }: Description): void {
    this.#unheeded = sdpSession(sdp);
    this.#repeatOffer();
  }

  #repeatOffer(): void {
    if (this.#pc.signalingState === 'have-local-offer') this.emit('description', this.#localDescription());
  }

  async #applyRemote(description: Description): Promise<void> {
    await this.#pc.setRemoteDescription(description);
    const session = sdpSession(description.sdp);
    if (session !== null && session !== this.#peerSession) {
      this.#peerSession = session;
      this.emit('peerSession', session);
    }
    this.emit('tracks', this.#tracksOf(description));
    for (const candidate of this.#early.splice(0)) await this.#addCandidate(candidate);
  }

  /** The browser's `track` event would tell of what begins, but not of what ends or changes its stream. */
  #tracksOf({ sdp }: Description): RemoteTrack[] {
    const sent = sentMedia(sdp);
    return this.#pc.getTransceivers().flatMap(({ mid, receiver }) => {
      const medium = sent.find((one) => one.mid === mid);
      return medium === undefined ? [] : [{ track: receiver.track, streamId: medium.streamId }];
    });
  }

  async #addCandidate(candidate: RTCIceCandidateInit): Promise<void> {
    try {
      await this.#pc.addIceCandidate(candidate);
    } catch {
      // Of an ignored offer, or of a generation that is over. One that mattered is missed by ICE, which restarts.
    }
  }

  #localDescription(): Description {
    const description = this.#pc.localDescription;
    if (description === null) throw new Error('there is no local description');
    return { type: description.type, sdp: description.sdp };
  }
}
