import type {
  CallRecord,
  CallState,
  EndReason,
  ErrorCode,
  FieldProblem,
  Link,
  SignOutReason,
} from '../../client';
import { duration } from './time';

/** What a person is told for each code. */
const WORDS: Record<ErrorCode, string> = {
  validation_failed: 'Please check what you entered.',
  invalid_json: 'The request was not understood. Please reload the page.',
  unauthorized: 'Please sign in again.',
  token_expired: 'Your session has expired. Please sign in again.',
  invalid_credentials: 'That name and password do not match.',
  session_revoked: 'Your session was ended. Please sign in again.',
  forbidden: 'You may not do that.',
  wrong_password: 'That is not your current password.',
  account_disabled: 'This account is disabled. Please ask an administrator.',
  registration_closed: 'New accounts are made by an administrator here.',
  not_found: 'That is not there any more.',
  method_not_allowed: 'The server does not offer that.',
  username_taken: 'That name is taken. Please choose another.',
  payload_too_large: 'That was too large for the server.',
  unsupported_media_type: 'The request was not understood. Please reload the page.',
  rate_limited: 'Too many tries. Please wait a moment.',
  unavailable: 'The server is busy. Please try again in a moment.',
  internal: 'Something went wrong on the server. Please try again.',
  identity_mismatch: 'Another account is signed in. Please sign in again.',
  not_joined: 'The connection is not ready yet. Please try again.',
  invalid_state: 'That is not possible now: there is a call already, or it has ended.',
  self_call: 'You cannot call yourself.',
  unknown_event: 'The server does not offer that.',
  network: 'The server cannot be reached. Check your connection.',
  timeout: 'The server did not answer in time. Please try again.',
  offline: 'You are offline. We are trying to reconnect.',
  signed_out: 'Please sign in.',
  unexpected: 'Something unexpected happened. Please try again.',
  media_denied:
    'Access to camera or microphone was denied. Allow it beside the address of this page, then try again.',
  camera_not_found: 'No camera was found. You can make an audio call.',
  microphone_not_found: 'No microphone was found. Connect one, then try again.',
  media_in_use: 'Another program is using the camera or microphone. Close it, then try again.',
  media_unsupported: 'Calls need a secure page (https) and a current browser.',
  media_failed: 'The camera or microphone could not be started.',
  screen_not_shared: 'Your screen is not shared.',
  turn_refused: 'No connection: the relay (TURN) server refused the call. Please tell an administrator.',
};

const ENDED: Record<EndReason, string> = {
  hangup: 'Call ended.',
  cancelled: 'Call cancelled.',
  no_answer: 'No answer.',
  answered_elsewhere: 'Answered on another device.',
  rejected_elsewhere: 'Declined on another device.',
  connection_lost: 'The connection was lost.',
  server_shutdown: 'The server is restarting. Please call again in a moment.',
  session_revoked: 'The call ended because a session was ended.',
  rejected: 'Call declined.',
  user_offline: 'They are offline. They will see a missed call.',
  user_busy: 'They are in another call.',
  failed: 'The call could not be made.',
  moved: 'The call continues in another window.',
};

const SIGNED_OUT: Record<SignOutReason, string> = {
  logout: 'You are signed out.',
  session_revoked: 'Your session was ended. Please sign in again.',
  session_expired: 'Your session has expired. Please sign in again.',
  account_deleted: 'Your account was deleted.',
  elsewhere: 'You signed out in another tab.',
};

type Phase = CallState['phase'];

const PHASES: Record<Phase, string> = {
  preparing: 'Starting…',
  calling: 'Calling…',
  ringing: 'Ringing…',
  incoming: 'Incoming call',
  accepting: 'Connecting…',
  connecting: 'Connecting…',
  connected: 'Connected',
  reconnecting: 'Reconnecting…',
  ended: 'Call ended',
};

export const endWords = (reason: EndReason): string => ENDED[reason];
export const signedOutWords = (reason: SignOutReason): string => SIGNED_OUT[reason];

export function errorWords(code: ErrorCode, retryAfterMs?: number): string {
  if (code !== 'rate_limited' || retryAfterMs === undefined) return WORDS[code];
  const seconds = Math.ceil(retryAfterMs / 1000);
  return `Too many tries. Please wait ${seconds === 1 ? 'a second' : `${seconds} seconds`}.`;
}

/** The server's details by the name of their field, as sentences. */
export function fieldProblems(details: readonly FieldProblem[]): Record<string, string> {
  return Object.fromEntries(
    details.map(({ field, message }) => [field, `${message.charAt(0).toUpperCase()}${message.slice(1)}.`]),
  );
}

/** Whether a call that waits for an answer waits for the server first. */
export const isServerAway = (state: CallState): boolean => 'server' in state && !state.server;

export const phaseWords = (state: CallState): string =>
  PHASES[isServerAway(state) ? 'reconnecting' : state.phase];

/** Whose side of the call is gone. */
export function lossWords({ server, peer }: Link, peerName: string): string {
  if (!server) return 'The server cannot be reached from here.';
  return peer ? 'No picture or sound comes through.' : `${peerName} lost the connection.`;
}

export function recordWords(call: CallRecord, mine: boolean): string {
  if (call.status === 'completed')
    return `${mine ? 'Outgoing' : 'Incoming'}, ${duration(call.durationSeconds ?? 0)}`;
  if (call.status === 'missed') return mine ? 'No answer' : 'Missed';
  return {
    ringing: 'Ringing',
    active: 'In progress',
    rejected: 'Declined',
    cancelled: 'Cancelled',
    failed: 'Failed',
  }[call.status];
}

/** The title of the document: what somebody in another tab should know. */
export function titleWords(call: { phase: Phase; peer: string } | null, missed: number): string {
  if (call?.phase === 'incoming') return `${call.peer} is calling`;
  if (call !== null) return `Call with ${call.peer}`;
  return missed > 0 ? `(${missed}) Calls` : 'Calls';
}

const TONES = 6;

/** A colour of an avatar, the same for a name wherever it is shown. */
export function avatarTone(name: string): number {
  let hash = 0;
  for (const character of name) hash = (hash * 31 + (character.codePointAt(0) ?? 0)) % 65_521;
  return hash % TONES;
}
