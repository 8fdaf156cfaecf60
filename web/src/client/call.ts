import {
  advance,
  type CallState,
  type CallStep,
  type EndReason,
  initialState,
  isLinkMissing,
} from './call-state';
import { CallWire } from './call-wire';
import type { Connection } from './connection';
import { Emitter } from './emitter';
import { CallError, isCallError, toCallError } from './errors';
import type { IceProvider } from './ice';
import { LinkTimers } from './link-timers';
import { type CameraUse, Capture, type LocalMedia } from './media';
import { type Negotiator, predecessorOf } from './negotiator';
import { PeerLink } from './peer-link';
import type { HeldCall, Platform, WantedMedia } from './platform';
import type {
  ActiveCall,
  CallRole,
  CallType,
  Candidate,
  Description,
  MediaState,
  Party,
  ServerEvents,
} from './protocol';

export interface CallEvents {
  state: CallState;
  /** Our own media: what is captured, and what of it is on. */
  local: LocalMedia;
  /** The peer's microphone and camera; null while there is nothing of them. */
  remoteStream: MediaStream | null;
  /** The screen that the peer shares; null while it does not. */
  remoteScreen: MediaStream | null;
  /** What the peer says that it sends. */
  remoteMedia: MediaState;
  error: CallError;
}

export interface CallDeps {
  readonly platform: Platform;
  readonly connection: Connection;
  readonly ice: IceProvider;
}

export interface CallSetup {
  readonly role: CallRole;
  readonly peer: Party;
  readonly callType: CallType;
  readonly callId?: string;
  readonly offer?: Description;
  /** Of a page that was loaded anew. */
  readonly resumed?: { readonly status: ActiveCall['status'] } & Omit<HeldCall, 'callId'>;
}

/** One call, from the click or the ring to its end. */
export class Call extends Emitter<CallEvents> {
  readonly peer: Party;
  readonly callType: CallType;
  readonly #deps: CallDeps;
  /** What the server is told; and, after the end, what it has yet to be told. */
  readonly wire: CallWire;
  readonly #capture: Capture;
  readonly #link: PeerLink;
  readonly #timers: LinkTimers;
  readonly #resumed: boolean;
  #role: CallRole;
  #state: CallState;
  /** The peer's first offer, when it is the peer who called. */
  #offer: Description | null;
  /** Our own first description: said again when it may have been lost. */
  #first: Description | null = null;
  /** The peer's offer to a page that was loaded anew and is not ready for it. */
  #early: Description | null = null;
  #remoteMedia: MediaState;
  #peerSession: string | null;
  #connectedAt: number | null;

