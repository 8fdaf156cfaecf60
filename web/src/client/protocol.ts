/**
 * The wire contract in types: what `docs/protocol.md` says, and nothing else.
 * Ids are UUIDs, times RFC 3339 in UTC, except `startTime` of an active call (epoch milliseconds).
 */

export type CallType = 'video' | 'audio';

export interface Party {
  readonly id: string;
  readonly username: string;
}

export interface User extends Party {
  readonly isOnline: boolean;
  readonly lastSeen?: string;
}

export interface OnlineUser extends Party {
  readonly isOnline: true;
  readonly socketId?: string;
}

/** The answer of `/api/refresh`. */
export interface Tokens {
  readonly token: string;
  readonly refreshToken: string;
  /** Seconds. */
  readonly expiresIn: number;
}

/** The answer of `/api/login` and `/api/register`. */
export interface Login extends Tokens {
  readonly user: User;
}

export type CallStatus = 'ringing' | 'active' | 'completed' | 'rejected' | 'cancelled' | 'missed' | 'failed';

/** A party of a past call; both are null when the account was deleted. */
export interface PastParty {
  readonly id: string | null;
  readonly username: string | null;
}

/** A call as `/api/calls` tells it. */
export interface CallRecord {
  readonly id: string;
  readonly from: PastParty;
  readonly to: PastParty;
  readonly callType: CallType;
  readonly status: CallStatus;
  readonly endReason: string | null;
  readonly startTime: number;
  readonly answeredAt: string | null;
  readonly endedAt: string | null;
  readonly durationSeconds: number | null;
}

export interface CallPage {
  readonly calls: readonly CallRecord[];
  /** The `before` of the next page; null at the end. */
  readonly next: string | null;
}

export interface CallQuery {
  readonly limit?: number;
  readonly before?: string;
  readonly status?: CallStatus;
  readonly with?: string;
}

export interface IceServers {
  readonly iceServers: readonly RTCIceServer[];
  /** Seconds for which the credentials hold. */
  readonly ttl: number;
}

export const REST_CODES = [
  'validation_failed',
  'invalid_json',
  'unauthorized',
  'token_expired',
  'invalid_credentials',
  'session_revoked',
  'forbidden',
  'wrong_password',
  'account_disabled',
  'registration_closed',
  'not_found',
  'method_not_allowed',
  'username_taken',
  'payload_too_large',
  'unsupported_media_type',
  'rate_limited',
  'unavailable',
  'internal',
] as const;
export type RestCode = (typeof REST_CODES)[number];

export const SOCKET_CODES = [
  'validation_failed',
  'unauthorized',
  'token_expired',
  'session_revoked',
  'identity_mismatch',
  'not_joined',
  'not_found',
  'invalid_state',
  'self_call',
  'payload_too_large',
  'rate_limited',
  'unknown_event',
  'unavailable',
  'internal',
] as const;
export type SocketCode = (typeof SOCKET_CODES)[number];

export interface FieldProblem {
  readonly field: string;
  readonly message: string;
}

export type PresenceMode = 'full' | 'delta' | 'none';
export type DialStatus = 'ringing' | 'user_offline' | 'user_busy' | 'glare';
export type CallRole = 'caller' | 'callee';
/** Why the server says that a call is over. */
export type EndNotice =
  | 'hangup'
  | 'cancelled'
  | 'no_answer'
  | 'answered_elsewhere'
  | 'rejected_elsewhere'
  | 'connection_lost'
  | 'server_shutdown'
  | 'session_revoked';

export interface Description {
  readonly type: RTCSdpType;
  readonly sdp: string;
}

export type Candidate = RTCIceCandidateInit | null;

export interface MediaState {
  readonly audio: boolean;
  readonly video: boolean;
  readonly screen?: boolean;
}

/** The call that a device which came back is in. */
export interface ActiveCall {
  readonly callId: string;
  readonly role: CallRole;
  readonly peer: Party;
  readonly callType: CallType;
  readonly status: 'ringing' | 'active';
  readonly startTime: number;
}

export interface Failure {
  readonly ok: false;
  readonly error: string;
  readonly code: SocketCode;
  readonly retryAfterMs?: number;
}

/** Client → server: the payload of each event, and what its acknowledgement carries on success. */
export interface ClientEvents {
  join: {
    payload: { id: string; username: string; token?: string; presence?: PresenceMode; resume?: string };
    reply: unknown;
  };
  call_user: {
    payload: { to: string; from?: string; callType: CallType; offer: Description };
    reply: { callId: string; status: DialStatus };
  };
  accept_call: { payload: { callId: string; answer: Description }; reply: unknown };
  reject_call: { payload: { callId: string }; reply: unknown };
  end_call: { payload: { callId: string }; reply: unknown };
  ice_candidate: { payload: { to: string; candidate: Candidate; callId?: string }; reply: unknown };
  renegotiate: { payload: { callId: string; description: Description }; reply: unknown };
  media_state: { payload: { callId: string } & MediaState; reply: unknown };
  watch_users: {
    payload: { ids: readonly string[] };
    reply: { users: readonly { id: string; isOnline: boolean }[] };
  };
  authenticate: { payload: { token: string }; reply: unknown };
}
export type ClientEvent = keyof ClientEvents;
export type Payload<E extends ClientEvent> = ClientEvents[E]['payload'];
export type Reply<E extends ClientEvent> = ClientEvents[E]['reply'];

/** Server → client. */
export interface ServerEvents {
  join_success: {
    message: string;
    onlineUsers: readonly OnlineUser[];
    socketId: string;
    activeCall?: ActiveCall;
  };
  join_error: { error: string; code: SocketCode };
  users_updated: readonly OnlineUser[];
  presence_delta: { online: readonly (Party & { isOnline?: boolean })[]; offline: readonly string[] };
  incoming_call: { callId: string; from: Party; callType: CallType; offer: Description };
  call_status: { callId: string; status: DialStatus };
  call_accepted: { callId: string; answer: Description };
  call_rejected: { callId: string };
  call_ended: { callId: string; reason: EndNotice };
  ice_candidate: { from: string; candidate: Candidate; callId: string };
  renegotiate: { callId: string; from: string; description: Description };
  media_state: { callId: string; from: string } & MediaState;
  peer_reconnecting: { callId: string };
  peer_reconnected: { callId: string };
  token_expiring: { expiresInSeconds: number };
  event_error: { event: string; error: string; code: SocketCode; callId?: string; retryAfterMs?: number };
  pong: undefined;
}
export type ServerEvent = keyof ServerEvents;

/** Every event of the server, to subscribe to in one place. */
export const SERVER_EVENTS: readonly ServerEvent[] = [
  'join_success',
  'join_error',
  'users_updated',
  'presence_delta',
  'incoming_call',
  'call_status',
  'call_accepted',
  'call_rejected',
  'call_ended',
  'ice_candidate',
  'renegotiate',
  'media_state',
  'peer_reconnecting',
  'peer_reconnected',
  'token_expiring',
  'event_error',
  'pong',
];
