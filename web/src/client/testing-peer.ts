import type { Description } from './protocol';

/** Stand-ins for the browser's media and peer connection, for tests: they negotiate, and carry nothing. */

let made = 0;
const unique = (what: string) => `${what}${++made}`;

export class FakeTrack {
  readonly id = unique('track');
  readonly kind: 'audio' | 'video';
  enabled = true;
  readyState: 'live' | 'ended' = 'live';
  onended: (() => void) | null = null;
  constructor(kind: 'audio' | 'video') {
    this.kind = kind;
  }
  stop() {
    this.readyState = 'ended';
  }
  /** The device goes, or the user ends it in the browser. */
  ends() {
    this.readyState = 'ended';
    this.onended?.();
  }
}

export class FakeStream {
  readonly id = unique('stream');
  readonly #tracks: FakeTrack[];
  constructor(...tracks: FakeTrack[]) {
    this.#tracks = tracks;
  }
  getTracks() {
    return [...this.#tracks];
  }
  getAudioTracks() {
    return this.#tracks.filter(({ kind }) => kind === 'audio');
  }
  getVideoTracks() {
    return this.#tracks.filter(({ kind }) => kind === 'video');
  }
  addTrack(track: FakeTrack) {
    if (!this.#tracks.includes(track)) this.#tracks.push(track);
  }
  removeTrack(track: FakeTrack) {
    const at = this.#tracks.indexOf(track);
    if (at >= 0) this.#tracks.splice(at, 1);
  }
}

class FakeTransceiver {
  readonly kind: 'audio' | 'video';
  readonly receiver: { readonly track: FakeTrack };
  readonly sender: FakeSender;
  mid: string | null = null;
  currentDirection: RTCRtpTransceiverDirection | null = null;
  negotiated = '';
  readonly #changed: () => void;
  #direction: RTCRtpTransceiverDirection;
  constructor(kind: 'audio' | 'video', direction: RTCRtpTransceiverDirection, changed: () => void) {
    this.kind = kind;
    this.#direction = direction;
    this.#changed = changed;
    this.receiver = { track: new FakeTrack(kind) };
    this.sender = new FakeSender();
  }
  get direction() {
    return this.#direction;
  }
  set direction(direction) {
    this.#direction = direction;
    this.#changed();
  }
  /** What a description would say of it. */
  get line() {
    return `${this.#direction} ${this.sender.streamId}`;
  }
}

class FakeSender {
  track: FakeTrack | null = null;
  streamId = '-';
  hasSent = false;
  async replaceTrack(track: FakeTrack | null) {
    this.track = track;
  }
  setStreams(stream?: FakeStream) {
    this.streamId = stream?.id ?? '-';
  }
}

interface Line {
  readonly mid: string;
  readonly kind: 'audio' | 'video';
  readonly direction: RTCRtpTransceiverDirection;
  readonly streamId: string;
}

const sends = (direction: string | null) => direction === 'sendrecv' || direction === 'sendonly';
const receives = (direction: string | null) => direction === 'sendrecv' || direction === 'recvonly';
function directionOf(send: boolean, receive: boolean): RTCRtpTransceiverDirection {
  if (send) return receive ? 'sendrecv' : 'sendonly';
  return receive ? 'recvonly' : 'inactive';
}

/** A description whose `o=` line names `session`, with a line for each medium. */
export function describe(type: RTCSdpType, session: string, lines: readonly Line[] = []): Description {
  const media = lines.map(
    ({ mid, kind, direction, streamId }) =>
      `m=${kind} 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:${mid}\r\na=${direction}\r\na=msid:${streamId} track\r\n`,
  );
  return { type, sdp: `v=0\r\no=- ${session} 2 IN IP4 127.0.0.1\r\n${media.join('')}` };
}

/** The lines of media in a description: `['audio sendrecv', …]`. */
export function mediaOf({ sdp }: Description): string[] {
  return linesOf(sdp).map(({ kind, direction }) => `${kind} ${direction}`);
}

function linesOf(sdp: string): Line[] {
  return sdp
    .split(/^m=/m)
    .slice(1)
    .map((section) => {
      const find = (pattern: RegExp) => pattern.exec(section)?.[1] ?? '';
      return {
        kind: find(/^(\w+)/),
        mid: find(/^a=mid:(\S+)/m),
        direction: find(/^a=(\w+)\r$/m),
        streamId: find(/^a=msid:(\S+)/m),
      } as Line;
    });
}

/** The answer of a peer that sends back every medium, in one stream. */
export function answerTo(offer: Description | null, session: string): Description {
  const lines = linesOf(offer?.sdp ?? '');
  return describe(
    'answer',
    session,
    lines.map((line) => ({ ...line, streamId: `${session}-stream` })),
  );
}

/** A peer connection by the rules of JSEP that matter here: signalling states and transceivers. */
export class FakePeer {
  readonly session = unique('session');
  signalingState: RTCSignalingState = 'stable';
  connectionState: RTCPeerConnectionState = 'new';
  localDescription: Description | null = null;
  remoteDescription: Description | null = null;
  readonly candidates: unknown[] = [];
  readonly configurations: RTCConfiguration[];
  restarts = 0;
  closed = false;
  onicecandidate: ((event: { candidate: unknown }) => void) | null = null;
  onicecandidateerror: ((event: { errorCode: number }) => void) | null = null;
  onconnectionstatechange: (() => void) | null = null;
  onnegotiationneeded: (() => void) | null = null;
  readonly #transceivers: FakeTransceiver[] = [];
  #needsAsked = false;

  constructor(configuration: RTCConfiguration = {}) {
    this.configurations = [configuration];
  }

  setConfiguration(configuration: RTCConfiguration) {
    this.configurations.push(configuration);
  }

  getTransceivers() {
    return [...this.#transceivers];
  }

  /** What is sent now: `['audio', 'video', …]`. */
  get sending(): FakeTrack[] {
    return this.#transceivers.flatMap(({ sender, direction }) =>
      sender.track !== null && sends(direction) ? [sender.track] : [],
    );
  }

  addTrack(track: FakeTrack, stream?: FakeStream) {
    const unused = this.#transceivers.find(
      ({ kind, sender }) => kind === track.kind && sender.track === null && !sender.hasSent,
    );
    const transceiver = unused ?? this.#add(track.kind, 'sendrecv');
    transceiver.sender.track = track;
    transceiver.sender.setStreams(stream);
    transceiver.direction = directionOf(true, receives(transceiver.direction));
    return transceiver.sender;
  }

  removeTrack(sender: FakeSender) {
    const transceiver = this.#transceivers.find((one) => one.sender === sender);
    if (transceiver === undefined) throw new Error('not a sender of this connection');
    sender.track = null;
    transceiver.direction = directionOf(false, receives(transceiver.direction));
  }

  async setLocalDescription() {
    const isAnswer = this.signalingState === 'have-remote-offer';
    if (!isAnswer) {
      for (const transceiver of this.#transceivers) {
        transceiver.mid ??= unique('mid');
      }
    }
    const remote = linesOf(this.remoteDescription?.sdp ?? '');
    const lines = this.#transceivers.flatMap(({ mid, kind, direction, sender }) => {
      if (mid === null) return [];
      const theirs = remote.find((line) => line.mid === mid)?.direction ?? null;
      const agreed = directionOf(sends(direction) && receives(theirs), receives(direction) && sends(theirs));
      return [{ mid, kind, direction: isAnswer ? agreed : direction, streamId: sender.streamId }];
    });
    this.localDescription = describe(isAnswer ? 'answer' : 'offer', this.session, lines);
    this.signalingState = isAnswer ? 'stable' : 'have-local-offer';
    if (isAnswer) this.#settle(remote);
  }

  async setRemoteDescription(remote: Description) {
    const expected = remote.type === 'answer' ? 'have-local-offer' : 'stable';
    // Browsers would roll back an offer, but that is not for us.
    if (this.signalingState !== expected) throw new Error(`${remote.type} in ${this.signalingState}`);
    this.remoteDescription = remote;
    const lines = linesOf(remote.sdp);
    if (remote.type === 'offer') {
      this.signalingState = 'have-remote-offer';
      for (const line of lines) this.#associate(line);
    } else {
      this.signalingState = 'stable';
    }
    if (remote.type === 'answer') this.#settle(lines);
  }

  async addIceCandidate(candidate: unknown) {
    this.candidates.push(candidate);
  }

  restartIce() {
    this.restarts += 1;
  }

  getStats() {
    return Promise.resolve(new Map());
  }

  close() {
    this.closed = true;
  }

  /** Media comes up, or goes. */
  becomes(state: RTCPeerConnectionState) {
    this.connectionState = state;
    this.onconnectionstatechange?.();
  }

  gathers(candidate: { candidate: string; type?: string }) {
    this.onicecandidate?.({ candidate: { ...candidate, toJSON: () => candidate } });
  }

  #add(kind: 'audio' | 'video', direction: RTCRtpTransceiverDirection) {
    const transceiver = new FakeTransceiver(kind, direction, () => this.#askIfNeeded());
    this.#transceivers.push(transceiver);
    return transceiver;
  }

  #associate({ mid, kind }: Line) {
    if (this.#transceivers.some((transceiver) => transceiver.mid === mid)) return;
    const free = this.#transceivers.find((one) => one.mid === null && one.kind === kind);
    (free ?? this.#add(kind, 'recvonly')).mid = mid;
  }

  #settle(remote: readonly Line[]) {
    for (const transceiver of this.#transceivers) {
      const theirs = remote.find(({ mid }) => mid === transceiver.mid)?.direction;
      if (theirs === undefined) continue;
      const { direction, sender } = transceiver;
      transceiver.currentDirection = directionOf(
        sends(direction) && receives(theirs),
        receives(direction) && sends(theirs),
      );
      transceiver.negotiated = transceiver.line;
      if (sends(transceiver.currentDirection)) sender.hasSent = true;
    }
    this.#askIfNeeded();
  }

  #askIfNeeded() {
    if (this.#needsAsked) return;
    this.#needsAsked = true;
    // A task of its own, as in a browser.
    setTimeout(() => {
      this.#needsAsked = false;
      const isNeeded = this.#transceivers.some(
        ({ mid, line, negotiated }) => mid === null || line !== negotiated,
      );
      if (isNeeded && this.signalingState === 'stable' && !this.closed) this.onnegotiationneeded?.();
    });
  }
}
