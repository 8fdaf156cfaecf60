import { expect, test } from 'vitest';
import { Rest } from './rest';
import { json } from './testing';

interface Asked {
  readonly url: string;
  readonly init: RequestInit;
}

function answering(answer: () => Response | Promise<Response>) {
  const asked: Asked[] = [];
  const rest = new Rest('https://calls.example', (async (url: string, init: RequestInit) => {
    asked.push({ url, init });
    return answer();
  }) as typeof fetch);
  return { rest, asked };
}

const refused = (response: Response) => answering(() => response).rest.send({ path: '/api/me' });

test('a request carries the token and a JSON body', async () => {
  const { rest, asked } = answering(() => json(200, { ok: 1 }));
  const request = { method: 'PUT', path: '/api/me/password', body: { a: 'ü' }, token: 'abc' } as const;
  expect(await rest.send(request)).toEqual({ ok: 1 });
  const [{ url, init }] = asked as [Asked];
  expect(url).toBe('https://calls.example/api/me/password');
  expect(init).toMatchObject({ method: 'PUT', body: '{"a":"ü"}' });
  expect(init.headers).toEqual({
    accept: 'application/json',
    authorization: 'Bearer abc',
    'content-type': 'application/json',
  });
});

test('a request without a body or a token says nothing of either', async () => {
  const { rest, asked } = answering(() => json(200, {}));
  await rest.send({ path: '/health' });
  expect(asked[0]?.init).toMatchObject({ method: 'GET', headers: { accept: 'application/json' } });
  expect(asked[0]?.init).not.toHaveProperty('body');
  expect(Object.keys(asked[0]?.init.headers ?? {})).toEqual(['accept']);
});

test('an answer without content is undefined', async () => {
  const { rest } = answering(() => new Response(null, { status: 204 }));
  expect(await rest.send({ method: 'POST', path: '/api/logout' })).toBeUndefined();
});

test('a refusal keeps code, sentence, fields and request id', async () => {
  const details = [{ field: 'username', message: 'too short' }];
  const body = { error: 'Check it.', code: 'validation_failed', details, requestId: 'r1' };
  await expect(refused(json(400, body))).rejects.toMatchObject({
    name: 'CallError',
    code: 'validation_failed',
    message: 'Check it.',
    status: 400,
    details,
    requestId: 'r1',
    retryAfterMs: undefined,
  });
});

test.each([
  ['7', 7_000],
  ['Wed, 21 Oct 2026 07:28:00 GMT', undefined],
  ['0', undefined],
])('Retry-After %s is %s ms', async (header, retryAfterMs) => {
  const response = json(429, { code: 'rate_limited', error: 'slow' }, { 'retry-after': header });
  await expect(refused(response)).rejects.toMatchObject({ code: 'rate_limited', retryAfterMs });
});

test.each([
  ['a proxy’s error page', new Response('<html>Bad Gateway</html>', { status: 502 }), 502],
  ['a page instead of the API', new Response('<html></html>', { status: 200 }), 200],
  ['an empty answer', new Response('', { status: 500 }), 500],
  ['JSON that is no object', json(500, null), 500],
  ['a code that we do not know', json(418, { code: 'teapot', error: 'no' }), 418],
])('%s is unexpected', async (_, response, status) => {
  await expect(refused(response)).rejects.toMatchObject({ code: 'unexpected', status });
});

test('a server that cannot be reached is told from one that is slow', async () => {
  const failing = (cause: unknown) => answering(() => Promise.reject(cause)).rest.send({ path: '/api/me' });
  const cause = new TypeError('Failed to fetch');
  await expect(failing(cause)).rejects.toMatchObject({ code: 'network', cause });
  const late = new DOMException('late', 'TimeoutError');
  await expect(failing(late)).rejects.toMatchObject({ code: 'timeout' });
});

test('an answer that breaks off is a network failure', async () => {
  const body = new ReadableStream({
    start: (controller) => controller.error(new TypeError('terminated')),
  });
  await expect(refused(new Response(body))).rejects.toMatchObject({ code: 'network' });
});

test('every request has a limit in time', async () => {
  const { rest, asked } = answering(() => json(200, {}));
  await rest.send({ path: '/health' });
  expect(asked[0]?.init.signal).toBeInstanceOf(AbortSignal);
});