  constructor(deps: CallDeps, { role, peer, callType, callId, offer, resumed }: CallSetup) {
    super();
    const { clock, media } = deps.platform;
    this.#deps = deps;
    this.peer = peer;
    this.callType = callType;
    this.#role = role;
    this.#offer = offer ?? null;
    this.#resumed = resumed !== undefined;
    this.#peerSession = resumed?.peerSession ?? null;
    this.#connectedAt = resumed?.connectedAt ?? null;
    this.#remoteMedia = { audio: true, video: callType === 'video' };
    this.#timers = new LinkTimers({
      clock,
      restart: () => void this.#mend(),
      giveUp: () => void this.#giveUp(),
    });
    this.wire = new CallWire(deps.connection, peer, callId ?? null);
    this.#capture = new Capture(media, resumed?.wanted);
    this.#link = new PeerLink({ platform: deps.platform, ice: deps.ice, capture: this.#capture });
    this.#listen();
    this.#state = initialState(role, resumed?.status);
    this.#timeLink();
  }

  get id(): string | null {
    return this.wire.id;
  }
  /** Whether the server may count this page among the call's: not while it merely rings, or has not said its answer yet. */
  get isParty(): boolean {
    const { phase } = this.#state;
    return phase !== 'ended' && phase !== 'incoming' && (phase !== 'accepting' || this.#first !== null);
  }
  get role(): CallRole {
    return this.#role;
  }
  get state(): CallState {
    return this.#state;
  }
  get local(): LocalMedia {
    return this.#capture.local;
  }
  /** Microphone and camera as a reload is to find them. */
  get wanted(): WantedMedia {
    return this.#capture.wanted;
  }
  get remoteStream(): MediaStream | null {
    return this.#link.remote.main;
  }
  get remoteScreen(): MediaStream | null {
    return this.#link.remote.screen;
  }
  get remoteMedia(): MediaState {
    return this.#remoteMedia;
  }
  /** Epoch milliseconds of the first media; null before. */
  get connectedAt(): number | null {
    return this.#connectedAt;
  }
  /** What a reload needs to find the peer's new connection. */
  get peerSession(): string | null {
    return this.#peerSession;
  }

  getStats(): Promise<RTCStatsReport> | null {
    return this.#link.negotiator?.getStats() ?? null;
  }

  // --- what the user wants ---

  /** Captures, and calls. */
  async dial(): Promise<void> {
    await this.#guard(async () => {
      if (this.#deps.connection.state !== 'online')
        throw new CallError('offline', 'No call without a socket');
      const negotiator = await this.#open(this.callType === 'video' ? 'required' : 'off');
      const offer = await negotiator?.offer();
      if (offer === undefined || this.#isOver()) return;
      this.#first = offer;
      this.#step({ type: 'dialled' });
      await this.#sendOffer(offer);
    });
  }

  /** Answers a call that rings here. */
  async accept({ video }: { video: boolean }): Promise<void> {
    if (this.#state.phase === 'incoming') await this.#answer(video);
  }

  async reject(): Promise<void> {
    if (this.#state.phase !== 'incoming') return;
    this.finish('rejected');
    await this.wire.leave('reject_call');
  }

  async hangUp(): Promise<void> {
    if (this.#isOver()) return;
    this.finish('link' in this.#state ? 'hangup' : 'cancelled');
    await this.wire.leave('end_call');
  }

  setMicrophone(on: boolean): void {
    this.#capture.setMicrophone(on);
  }

  setCamera(on: boolean): Promise<void> {
    return this.#try(() => this.#capture.setCamera(on));
  }

  /** Asks which screen to share, and sends it beside the camera. */
  shareScreen(): Promise<void> {
    return this.#try(() => this.#capture.shareScreen());
  }

  stopSharing(): Promise<void> {
    return this.#try(() => this.#capture.stopSharing());
  }

  // --- what the server says ---

  /** The server has our call, and its id. */
  rings(callId: string): void {
    this.wire.adopt(callId);
    this.#step({ type: 'rings' });
    this.wire.openCandidates();
  }

  /** Takes the peer's call in place of our own, which crossed it. */
  async yieldTo({ callId, offer }: ServerEvents['incoming_call']): Promise<void> {
    this.#role = 'callee';
    this.#offer = offer;
    this.#first = null;
    this.#link.reset();
    this.wire.turnTo(callId);
    await this.#answer(this.local.video);
  }

  /** The peer answered; null when its answer was lost on the way. */
  async onAccepted(answer: Description | null): Promise<void> {
    const isNews = !('link' in this.#state);
    this.#step({ type: 'answered' });
    // The answer is to the offer of a page that is gone.
    if (this.#resumed) return isNews ? this.resume() : undefined;
    await this.#guard(async () => {
      if (answer !== null) await this.#link.negotiator?.accepted(answer);
      this.#link.negotiator?.goLive();
      if (answer === null) await this.#link.negotiator?.resync();
      await this.#tellMedia();
    });
  }

  onCandidate(candidate: Candidate): void {
    this.#link.receiveCandidate(candidate);
  }

  onDescription(description: Description): void {
    const { negotiator } = this.#link;
    if (negotiator !== null) void this.#try(() => negotiator.receive(description));
    else if (description.type === 'offer') this.#early = description;
  }

  onMediaState({ audio, video, screen = false }: MediaState): void {
    this.#remoteMedia = { audio, video, screen };
    this.emit('remoteMedia', this.#remoteMedia);
  }

  onEnded(reason: EndReason): void {
    // The peer gave up before we did, mostly by moments.
    if (reason === 'hangup' && this.#lacksRelay()) this.#finishLost();
    else this.finish(reason);
  }

  onPeer(reachable: boolean): void {
    this.#step({ type: 'link', link: { peer: reachable } });
    if (reachable) void this.#mend();
  }

  /** Our own socket was lost. */
  onOffline(): void {
    this.#step({ type: 'link', link: { server: false } });
  }

  /** Our own socket is back, and the call still ours. */
  async onBack({ callId, status }: ActiveCall): Promise<void> {
    this.#step({ type: 'link', link: { server: true, peer: true } });
    if (this.#state.phase === 'accepting') return this.sayAgain();
    if (this.#state.phase === 'calling') this.rings(callId);
    this.wire.openCandidates();
    if (status !== 'active') return;
    if (!('link' in this.#state)) return this.onAccepted(null);
    await this.#mend();
  }

  /** Our call or our answer may have been lost with the socket: the server takes either twice. */
  async sayAgain(): Promise<void> {
    this.#step({ type: 'link', link: { server: true } });
    const first = this.#first;
    if (first === null) return;
    await this.#guard(() =>
      this.#state.phase === 'calling' ? this.#sendOffer(first) : this.#sendAnswer(first),
    );
  }

  /** Builds the media of a call that this page did not begin. */
  async resume(): Promise<void> {
    await this.#guard(async () => {
      const negotiator = await this.#open(this.wanted.video ? 'optional' : 'off');
      this.wire.openCandidates();
      await negotiator?.goLiveAfresh();
      // Of a peer that was loaded anew as well: it waits for one of the two offers to be answered.
      if (this.#early !== null) await negotiator?.receive(this.#early);
      await this.#tellMedia();
    });
  }

  /** Ends it here, without telling the server. */
  finish(reason: EndReason): void {
    if (this.#isOver()) return;
    this.#timers.stop();
    this.#link.close();
    this.#capture.close();
    this.#step({ type: 'end', reason });
  }

  // --- inside ---

  #isOver(): boolean {
    return this.#state.phase === 'ended';
  }

  #step(step: CallStep): void {
    const next = advance(this.#state, step);
    if (next === this.#state) return;
    this.#state = next;
    if (next.phase === 'connected') this.#connectedAt ??= this.#deps.platform.clock.now();
    this.#timeLink();
    this.emit('state', next);
  }

  #timeLink(): void {
    if (isLinkMissing(this.#state)) this.#timers.linkIsDown();
    else this.#timers.linkIsUp();
  }

  async #giveUp(): Promise<void> {
    const { isParty } = this;
    this.#finishLost();
    // What merely rang here may ring again.
    if (isParty) await this.wire.leave('end_call');
  }

  #finishLost(): void {
    if (this.#lacksRelay()) this.emit('error', new CallError('turn_refused', 'The TURN server refused us'));
    this.finish('connection_lost');
  }

  #lacksRelay(): boolean {
    return 'link' in this.#state && this.#state.link.media !== 'up' && this.#link.relayRefused;
  }

  async #sendOffer(offer: Description): Promise<void> {
    const reply = await this.wire.dial(this.callType, offer);
    if (reply === null) return;
    const { callId, status } = reply;
    if (this.#isOver()) {
      // Given up while the server was being asked.
      this.wire.adopt(callId);
      await this.wire.leave('end_call');
    } else if (status === 'ringing') {
      this.rings(callId);
    } else if (status !== 'glare') {
      this.finish(status);
    }
  }

  async #answer(video: boolean): Promise<void> {
    const offer = this.#offer;
    if (offer === null) return;
    this.#step({ type: 'accept' });
    await this.#guard(async () => {
      const negotiator = await this.#open(video ? 'optional' : 'off');
      const answer = await negotiator?.answer(offer);
      if (answer === undefined || this.#isOver()) return;
      this.#first = answer;
      await this.#sendAnswer(answer);
    });
  }

  async #sendAnswer(answer: Description): Promise<void> {
    const accepted = this.wire.accept(answer);
    this.wire.openCandidates();
    if (!(await accepted)) return;
    this.#step({ type: 'answered' });
    const { negotiator } = this.#link;
    // Media does not wait for the acknowledgement.
    if (negotiator !== null) this.#onMedia(negotiator.connectionState);
    negotiator?.goLive();
    await this.#tellMedia();
  }

  #open(camera: CameraUse): Promise<Negotiator | null> {
    return this.#link.open(camera, {
      polite: this.#role === 'callee',
      ...(this.#resumed ? { predecessor: predecessorOf(this.#peerSession) } : {}),
    });
  }

  #listen(): void {
    this.wire.on('lost', () => this.finish('moved'));
    this.wire.on('error', (error) => this.#report(error));
    this.#capture.on('error', (error) => this.#report(error));
    this.#capture.on('change', (local) => {
      this.emit('local', local);
      void this.#tellMedia();
    });
    this.#link.on('remoteStream', (stream) => this.emit('remoteStream', stream));
    this.#link.on('remoteScreen', (stream) => this.emit('remoteScreen', stream));
    this.#link.on('connection', (state) => this.#onMedia(state));
    this.#link.on('candidate', (candidate) => this.wire.candidate(candidate));
    this.#link.on('description', (description) => void this.wire.describe(description));
    this.#link.on('peerSession', (session) => {
      this.#peerSession = session;
      this.emit('state', this.#state);
    });
  }

  #onMedia(state: RTCPeerConnectionState): void {
    this.#timers.settled();
    if (state === 'connected') this.#step({ type: 'link', link: { media: 'up' } });
    if (state === 'failed' || state === 'disconnected') this.#step({ type: 'link', link: { media: 'down' } });
    if (state === 'failed') void this.#mend();
    if (state === 'disconnected') this.#timers.restartSoon(this.#role === 'callee');
  }

  /** Says again what signalling may have lost, and restarts ICE unless media flows. */
  async #mend(): Promise<void> {
    const negotiator = this.#link.negotiator;
    if (negotiator === null || !('link' in this.#state) || !this.#state.link.server) return;
    await this.#try(async () => {
      await negotiator.resync();
      await this.#tellMedia();
      if (negotiator.connectionState !== 'connected') await negotiator.restartIce();
    });
  }

  async #tellMedia(): Promise<void> {
    if ('link' in this.#state) await this.wire.tellMedia(this.local);
  }

  /** Steps without which there is no call: their failure ends it. */
  async #guard(task: () => Promise<unknown>): Promise<void> {
    try {
      await task();
    } catch (error) {
      if (this.#isOver()) return;
      // Another device of ours was faster, and the call is now its own.
      if (isCallError(error, 'invalid_state') && this.#role === 'callee')
        return this.finish('answered_elsewhere');
      this.emit('error', toCallError(error));
      this.finish('failed');
      await this.wire.leave('end_call');
    }
  }

  /** Steps whose failure the call outlives. */
  async #try(task: () => Promise<unknown>): Promise<void> {
    try {
      await task();
    } catch (error) {
      this.#report(error);
    }
  }

  /** After the end nothing is news that the end is not. */
  #report(error: unknown): void {
    if (!this.#isOver()) this.emit('error', toCallError(error));
  }
}
