import { Call, type CallDeps, type CallSetup } from './call';
import { Emitter } from './emitter';
import { CallError, isCallError } from './errors';
import type { HeldCall } from './platform';
import type { ActiveCall, CallType, Party, ServerEvents } from './protocol';

export interface CallsEvents {
  /** The one call of this page; null when there is none. */
  current: Call | null;
  /** A call rings here. */
  incoming: Call;
  /** This session's call is in no page that holds it: offer to continue it here by `takeOver`. */
  elsewhere: ActiveCall;
}

/** The calls of this page: one at a time. Gives each event of the server to the call it belongs to. */
export class Calls extends Emitter<CallsEvents> {
  readonly #deps: CallDeps;
  #current: Call | null = null;
  /** A call from the user whom we are calling: it is ours to take if the server says `glare`. */
  #crossing: ServerEvents['incoming_call'] | null = null;
  #glare: string | null = null;
  /** The call before: it may have been left while the server could not be told. */
  #left: Call | null = null;

  constructor(deps: CallDeps) {
    super();
    this.#deps = deps;
    const { connection, platform } = deps;
    connection.on('join_success', ({ activeCall = null }) => {
      this.#joined(activeCall);
      // A call that the server did not name now is not there.
      if (this.#left?.wire.awaitsId === true) this.#left = null;
    });
    connection.on('state', (state) => {
      if (state === 'stopped' || state === 'cut') this.#current?.finish('connection_lost');
      else if (state !== 'online') this.#current?.onOffline();
    });
    connection.on('incoming_call', (incoming) => this.#incoming(incoming));
    connection.on('call_status', ({ callId, status }) => {
      if (status === 'glare') this.#takeTheirs(callId);
      else if (status === 'ringing') this.#rings(callId);
    });
    connection.on('call_accepted', ({ callId, answer }) => {
      if (!this.#endIfGivenUp(callId)) void this.#of(callId)?.onAccepted(answer);
    });
    connection.on('call_rejected', ({ callId }) => this.#of(callId)?.finish('rejected'));
    connection.on('call_ended', ({ callId, reason }) => {
      if (this.#crossing?.callId === callId) this.#crossing = null;
      this.#of(callId)?.onEnded(reason);
    });
    connection.on('ice_candidate', ({ callId, candidate }) => this.#of(callId)?.onCandidate(candidate));
    connection.on('renegotiate', ({ callId, description }) => this.#of(callId)?.onDescription(description));
    connection.on('media_state', (state) => this.#of(state.callId)?.onMediaState(state));
    connection.on('peer_reconnecting', ({ callId }) => this.#of(callId)?.onPeer(false));
    connection.on('peer_reconnected', ({ callId }) => this.#of(callId)?.onPeer(true));
    platform.tabs.subscribe(({ callId }) => this.#of(callId)?.finish('moved'));
  }

  get current(): Call | null {
    return this.#current;
  }

  /** The call to ask for at a join. */
  get resumable(): string | null {
    const current = this.#current;
    if (current !== null) return current.isParty ? current.id : null;
    return this.#deps.platform.tabStore.read()?.callId ?? null;
  }

  /** Calls `peer`; if `peer` is calling us just now, answers instead. */
  start(peer: Party, callType: CallType): Call {
    const current = this.#current;
    if (current?.state.phase === 'incoming' && current.peer.id === peer.id) {
      void current.accept({ video: callType === 'video' });
      return current;
    }
    if (current !== null) throw new CallError('invalid_state', 'There is a call already');
    const call = this.#hold({ role: 'caller', peer, callType });
    void call.dial();
    return call;
  }

  /** Continues here a call that another page of this session was in; without the camera until it is asked for. */
  takeOver(active: ActiveCall): Call {
    return this.#resume(active, {
      peerSession: null,
      wanted: { audio: true, video: false },
      connectedAt: null,
    });
  }

  /** Hangs up a call that another page of this session holds. */
  async endElsewhere({ callId }: ActiveCall): Promise<void> {
    try {
      await this.#deps.connection.request('end_call', { callId });
    } catch (error) {
      // Over already.
      if (!isCallError(error, 'not_found')) throw error;
    }
  }

  #of(callId: string): Call | null {
    return this.#current?.id === callId ? this.#current : null;
  }

  #incoming(incoming: ServerEvents['incoming_call']): void {
    const current = this.#current;
    if (current?.id === incoming.callId) return;
    if (this.#endIfLeft(incoming.callId)) return;
    if (current === null) {
      const { callId, from, callType, offer } = incoming;
      this.emit('incoming', this.#hold({ role: 'callee', peer: from, callType, callId, offer }));
    } else if (current.peer.id === incoming.from.id) {
      this.#crossing = incoming;
      if (this.#glare === incoming.callId) this.#takeTheirs(incoming.callId);
    }
  }

  #rings(callId: string): void {
    if (this.#current?.state.phase === 'calling') this.#current.rings(callId);
    else this.#endIfGivenUp(callId);
  }

  /** Says again that we left this call, if the server does not know it yet. */
  #endIfLeft(callId: string): boolean {
    if (this.#left?.wire.owesFarewell(callId) !== true) return false;
    void this.#left.wire.repeatFarewell();
    return true;
  }

  /** A call of this page that it does not know can only be the one that was given up before its id came. */
  #endIfGivenUp(callId: string): boolean {
    if (this.#current?.id === callId || this.#left?.wire.awaitsId !== true) return false;
    this.#left.wire.adopt(callId);
    return this.#endIfLeft(callId);
  }

  #takeTheirs(callId: string): void {
    this.#glare = callId;
    const theirs = this.#crossing;
    const mine = this.#current;
    if (theirs === null || mine === null || theirs.callId !== callId || mine.state.phase !== 'calling')
      return;
    this.#glare = null;
    this.#crossing = null;
    void mine.yieldTo(theirs);
  }

  #joined(active: ActiveCall | null): void {
    if (this.#current !== null) this.#joinedWith(this.#current, active);
    if (this.#current !== null) return;
    if (active !== null && this.#endIfLeft(active.callId)) return;
    const isDialled = active?.role === 'caller' && active.peer.id === this.#left?.peer.id;
    if (isDialled && this.#endIfGivenUp(active.callId)) return;
    const held = this.#deps.platform.tabStore.read();
    if (active === null) this.#deps.platform.tabStore.write(null);
    else if (held?.callId === active.callId) this.#resume(active, held);
    else this.emit('elsewhere', active);
  }

  #joinedWith(call: Call, active: ActiveCall | null): void {
    const { phase } = call.state;
    const mine = active !== null && (call.id === active.callId || active.peer.id === call.peer.id);
    // The server gives the seat of a page that is away to any other of its session; that one has no media.
    if (mine && !call.isParty && call.id === active.callId) call.finish('answered_elsewhere');
    else if (mine) void call.onBack(active);
    else if (phase === 'calling' || phase === 'accepting') void call.sayAgain();
    // What still rings here comes again as `incoming_call`; what is not dialled yet is not known to the server.
    else if (phase !== 'preparing') call.finish('connection_lost');
  }

  #resume(active: ActiveCall, held: Omit<HeldCall, 'callId'>): Call {
    const { callId, role, peer, callType, status } = active;
    this.#deps.platform.tabs.post({ type: 'call_taken', callId });
    const call = this.#hold({ role, peer, callType, callId, resumed: { ...held, status } });
    if (status === 'active') void call.resume();
    return call;
  }

  #hold(setup: CallSetup): Call {
    const call = new Call(this.#deps, setup);
    this.#current = call;
    this.#crossing = null;
    this.#glare = null;
    this.#remember(call);
    call.on('state', (state) => {
      if (this.#current !== call) return;
      this.#remember(call);
      if (state.phase !== 'ended') return;
      this.#current = null;
      this.#left = call;
      this.#deps.ice.rest();
      this.emit('current', null);
      // The peer's call, which our own has kept waiting.
      const crossing = this.#crossing;
      if (crossing !== null) this.#incoming(crossing);
    });
    call.on('local', () => {
      if (this.#current === call) this.#remember(call);
    });
    this.emit('current', call);
    return call;
  }

  /** For a reload. */
  #remember(call: Call): void {
    const { id: callId, isParty, peerSession, wanted, connectedAt } = call;
    this.#deps.platform.tabStore.write(
      callId !== null && isParty ? { callId, peerSession, wanted, connectedAt } : null,
    );
  }
}
