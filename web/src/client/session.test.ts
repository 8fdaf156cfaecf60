import { expect, test } from 'vitest';
import type { StoredSession } from './platform';
import { Rest } from './rest';
import { Session } from './session';

const OLD: StoredSession = {
  user: { id: 'u1', username: 'ann' },
  token: 'old',
  refreshToken: 'r1',
  expiresAt: 1_000_000,
  signedInAt: 1,
};

function json(status: number, body: unknown): Response {
  return new Response(JSON.stringify(body), { status });
}

function harness(answer: (path: string, body: { refreshToken?: string }) => Response) {
  const asked: string[] = [];
  const shared: { value: StoredSession | null } = { value: OLD };
  const fetcher = (async (url: string, init: RequestInit) => {
    asked.push(url);
    return answer(url, JSON.parse(String(init.body ?? '{}')));
  }) as typeof fetch;
  const tell: ((stored: StoredSession | null) => void)[] = [];
  const open = () => {
    const session = new Session({
      rest: new Rest('', fetcher),
      lock: (task) => task(),
      clock: { now: () => 0, after: () => () => {} },
      store: {
        read: () => shared.value,
        write: (value) => {
          shared.value = value;
        },
        subscribe: (listener) => {
          tell.push(listener);
          return () => {};
        },
      },
    });
    session.restore();
    return session;
  };
  return { asked, shared, open, tell };
}

const renewed = () => json(200, { token: 'new', refreshToken: 'r2', expiresIn: 3600 });

test('refreshes asked for at the same time are one request', async () => {
  const { asked, open } = harness(renewed);
  const session = open();
  expect(await Promise.all([session.refresh(), session.refresh()])).toEqual(['new', 'new']);
  expect(asked).toEqual(['/api/refresh']);
});

test('a tab takes over the tokens that another tab has fetched, without a request of its own', async () => {
  const { asked, open } = harness(renewed);
  const [first, second] = [open(), open()];
  await first.refresh();
  expect(await second.refresh()).toBe('new');
  expect(asked).toEqual(['/api/refresh']);
});

test('a refresh token that another tab has used up does not sign out when the newer one is stored', async () => {
  const { shared, open } = harness(() => {
    shared.value = { ...OLD, token: 'theirs', refreshToken: 'r9' };
    return json(401, { code: 'session_revoked', error: 'used twice' });
  });
  const session = open();
  expect(await session.refresh()).toBe('theirs');
  expect(session.user).not.toBeNull();
});

test('a revoked session signs out and says why', async () => {
  const { shared, open } = harness(() => json(401, { code: 'session_revoked', error: 'revoked' }));
  const session = open();
  const reasons: string[] = [];
  session.on('signedOut', (reason) => reasons.push(reason));
  await expect(session.refresh()).rejects.toMatchObject({ code: 'session_revoked' });
  expect(reasons).toEqual(['session_revoked']);
  expect(shared.value).toBeNull();
});

test('a request whose token has expired is repeated with a fresh one', async () => {
  let tries = 0;
  const { asked, open } = harness((path) => {
    if (path === '/api/refresh') return renewed();
    tries += 1;
    return tries === 1 ? json(401, { code: 'token_expired', error: 'late' }) : json(200, { id: 'u1' });
  });
  expect(await open().authorized({ path: '/api/me' })).toEqual({ id: 'u1' });
  expect(asked).toEqual(['/api/me', '/api/refresh', '/api/me']);
});

test('a logout in another tab signs out here', () => {
  const { open, tell } = harness(renewed);
  const session = open();
  for (const listener of tell) listener(null);
  expect(session.user).toBeNull();
});
