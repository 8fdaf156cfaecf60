import { type FieldProblem, REST_CODES, type RestCode, SOCKET_CODES, type SocketCode } from './protocol';

/** What can go wrong on this side of the wire. */
export type LocalCode =
  /** The server cannot be reached. */
  | 'network'
  /** No answer within the time that a person would wait. */
  | 'timeout'
  /** The socket is not joined now; it may come back. */
  | 'offline'
  | 'signed_out'
  /** The server answered something that is not the protocol: a proxy's error page, another server. */
  | 'unexpected'
  | 'media_denied'
  | 'camera_not_found'
  | 'microphone_not_found'
  | 'media_in_use'
  | 'media_unsupported'
  | 'media_failed'
  /** Nothing was chosen to share, or it may not be. */
  | 'screen_not_shared'
  /** The TURN server refused our credentials, and without it there was no way to the peer. */
  | 'turn_refused';

export type ErrorCode = RestCode | SocketCode | LocalCode;

export interface ErrorContext {
  readonly status?: number | undefined;
  readonly details?: readonly FieldProblem[] | undefined;
  readonly requestId?: string | undefined;
  readonly retryAfterMs?: number | undefined;
  readonly cause?: unknown;
}

/** The one error that the library throws: `code` for a program, `message` for a log. */
export class CallError extends Error {
  readonly code: ErrorCode;
  readonly status: number | undefined;
  readonly details: readonly FieldProblem[];
  readonly requestId: string | undefined;
  readonly retryAfterMs: number | undefined;

  constructor(code: ErrorCode, message: string, context: ErrorContext = {}) {
    super(message, context.cause === undefined ? undefined : { cause: context.cause });
    this.name = 'CallError';
    this.code = code;
    this.status = context.status;
    this.details = context.details ?? [];
    this.requestId = context.requestId;
    this.retryAfterMs = context.retryAfterMs;
  }
}

/** Whether `error` is a `CallError`, with one of `codes` if any are given. */
export function isCallError(error: unknown, ...codes: ErrorCode[]): error is CallError {
  return error instanceof CallError && (codes.length === 0 || codes.includes(error.code));
}

/** Any thrown thing as a `CallError`. */
export function toCallError(error: unknown): CallError {
  if (error instanceof CallError) return error;
  return new CallError('unexpected', error instanceof Error ? error.message : String(error), {
    cause: error,
  });
}

const KNOWN: ReadonlySet<string> = new Set([...REST_CODES, ...SOCKET_CODES]);

/** A code from the wire; one that this version does not know is `unexpected`. */
export function serverCode(code: unknown): RestCode | SocketCode | 'unexpected' {
  return typeof code === 'string' && KNOWN.has(code) ? (code as RestCode | SocketCode) : 'unexpected';
}

/** The error of a failed acknowledgement. */
export function replyError(reply: unknown): CallError {
  const failure = (reply ?? {}) as { error?: unknown; code?: unknown; retryAfterMs?: unknown };
  const message = typeof failure.error === 'string' ? failure.error : 'The server gave no reason';
  return new CallError(serverCode(failure.code), message, {
    retryAfterMs: typeof failure.retryAfterMs === 'number' ? failure.retryAfterMs : undefined,
  });
}
