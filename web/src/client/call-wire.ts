import type { Connection } from './connection';
import { Emitter } from './emitter';
import { type CallError, isCallError, toCallError } from './errors';
import type { CallType, Candidate, Description, DialStatus, MediaState, Party } from './protocol';

export interface CallWireEvents {
  /** The server does not count this device among the call's any more: another has taken it over, or it is over. */
  lost: undefined;
  error: CallError;
}

/** What one call says to the server, under its id. */
export class CallWire extends Emitter<CallWireEvents> {
  readonly #connection: Connection;
  readonly #peer: Party;
  #id: string | null;
  /** Our candidates while there is no call to send them for, or no socket. */
  #waiting: Candidate[] = [];
  #open = false;
  /** The server may have a call of ours whose id has not come. */
  #dials = false;
  /** What the server has not heard yet of the end. */
  #farewell: 'end_call' | 'reject_call' | null = null;

  constructor(connection: Connection, peer: Party, id: string | null) {
    super();
    this.#connection = connection;
    this.#peer = peer;
    this.#id = id;
  }

  get id(): string | null {
    return this.#id;
  }

  /** Takes the id that the server gave; the first one stays. */
  adopt(id: string): void {
    this.#id ??= id;
  }

  /** Speaks for another call from now on: nothing of the one before is said any more. */
  turnTo(id: string): void {
    this.#id = id;
    this.#waiting = [];
    this.#open = false;
  }

  /** Null when the socket was lost meanwhile: the next join decides. */
  async dial(callType: CallType, offer: Description): Promise<{ callId: string; status: DialStatus } | null> {
    this.#dials = true;
    try {
      const reply = await this.#connection.request('call_user', { to: this.#peer.id, callType, offer });
      this.#dials = false;
      return reply;
    } catch (error) {
      this.#dials = isCallError(error, 'offline', 'timeout');
      if (isCallError(error, 'offline')) return null;
      throw error;
    }
  }

  /** False when the socket was lost meanwhile: the next join decides. */
  async accept(answer: Description): Promise<boolean> {
    if (this.#id === null) return false;
    try {
      await this.#connection.request('accept_call', { callId: this.#id, answer });
      return true;
    } catch (error) {
      if (isCallError(error, 'offline')) return false;
      throw error;
    }
  }

  describe(description: Description): Promise<void> {
    return this.#tell((callId) => this.#connection.request('renegotiate', { callId, description }));
  }

  tellMedia({ audio, video, screen = false }: MediaState): Promise<void> {
    return this.#tell((callId) => this.#connection.request('media_state', { callId, audio, video, screen }));
  }

  candidate(candidate: Candidate): void {
    if (this.#open) void this.#sendCandidate(candidate);
    else this.#waiting.push(candidate);
  }

  /** Sends the candidates that wait, and those that come. Again after an interruption. */
  openCandidates(): void {
    this.#open = true;
    for (const candidate of this.#waiting.splice(0)) void this.#sendCandidate(candidate);
  }

  /** Leaves the call, if it has come to be one; what does not reach the server is said by `repeatFarewell`. */
  leave(event: 'end_call' | 'reject_call'): Promise<void> {
    if (this.#id !== null || this.#dials) this.#farewell = event;
    return this.repeatFarewell();
  }

  /** Whether the server does not know yet that `callId` was left here. */
  owesFarewell(callId: string): boolean {
    return this.#farewell !== null && this.#id === callId;
  }

  /** Whether that is so of a call whose id has not come. */
  get awaitsId(): boolean {
    return this.#farewell !== null && this.#id === null && this.#dials;
  }

  async repeatFarewell(): Promise<void> {
    const farewell = this.#farewell;
    if (farewell === null) return;
    await this.#tell(async (callId) => {
      try {
        await this.#connection.request(farewell, { callId });
      } catch (error) {
        // Otherwise it is over already.
        if (!isNotOurs(error)) throw error;
      }
      this.#farewell = null;
    });
  }

  async #sendCandidate(candidate: Candidate): Promise<void> {
    if (this.#id === null) return;
    const payload = { to: this.#peer.id, candidate, callId: this.#id };
    try {
      await this.#connection.request('ice_candidate', payload);
    } catch (error) {
      // Any other refusal is of a call that is over, or of one candidate too many.
      if (isCallError(error, 'offline')) this.#waiting.push(candidate);
    }
  }

  /** A message whose loss the next join makes good. */
  async #tell(send: (callId: string) => Promise<unknown>): Promise<void> {
    if (this.#id === null) return;
    try {
      await send(this.#id);
    } catch (error) {
      if (isNotOurs(error)) this.emit('lost', undefined);
      else if (!isCallError(error, 'offline', 'timeout')) this.emit('error', toCallError(error));
    }
  }
}

/** `invalid_state`: the call lives without this device, or has just ended. `not_found`: it ended long ago. */
function isNotOurs(error: unknown): boolean {
  return isCallError(error, 'invalid_state', 'not_found');
}
