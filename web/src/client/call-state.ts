import type { ActiveCall, CallRole, EndNotice } from './protocol';

/** Why a call is over: the server's reasons, its answers to `call_user`, and what happened on this side. */
export type EndReason = EndNotice | 'rejected' | 'user_offline' | 'user_busy' | 'failed' | 'moved';

export interface Link {
  /** `new` until media flowed for the first time. */
  readonly media: 'new' | 'up' | 'down';
  /** Whether our own socket is joined. */
  readonly server: boolean;
  /** Whether the server has the peer's device. */
  readonly peer: boolean;
}

/** For an answer. */
interface Waiting {
  readonly phase: 'calling' | 'ringing' | 'incoming' | 'accepting';
  /** Whether our own socket is joined. */
  readonly server: boolean;
}

export type CallState =
  | { readonly phase: 'preparing' }
  | Waiting
  | { readonly phase: 'connecting' | 'connected' | 'reconnecting'; readonly link: Link }
  | { readonly phase: 'ended'; readonly reason: EndReason };

export type CallStep =
  | { readonly type: 'dialled' | 'rings' | 'accept' | 'answered' }
  | { readonly type: 'link'; readonly link: Partial<Link> }
  | { readonly type: 'end'; readonly reason: EndReason };

export function initialState(role: CallRole, resumed: ActiveCall['status'] | undefined): CallState {
  if (resumed === 'ringing') return waiting('ringing');
  if (resumed === 'active') return linked({ media: 'down', server: true, peer: true });
  return role === 'caller' ? { phase: 'preparing' } : waiting('incoming');
}

/** Whether the call waits for a link that is not there, and must not do so for ever. */
export function isLinkMissing(state: CallState): boolean {
  return 'server' in state ? !state.server : state.phase === 'connecting' || state.phase === 'reconnecting';
}

/** The state after `step`; the same object when the step changes nothing. */
export function advance(state: CallState, step: CallStep): CallState {
  if (state.phase === 'ended') return state;
  switch (step.type) {
    case 'dialled':
      return state.phase === 'preparing' ? waiting('calling') : state;
    case 'rings':
      return state.phase === 'calling' ? waiting('ringing') : state;
    case 'accept':
      // From `calling` by glare: the call that we accept is the peer's.
      return state.phase === 'incoming' || state.phase === 'calling'
        ? { phase: 'accepting', server: state.server }
        : state;
    case 'answered':
      return 'link' in state ? state : linked({ media: 'new', server: true, peer: true });
    case 'link':
      if ('link' in state) return linked({ ...state.link, ...step.link });
      if (!('server' in state)) return state;
      return withServer(state, step.link.server ?? state.server);
    case 'end':
      return { phase: 'ended', reason: step.reason };
  }
}

function withServer(state: Waiting, server: boolean): Waiting {
  return state.server === server ? state : { phase: state.phase, server };
}

export function waiting(phase: Waiting['phase']): Waiting {
  return { phase, server: true };
}

function linked(link: Link): CallState {
  if (!link.server || !link.peer || link.media === 'down') return { phase: 'reconnecting', link };
  return { phase: link.media === 'up' ? 'connected' : 'connecting', link };
}
