import { CallError, serverCode } from './errors';
import type { FieldProblem } from './protocol';

export interface RestRequest {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'DELETE';
  readonly path: string;
  readonly body?: unknown;
  readonly token?: string;
}

const TIMEOUT_MS = 15_000;

/** One request; every failure is a `CallError`. */
export class Rest {
  readonly #base: string;
  readonly #fetch: typeof fetch;

  constructor(base: string, fetcher: typeof fetch) {
    this.#base = base;
    this.#fetch = fetcher;
  }

  async send<T>({ method = 'GET', path, body, token }: RestRequest): Promise<T> {
    const headers: Record<string, string> = { accept: 'application/json' };
    if (body !== undefined) headers['content-type'] = 'application/json';
    if (token !== undefined) headers['authorization'] = `Bearer ${token}`;
    const request: RequestInit = { method, headers, signal: AbortSignal.timeout(TIMEOUT_MS) };
    if (body !== undefined) request.body = JSON.stringify(body);
    let response: Response;
    let text: string;
    try {
      response = await this.#fetch(this.#base + path, request);
      text = await response.text();
    } catch (cause) {
      const late = cause instanceof DOMException && cause.name === 'TimeoutError';
      throw new CallError(late ? 'timeout' : 'network', `${method} ${path} did not get an answer`, { cause });
    }
    if (response.status === 204) return undefined as T;
    const parsed = parse(text);
    if (response.ok && parsed !== undefined) return parsed as T;
    throw refusal(response, parsed);
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function refusal(response: Response, parsed: unknown): CallError {
  const body = (parsed ?? {}) as {
    error?: string;
    code?: string;
    details?: readonly FieldProblem[];
    requestId?: string;
  };
  const wait = Number(response.headers.get('retry-after'));
  return new CallError(serverCode(body.code), body.error ?? `The server answered ${response.status}`, {
    status: response.status,
    details: body.details,
    requestId: body.requestId,
    retryAfterMs: wait > 0 ? wait * 1000 : undefined,
  });
}
