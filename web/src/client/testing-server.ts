import type { CallType, Candidate, Description, MediaState, Party } from './protocol';
import { type FakeSocket, type Page, settle } from './testing';

/** The server between two pages, with one call: passes on what is said, and acknowledges it. */
export function connect(
  [first, firstUser]: [Page, Party],
  [second, secondUser]: [Page, Party],
  callId = 'c1',
): void {
  const route = (me: Page, from: Party, peer: Page): void => {
    // A turn later: messages are on their way, and may cross.
    const deliver: FakeSocket['says'] = async (event, payload) => {
      await settle();
      await peer.socket.says(event, payload);
    };
    Object.assign(me.socket.replies, {
      call_user: ({ callType, offer }: { callType: CallType; offer: Description }) => {
        void deliver('incoming_call', { callId, from, callType, offer });
        return { ok: true, callId, status: 'ringing' };
      },
      accept_call: ({ answer }: { answer: Description }) => {
        void deliver('call_accepted', { callId, answer });
        return { ok: true };
      },
      end_call: () => {
        void deliver('call_ended', { callId, reason: 'hangup' });
        return { ok: true };
      },
      ice_candidate: ({ candidate }: { candidate: Candidate }) => {
        void deliver('ice_candidate', { callId, from: from.id, candidate });
        return { ok: true };
      },
      renegotiate: ({ description }: { description: Description }) => {
        void deliver('renegotiate', { callId, from: from.id, description });
        return { ok: true };
      },
      media_state: (state: MediaState) => {
        void deliver('media_state', { ...state, callId, from: from.id });
        return { ok: true };
      },
    });
  };
  route(first, firstUser, second);
  route(second, secondUser, first);
}

/** Lets an exchange between two pages run to its end. */
export async function exchange(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await settle();
}
