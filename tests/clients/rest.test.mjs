// The REST API from the outside.

import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import net from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import {
  JWT_SECRET, NOBODY, ORIGIN, PATIENCE, RFC3339_MS, Server, TRANSPORTS, UUID, claimsOf, establish, forge, nowSeconds, offer, ring, within,
} from './harness.mjs';

const TURN_SECRET = 'the secret that coturn knows too';
const EVIL = 'https://evil.example';

let server;
/** A token rotated when the file began, so that its ten seconds of grace have passed when the last test asks. */
let rotated;
before(async () => {
  server = await Server.start({
    ICE_STUN_URLS: 'stun:stun.example.org:3478',
    ICE_TURN_URLS: 'turn:turn.example.org:3478?transport=udp,turns:turn.example.org:5349',
    TURN_SECRET,
    TURN_TTL: '10m',
  });
  const parent = await server.register('rotated');
  rotated = { parent, child: await server.refresh(parent), at: Date.now() };
});
after(() => Server.dispose(server));

const post = (path, json, options) => server.http(path, { method: 'POST', json, ...options });

/** A failure in the contract's shape. */
function assertError(response, status, codes, what = '') {
  const expected = [codes].flat();
  assert.equal(response.status, status, `${what}: ${response.text}`);
  assert.match(response.headers['content-type'] ?? '', /^application\/json/, `${what}: a JSON body`);
  const { error, code, details, requestId, ...rest } = response.body;
  assert.deepEqual(rest, {}, `${what}: nothing else in the body`);
  assert.ok(typeof error === 'string' && error.length > 3, `${what}: a sentence`);
  assert.ok(expected.includes(code), `${what}: code ${code} instead of ${expected}`);
  assert.ok(requestId, `${what}: a requestId`);
  assert.equal(response.headers['x-request-id'], requestId, `${what}: x-request-id is the body's`);
  for (const detail of details ?? []) assert.deepEqual(Object.keys(detail).sort(), ['field', 'message'], what);
  if (status === 401) assert.match(response.headers['www-authenticate'] ?? '', /^Bearer/, `${what}: WWW-Authenticate`);
  if (status === 405) assert.ok(response.headers.allow, `${what}: Allow (RFC 9110)`);
  if (status === 429 || status === 503) assert.match(response.headers['retry-after'] ?? '', /^[1-9]\d*$/, `${what}: Retry-After`);
  return response.body;
}

describe('accounts and sessions', () => {
  test('registering logs in, and the token is a JWT with the claims of the contract', async () => {
    const { status, body } = await post('/api/register', { username: '  Reg.Istered-1_x ', password: 'long enough', nickname: 'ignored' });
    assert.equal(status, 201);
    assert.equal(body.user.username, 'Reg.Istered-1_x', 'trimmed, and shown as registered');
    assert.match(body.user.id, UUID);
    assert.equal(body.user.isOnline, false);
    assert.equal(body.expiresIn, 3600);
    assert.equal(typeof body.refreshToken, 'string');
    const claims = claimsOf(body.token);
    assert.deepEqual(
      [claims.iss, claims.aud, claims.sub, claims.username, claims.exp - claims.iat],
      ['video-call-server', 'video-call-server', body.user.id, 'Reg.Istered-1_x', 3600],
    );
    for (const name of ['sid', 'jti', 'iat', 'nbf']) assert.ok(claims[name], name);
    assert.equal((await server.http('/api/me', { token: body.token })).body.id, body.user.id);
  });

  test('a name is taken in every case of its letters', async () => {
    const user = await server.register('Taken');
    for (const username of [user.username, user.username.toUpperCase(), ` ${user.username} `]) {
      assertError(await post('/api/register', { username, password: 'long enough' }), 409, 'username_taken', username);
    }
    const { status, body } = await post('/api/login', { username: user.username.toUpperCase(), password: user.password });
    assert.deepEqual([status, body.user?.username], [200, user.username]);
  });

  test('of three who register a name at the same instant one gets it', async () => {
    const username = `race-${Date.now().toString(36)}`;
    const all = await Promise.all(['one', 'two', 'three'].map((n) => post('/api/register', { username, password: `long enough ${n}` })));
    assert.deepEqual(all.map((r) => r.status).sort(), [201, 409, 409]);
  });

  test('names and passwords out of shape are refused, and the details name the field', async () => {
    const long = 'long enough';
    const cases = {
      username: [['ab', long], ['x'.repeat(33), long], ['_abc', long], ['a b c', long], ['.abc', long], ['äbcd', long], ['abc/def', long], ['abc\0', long], ['', long], ['   ', long], [undefined, long]],
      password: [['good-name', '1234567'], ['good-name', 'x'.repeat(129)], ['good-name', 'with a \0 in it'], ['good-name', ''], ['good-name', undefined]],
    };
    for (const [field, rows] of Object.entries(cases)) {
      for (const [username, password] of rows) {
        const what = JSON.stringify({ username, password });
        const { details } = assertError(await post('/api/register', { username, password }), 400, 'validation_failed', what);
        assert.ok(details?.some((detail) => detail.field === field), `${what}: details of ${field}: ${JSON.stringify(details)}`);
      }
    }
  });

  test('a password is any Unicode of 8 to 128 characters, the same however it is composed', async () => {
    const composed = `${'é'.repeat(64)}${'🎥'.repeat(64)}`;
    const username = `unicode-${Date.now().toString(36)}`;
    assert.equal((await post('/api/register', { username, password: composed })).status, 201);
    assert.equal((await post('/api/login', { username, password: composed.normalize('NFC') })).status, 200);
    assert.equal((await post('/api/login', { username, password: composed.normalize('NFD') })).status, 200, 'decomposed');
  });

  test('a login without its fields says so in the words of the demo server', async () => {
    for (const json of [{}, { username: 'somebody' }, { password: 'something' }]) {
      const body = assertError(await post('/api/login', json), 400, 'validation_failed', JSON.stringify(json));
      assert.equal(body.error, 'Username and password required');
    }
  });

  test('a wrong password and an unknown name are answered alike', async () => {
    const user = await server.register();
    const wrong = assertError(await post('/api/login', { username: user.username, password: 'not the password' }), 401, 'invalid_credentials');
    const unknown = assertError(await post('/api/login', { username: 'no-such-user', password: 'not the password' }), 401, 'invalid_credentials');
    assert.deepEqual({ ...wrong, requestId: '' }, { ...unknown, requestId: '' });
  });

  test('a refresh rotates, and the direct parent gets the same child while it is unused', async () => {
    const first = await server.register();
    const { status, body } = await post('/api/refresh', { refreshToken: first.refreshToken });
    assert.equal(status, 200);
    assert.deepEqual(Object.keys(body).sort(), ['expiresIn', 'refreshToken', 'token']);
    assert.notEqual(body.refreshToken, first.refreshToken);
    assert.equal(claimsOf(body.token).sid, claimsOf(first.token).sid, 'the session stays');
    const [again, twin] = await Promise.all([1, 2].map(() => post('/api/refresh', { refreshToken: first.refreshToken })));
    assert.deepEqual([again.status, twin.status], [200, 200], 'two tabs at once');
    assert.deepEqual([again.body.refreshToken, twin.body.refreshToken], [body.refreshToken, body.refreshToken]);
    assert.equal((await server.http('/api/me', { token: again.body.token })).status, 200);
  });

  test('a used refresh token that comes again ends its session, and no other', async () => {
    const first = await server.register();
    const other = await server.login(first);
    const second = await server.refresh(first);
    const third = await server.refresh(second);
    assertError(await post('/api/refresh', { refreshToken: first.refreshToken }), 401, 'session_revoked', 'the grandparent');
    assertError(await post('/api/refresh', { refreshToken: third.refreshToken }), 401, 'session_revoked', 'the newest');
    assertError(await server.http('/api/me', { token: third.token }), 401, 'session_revoked', 'its access token');
    assert.equal((await server.http('/api/me', { token: other.token })).status, 200, 'the other session lives');
    const [session] = await server.query('select revoked_at from sessions where id = $1', [claimsOf(first.token).sid]);
    assert.ok(session.revoked_at);
  });

  test('nothing in the database opens a door', async () => {
    const user = await server.register();
    const [row] = await server.query('select password_hash from users where id = $1', [user.id]);
    assert.match(row.password_hash, /^\$argon2id\$/);
    const everything = JSON.stringify([await server.query('select * from users'), await server.query('select * from sessions')]);
    for (const secret of [user.password, user.token, user.refreshToken]) assert.ok(!everything.includes(secret));
  });

  test('logout ends the session: no access, no refresh', async () => {
    const user = await server.register();
    const done = await server.http('/api/logout', { method: 'POST', token: user.token });
    assert.deepEqual([done.status, done.text], [204, '']);
    assert.ok(done.headers['x-request-id']);
    assertError(await server.http('/api/me', { token: user.token }), 401, 'session_revoked');
    assertError(await post('/api/refresh', { refreshToken: user.refreshToken }), 401, 'session_revoked');
  });

  test('a password change and a deletion need the password', async () => {
    const user = await server.register();
    const change = (json) => server.http('/api/me/password', { method: 'PUT', token: user.token, json });
    assertError(await change({ currentPassword: 'wrong password', newPassword: 'another password' }), 403, 'wrong_password');
    assertError(await change({ currentPassword: user.password, newPassword: 'short' }), 400, 'validation_failed');
    assertError(await change({ newPassword: 'another password' }), 400, 'validation_failed');
    const remove = (json) => server.http('/api/me', { method: 'DELETE', token: user.token, json });
    assertError(await remove({ password: 'wrong password' }), 403, 'wrong_password');
    assertError(await remove({}), 400, 'validation_failed');
    assert.equal((await remove({ password: user.password })).status, 204);
    assert.deepEqual(await server.query('select id from users where id = $1', [user.id]), []);
    assertError(await server.http('/api/me', { token: user.token }), 401, ['session_revoked', 'unauthorized']);
    const { status } = await post('/api/register', { username: user.username, password: user.password });
    assert.equal(status, 201, 'the name is free again');
  });

  test('tokens of the previous secret still open after a rotation of the secret, those of an older one do not', async (t) => {
    const [first, second, third] = ['first', 'second', 'third'].map((nth) => `the ${nth} secret that is long enough for this`);
    const old = await Server.during(t, { JWT_SECRET: first });
    const user = await old.register();
    await old.stop();
    await old.start({ JWT_SECRET: second, JWT_PREVIOUS_SECRETS: first });
    assert.equal((await old.http('/api/me', { token: user.token })).status, 200);
    const next = await old.refresh(user);
    await old.stop();
    await old.start({ JWT_SECRET: third, JWT_PREVIOUS_SECRETS: second });
    assert.equal((await old.http('/api/me', { token: next.token })).status, 200);
    assertError(await old.http('/api/me', { token: user.token }), 401, 'unauthorized');
  });

  test('with REGISTRATION=closed nobody registers', async (t) => {
    const closed = await Server.during(t, { REGISTRATION: 'closed' });
    const json = { username: 'somebody', password: 'long enough' };
    assertError(await closed.http('/api/register', { method: 'POST', json }), 403, 'registration_closed');
    assertError(await closed.http('/api/login', { method: 'POST', json }), 401, 'invalid_credentials');
  });
});

describe('lists and histories', () => {
  test('/api/users is ordered by name and paged by Link until the end', async (t) => {
    const fresh = await Server.during(t);
    const names = ['bertha', 'Anton', 'zoe', 'a-b', 'a.b', 'Dora', 'caesar'];
    let token;
    for (const username of names) ({ token } = (await fresh.http('/api/register', { method: 'POST', json: { username, password: 'long enough' } })).body);
    const ordered = [...names].sort((a, b) => Buffer.compare(Buffer.from(a.toLowerCase()), Buffer.from(b.toLowerCase())));
    const whole = await fresh.http('/api/users', { token });
    assert.deepEqual(whole.body.map((user) => user.username), ordered);
    assert.equal(whole.headers.link, undefined);
    for (const user of whole.body) {
      assert.match(user.id, UUID);
      assert.equal(user.isOnline, false);
    }
    const paged = [];
    let path = '/api/users?limit=3';
    let pages = 0;
    while (path) {
      const page = await fresh.http(path, { token });
      assert.equal(page.status, 200, path);
      assert.ok(page.body.length <= 3);
      paged.push(...page.body.map((user) => user.username));
      const link = page.headers.link?.match(/<([^>]+)>;\s*rel="next"/)?.[1];
      path = link && new URL(link, fresh.url).pathname + new URL(link, fresh.url).search;
      pages += 1;
    }
    assert.deepEqual([paged, pages], [ordered, 3]);
    const after = await fresh.http('/api/users?after=Caesar&limit=2', { token });
    assert.deepEqual(after.body.map((user) => user.username), ['Dora', 'zoe']);
  });

  test('/api/calls shows my calls, newest first, by pages, status and partner, and nobody else sees them', async (t) => {
    const [alice, bob, carol, stranger] = await server.devices(t, 'websocket', 'alice', 'bob', 'carol', 'stranger');
    const made = [];
    for (let n = 0; n < 3; n += 1) {
      const talked = await establish(alice, bob);
      await alice.ok('end_call', { callId: talked });
      made.unshift({ id: talked, status: 'completed', from: alice, to: bob, reason: 'hangup' });
      const rejected = await ring(carol, alice);
      await alice.ok('reject_call', { callId: rejected });
      made.unshift({ id: rejected, status: 'rejected', from: carol, to: alice, reason: 'rejected' });
    }
    for (const { id, status } of made) await server.row(id, status);
    const list = async (query = '', who = alice) => {
      const { status, body } = await server.http(`/api/calls${query}`, { token: who.user.token });
      assert.equal(status, 200, query);
      return body;
    };
    const ids = (page) => page.calls.map((call) => call.id);

    const all = await list();
    assert.deepEqual(ids(all), made.map((call) => call.id));
    assert.equal(all.next, null);
    for (const [i, call] of all.calls.entries()) assertCall(call, made[i]);
    assert.deepEqual(ids(await list('?status=rejected')), made.filter((c) => c.status === 'rejected').map((c) => c.id));
    assert.deepEqual(ids(await list(`?with=${bob.id}`)), made.filter((c) => c.to === bob).map((c) => c.id));
    assert.deepEqual(ids(await list(`?with=${bob.id}&status=rejected`)), []);
    assert.deepEqual(ids(await list('', stranger)), []);

    const paged = [];
    let page = await list('?limit=4');
    while (true) {
      paged.push(...ids(page));
      if (page.next === null) break;
      page = await list(`?limit=4&before=${encodeURIComponent(page.next)}`);
    }
    assert.deepEqual(paged, ids(all));

    const one = await server.http(`/api/calls/${made[0].id}`, { token: alice.user.token });
    assert.deepEqual(one.body, all.calls[0]);
    assertError(await server.http(`/api/calls/${made[0].id}`, { token: stranger.user.token }), 404, 'not_found', "another's call");
  });

  function assertCall(call, { id, status, from, to, reason }) {
    const { startTime, answeredAt, endedAt, durationSeconds, ...rest } = call;
    assert.deepEqual(rest, {
      id, status, callType: 'video', endReason: reason,
      from: { id: from.id, username: from.user.username }, to: { id: to.id, username: to.user.username },
    });
    assert.ok(Number.isInteger(startTime) && Math.abs(Date.now() - startTime) < 120_000, `startTime ${startTime} is in milliseconds`);
    assert.match(endedAt, RFC3339_MS);
    if (status === 'completed') {
      assert.match(answeredAt, RFC3339_MS);
      assert.ok(Number.isInteger(durationSeconds) && durationSeconds >= 0);
    } else {
      assert.deepEqual([answeredAt, durationSeconds], [null, null]);
    }
  }

  test('ICE servers carry credentials that coturn accepts, for a limited time', async () => {
    const user = await server.register();
    const { status, body } = await server.http('/api/ice-servers', { token: user.token });
    assert.equal(status, 200);
    assert.equal(body.ttl, 600);
    const urlsOf = (entry) => [entry.urls].flat();
    const stun = body.iceServers.filter((entry) => urlsOf(entry).some((url) => url.startsWith('stun:')));
    assert.deepEqual(stun.flatMap(urlsOf), ['stun:stun.example.org:3478']);
    assert.ok(stun.every((entry) => entry.username === undefined && entry.credential === undefined));
    const turn = body.iceServers.filter((entry) => urlsOf(entry).some((url) => /^turns?:/.test(url)));
    assert.deepEqual(turn.flatMap(urlsOf), ['turn:turn.example.org:3478?transport=udp', 'turns:turn.example.org:5349']);
    for (const { username, credential } of turn) {
      const [, expiry, id] = username.match(/^(\d+):(.+)$/);
      assert.equal(id, user.id);
      assert.ok(Math.abs(Number(expiry) - nowSeconds() - 600) <= 5, `expiry ${expiry}`);
      assert.equal(credential, createHmac('sha1', TURN_SECRET).update(username).digest('base64'));
    }
  });

  test('without any ICE server configured the list is empty', async (t) => {
    const fresh = await Server.during(t);
    const user = await fresh.register();
    assert.deepEqual((await fresh.http('/api/ice-servers', { token: user.token })).body.iceServers, []);
  });
});

describe('operations', () => {
  test('/health has the fields of the demo server and what the contract adds', async (t) => {
    const [alice, bob] = await server.devices(t, 'websocket', 'alice', 'bob');
    const before = (await server.http('/health')).body;
    const callId = await establish(alice, bob);
    const { status, body } = await server.http('/health');
    assert.equal(status, 200);
    assert.equal(body.status, 'OK');
    assert.equal(body.database, 'up');
    assert.match(body.timestamp, RFC3339_MS);
    assert.ok(body.uptime > 0 && body.uptime < 600, `uptime ${body.uptime} is in seconds`);
    assert.ok(body.memory.rss > 1_000_000, `rss ${body.memory.rss} is in bytes`);
    assert.ok(body.activeUsers >= 2);
    assert.equal(body.activeCalls, before.activeCalls + 1);
    assert.match(body.version, /^\d+\.\d+\.\d+/);
    assert.match(body.revision, /^[\w.-]+$/);
    await alice.ok('end_call', { callId });
    assert.equal((await server.http('/health')).body.activeCalls, before.activeCalls);
    assert.equal((await server.http('/health/live')).status, 200);
    assert.equal((await server.http('/health/ready')).status, 200);
  });

  test('answers carry the headers of a careful server', async () => {
    const user = await server.register();
    const login = await post('/api/login', { username: user.username, password: user.password });
    assert.match(login.headers['cache-control'], /no-store/, 'tokens are not for caches');
    for (const response of [login, await server.http('/health'), await server.http('/api/nowhere')]) {
      assert.equal(response.headers['x-content-type-options'], 'nosniff');
      assert.equal(response.headers.server, undefined);
      assert.ok(response.headers['x-request-id']);
    }
  });
});

describe('bad requests', () => {
  const JSON_TYPE = { 'content-type': 'application/json' };
  const good = { username: 'somebody', password: 'long enough' };
  const big = JSON.stringify({ ...good, padding: 'x'.repeat(17 * 1024) });

  /** What, the request, the status, the codes. `me` is a user. */
  const TABLE = (me) => {
    const as = { token: me.token };
    const raw = (body, headers = JSON_TYPE) => ({ method: 'POST', body, headers });
    const json = (value, more) => ({ method: 'POST', json: value, ...more });
    const past = { iat: nowSeconds() - 7200, nbf: nowSeconds() - 7200, exp: nowSeconds() - 60 };
    return [
      ['a path that is not there', '/nowhere', {}, 404, 'not_found'],
      ['an API path that is not there', '/api/nowhere', as, 404, 'not_found'],
      ['posting to a path that is not there', '/api/nowhere', json({}), 404, 'not_found'],
      ['a path below a resource', '/api/login/now', json(good), 404, 'not_found'],
      ['a path with an encoded slash', '/api%2Flogin', json(good), 404, 'not_found'],
      ['a call that is not there', `/api/calls/${NOBODY}`, as, 404, 'not_found'],
      ['a call by no id', '/api/calls/1', as, [400, 404], ['not_found', 'validation_failed']],
      ['a call by NUL', '/api/calls/%00', as, [400, 404], ['not_found', 'validation_failed']],
      ['getting a login', '/api/login', {}, 405, 'method_not_allowed'],
      ['deleting a login', '/api/login', { method: 'DELETE' }, 405, 'method_not_allowed'],
      ['putting a registration', '/api/register', { method: 'PUT', json: good }, 405, 'method_not_allowed'],
      ['posting users', '/api/users', json({}, as), 405, 'method_not_allowed'],
      ['patching me', '/api/me', { method: 'PATCH', json: {}, ...as }, 405, 'method_not_allowed'],
      ['posting health', '/health', json({}), 405, 'method_not_allowed'],
      ['a method nobody knows', '/api/users', { method: 'PROPFIND', ...as }, 405, 'method_not_allowed'],
      ['a login of 17 KiB', '/api/login', raw(big), 413, 'payload_too_large'],
      ['a registration of 17 KiB', '/api/register', raw(big), 413, 'payload_too_large'],
      ['a refresh of 60 kB', '/api/refresh', raw(JSON.stringify({ refreshToken: 'x'.repeat(60_000) })), 413, 'payload_too_large'],
      ['17 KiB in chunks', '/api/login', { method: 'POST', body: big, headers: { ...JSON_TYPE, 'transfer-encoding': 'chunked' } }, 413, 'payload_too_large'],
      ['a login without a content type', '/api/login', raw(JSON.stringify(good), {}), 415, 'unsupported_media_type'],
      ['a login as text', '/api/login', raw(JSON.stringify(good), { 'content-type': 'text/plain' }), 415, 'unsupported_media_type'],
      ['a login as a form', '/api/login', raw('username=a&password=b', { 'content-type': 'application/x-www-form-urlencoded' }), 415, 'unsupported_media_type'],
      ['a deletion without a content type', '/api/me', { method: 'DELETE', body: '{}', headers: {}, ...as }, 415, 'unsupported_media_type'],
      ['an empty body', '/api/login', raw(''), 400, ['invalid_json', 'validation_failed']],
      ['half a body', '/api/login', raw('{"username": "somebody", "pass'), 400, 'invalid_json'],
      ['no JSON at all', '/api/login', raw('username: somebody'), 400, 'invalid_json'],
      ['JSON and more', '/api/login', raw(`${JSON.stringify(good)}}`), 400, 'invalid_json'],
      ['single quotes', '/api/register', raw("{'username': 'somebody'}"), 400, 'invalid_json'],
      ['a NaN', '/api/register', raw('{"username": NaN, "password": "long enough"}'), 400, 'invalid_json'],
      ['bytes that are no UTF-8', '/api/login', raw(Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d])), 400, ['invalid_json', 'validation_failed']],
      ['JSON nested 5,000 deep', '/api/login', raw(`{"username": ${'['.repeat(5_000)}${']'.repeat(5_000)}}`), 400, ['invalid_json', 'validation_failed']],
      ['an array for a body', '/api/login', json([good]), 400, ['validation_failed', 'invalid_json']],
      ['a text for a body', '/api/login', json('somebody'), 400, ['validation_failed', 'invalid_json']],
      ['null for a body', '/api/register', json(null), 400, ['validation_failed', 'invalid_json']],
      ['a number for a name', '/api/login', json({ ...good, username: 5 }), 400, 'validation_failed'],
      ['an object for a password', '/api/login', json({ ...good, password: { $ne: '' } }), 400, 'validation_failed'],
      ['an array for a name', '/api/register', json({ ...good, username: ['somebody'] }), 400, 'validation_failed'],
      ['a boolean for a password', '/api/register', json({ ...good, password: true }), 400, 'validation_failed'],
      ['NUL in the name at login', '/api/login', json({ ...good, username: 'some\0body' }), 400, 'validation_failed'],
      ['NUL in the password at login', '/api/login', json({ ...good, password: 'long\0enough' }), 400, 'validation_failed'],
      ['NUL in a refresh token', '/api/refresh', json({ refreshToken: 'a\0b' }), [400, 401], ['validation_failed', 'unauthorized']],
      ['no refresh token', '/api/refresh', json({}), 400, 'validation_failed'],
      ['a number for a refresh token', '/api/refresh', json({ refreshToken: 5 }), 400, 'validation_failed'],
      ['an unknown refresh token', '/api/refresh', json({ refreshToken: 'nonsense' }), 401, 'unauthorized'],
      ['an access token for a refresh token', '/api/refresh', json({ refreshToken: me.token }), 401, 'unauthorized'],
      ['a refresh token for an access token', '/api/me', { token: me.refreshToken }, 401, 'unauthorized'],
      ['no token', '/api/me', {}, 401, 'unauthorized'],
      ['no token at a list', '/api/users', {}, 401, 'unauthorized'],
      ['no token at the online list', '/api/online-users', {}, 401, 'unauthorized'],
      ['no token at the calls', '/api/calls', {}, 401, 'unauthorized'],
      ['no token at the ICE servers', '/api/ice-servers', {}, 401, 'unauthorized'],
      ['no token at the logout', '/api/logout', { method: 'POST' }, 401, 'unauthorized'],
      ['another scheme', '/api/me', { headers: { authorization: 'Basic c29tZTpib2R5' } }, 401, 'unauthorized'],
      ['an empty bearer', '/api/me', { headers: { authorization: 'Bearer ' } }, 401, 'unauthorized'],
      ['nonsense for a token', '/api/me', { token: 'a.b.c' }, 401, 'unauthorized'],
      ['a token in the address', `/api/me?token=${me.token}`, {}, 401, 'unauthorized'],
      ['a token signed with another secret', '/api/me', { token: forge(me.token, { secret: 'x'.repeat(40) }) }, 401, 'unauthorized'],
      ['a token signed with nothing', '/api/me', { token: forge(me.token, { header: { alg: 'none' } }) }, 401, 'unauthorized'],
      ['an expired token', '/api/me', { token: forge(me.token, { secret: JWT_SECRET, claims: past }) }, 401, 'token_expired'],
      ['a limit of none', '/api/users?limit=0', as, 400, 'validation_failed'],
      ['a limit of too many', '/api/users?limit=1001', as, 400, 'validation_failed'],
      ['a limit below none', '/api/users?limit=-1', as, 400, 'validation_failed'],
      ['a limit that is no number', '/api/users?limit=many', as, 400, 'validation_failed'],
      ['NUL in a cursor', '/api/users?after=%00', as, 400, 'validation_failed'],
      ['a calls limit of too many', '/api/calls?limit=201', as, 400, 'validation_failed'],
      ['a calls limit of none', '/api/calls?limit=0', as, 400, 'validation_failed'],
      ['a cursor that is nonsense', '/api/calls?before=nonsense', as, 400, 'validation_failed'],
      ['a status that is none', '/api/calls?status=lost', as, 400, 'validation_failed'],
      ['a partner that is no id', '/api/calls?with=bob', as, 400, 'validation_failed'],
    ];
  };

  test("are answered in the contract's shape, in every case of the table", async () => {
    const me = await server.register('table');
    const table = TABLE(me);
    assert.ok(table.length >= 40);
    const wrong = [];
    for (const [what, path, options, status, codes] of table) {
      try {
        const response = await server.http(path, options);
        assert.ok([status].flat().includes(response.status), `${what}: ${response.status} instead of ${status}: ${response.text}`);
        assertError(response, response.status, codes, what);
      } catch (error) {
        wrong.push(error.message);
      }
    }
    assert.deepEqual(wrong, [], `${wrong.length} of ${table.length}`);
    assert.equal((await server.http('/api/me', { token: me.token })).status, 200);
  });

  test('never carry a detail of the inside', async () => {
    const me = await server.register('table');
    for (const [what, path, options] of TABLE(me)) {
      const { text } = await server.http(path, options);
      assert.doesNotMatch(text, /sqlx|postgres|serde|axum|panick|\.rs\b|line \d+ column/i, what);
    }
  });

  test('that are no HTTP at all, or have headers without end, harm nobody', async () => {
    const speak = (text) => within(PATIENCE, 'the end of a broken connection', new Promise((done) => {
      const socket = net.connect(server.port, '127.0.0.1');
      let heard = '';
      socket.on('data', (part) => { heard += part; });
      socket.on('error', () => done(heard));
      socket.on('close', () => done(heard));
      socket.end(text);
    }));
    for (const text of [
      'nonsense\r\n\r\n',
      '\0\0\0\0',
      'GET / HTTP/9.9\r\n\r\n',
      `GET /health HTTP/1.1\r\nhost: x\r\nx-long: ${'x'.repeat(1_000_000)}\r\n\r\n`,
      `GET /health HTTP/1.1\r\nhost: x\r\n${Array.from({ length: 5_000 }, (_, n) => `x-${n}: y\r\n`).join('')}\r\n`,
      `GET /${'x'.repeat(200_000)} HTTP/1.1\r\nhost: x\r\n\r\n`,
      'POST /api/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 5\r\ncontent-length: 50\r\n\r\n{}',
      'POST /api/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n',
      'GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n',
    ]) {
      const heard = await speak(text);
      assert.doesNotMatch(heard, /^HTTP\/1\.1 (2|500)/, text.slice(0, 60));
    }
    assert.equal((await server.http('/health')).status, 200);
  });

  test('to the transport of Socket.IO are refused, and harm nobody', async () => {
    for (const query of ['', 'EIO=4', 'EIO=3&transport=polling', 'EIO=4&transport=carrier-pigeon', `EIO=4&transport=polling&sid=${NOBODY}`, 'EIO=4&transport=websocket', 'EIO=4&transport=polling&sid=%00']) {
      const { status } = await server.http(`/socket.io/?${query}`);
      assert.ok(status >= 400 && status < 500, `${query}: ${status}`);
    }
  });
});

describe('other origins', () => {
  const asks = (path, origin, options = {}) => server.http(path, { ...options, headers: { origin, ...options.headers } });
  const upgrade = {
    connection: 'upgrade', upgrade: 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
  };

  test('are let in by CORS when they are on the list, with their preflight', async () => {
    const preflight = await asks('/api/login', ORIGIN, {
      method: 'OPTIONS',
      headers: { 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization,content-type' },
    });
    assert.ok([200, 204].includes(preflight.status), String(preflight.status));
    assert.equal(preflight.headers['access-control-allow-origin'], ORIGIN);
    assert.match(preflight.headers['access-control-allow-headers'], /authorization/i);
    assert.match(preflight.headers['access-control-allow-headers'], /content-type/i);
    for (const method of ['GET', 'POST', 'PUT', 'DELETE']) assert.match(preflight.headers['access-control-allow-methods'], new RegExp(method));
    const health = await asks('/health', ORIGIN);
    assert.equal(health.headers['access-control-allow-origin'], ORIGIN);
    const refused = await asks('/api/me', ORIGIN);
    assert.deepEqual([refused.status, refused.headers['access-control-allow-origin']], [401, ORIGIN], 'errors are readable too');
  });

  test('get no CORS headers when they are not', async () => {
    for (const origin of [EVIL, 'http://localhost:5174', 'http://localhost:5173.evil.example', 'null', `${ORIGIN}/`]) {
      const { headers } = await asks('/health', origin);
      assert.equal(headers['access-control-allow-origin'], undefined, origin);
      const preflight = await asks('/api/login', origin, { method: 'OPTIONS', headers: { 'access-control-request-method': 'POST' } });
      assert.equal(preflight.headers['access-control-allow-origin'], undefined, origin);
    }
  });

  test('may poll only when they are on the list', async () => {
    const allowed = await asks('/socket.io/?EIO=4&transport=polling', ORIGIN);
    assert.deepEqual([allowed.status, allowed.headers['access-control-allow-origin']], [200, ORIGIN]);
    const { status, headers } = await asks('/socket.io/?EIO=4&transport=polling', EVIL);
    assert.ok(status === 403 || headers['access-control-allow-origin'] === undefined, 'a browser would let it read');
  });

  test('may open a WebSocket only when they are on the list, where no browser would ask', async () => {
    const path = '/socket.io/?EIO=4&transport=websocket';
    assert.equal((await asks(path, ORIGIN, { headers: upgrade })).status, 101);
    assert.equal((await server.http(path, { headers: upgrade })).status, 101, 'without an origin: not a browser');
    for (const origin of [EVIL, 'null']) {
      const { status } = await asks(path, origin, { headers: upgrade });
      assert.ok(status >= 400 && status < 500, `${origin}: ${status}`);
    }
  });

  for (const transport of TRANSPORTS) {
    test(`the official client of a page on the list connects over ${transport}`, async (t) => {
      const client = await server.device(t, await server.register(), { transport, extraHeaders: { origin: ORIGIN } });
      await client.roundTrip();
    });
  }
});

describe('rate limits', () => {
  test('logins and registrations over the rate are 429 with Retry-After, whoever claims to be behind a proxy', async (t) => {
    const strict = await Server.during(t, { LOGIN_RATE_PER_MINUTE: '5' });
    const login = (n, headers) => strict.http('/api/login', { method: 'POST', json: { username: `nobody-${n}`, password: 'long enough' }, headers });
    for (let n = 0; n < 5; n += 1) assertError(await login(n), 401, 'invalid_credentials', `attempt ${n}`);
    assertError(await login(5), 429, 'rate_limited', 'the sixth');
    assertError(await login(6, { 'x-forwarded-for': '192.0.2.7' }), 429, 'rate_limited', 'with a made-up X-Forwarded-For');
    assertError(await login(7, { forwarded: 'for=192.0.2.8', 'x-real-ip': '192.0.2.8' }), 429, 'rate_limited', 'with other made-up headers');
    const register = await strict.http('/api/register', { method: 'POST', json: { username: 'late-comer', password: 'long enough' } });
    assertError(register, 429, 'rate_limited', 'registering counts as a login');
  });

  test('other requests over the rate are 429 too, but health is always answered', async (t) => {
    const strict = await Server.during(t, { API_RATE_PER_MINUTE: '20' });
    const me = () => strict.http('/api/me');
    for (let n = 0; n < 20; n += 1) assertError(await me(), 401, 'unauthorized', `request ${n}`);
    const answers = [await me(), await me()];
    assertError(answers[1], 429, 'rate_limited', 'over twenty');
    for (let n = 0; n < 30; n += 1) assert.equal((await strict.http('/health/live')).status, 200);
  });

  test('behind a trusted proxy each client has a rate of its own', async (t) => {
    const proxied = await Server.during(t, { LOGIN_RATE_PER_MINUTE: '2', TRUSTED_PROXIES: '127.0.0.1/32' });
    let n = 0;
    const login = (address) => proxied.http('/api/login', {
      method: 'POST', json: { username: `nobody-${n += 1}`, password: 'long enough' }, headers: { 'x-forwarded-for': address },
    });
    for (let round = 0; round < 2; round += 1) assertError(await login('192.0.2.1'), 401, 'invalid_credentials');
    assertError(await login('192.0.2.1'), 429, 'rate_limited');
    assertError(await login('203.0.113.9, 192.0.2.1'), 429, 'rate_limited', 'only the hop the proxy saw counts');
    assertError(await login('192.0.2.2'), 401, 'invalid_credentials', 'another address');
    for (const address of ['2001:db8::1', '2001:db8::2']) assertError(await login(address), 401, 'invalid_credentials', address);
    assertError(await login('2001:db8::3'), 429, 'rate_limited', 'the same /64');
    assertError(await login('2001:db8:0:1::1'), 401, 'invalid_credentials', 'another /64');
  });
});

test('ten seconds after a rotation even the direct parent ends the session', async () => {
  const wait = rotated.at + 11_000 - Date.now();
  if (wait > 0) await delay(wait);
  assertError(await post('/api/refresh', { refreshToken: rotated.parent.refreshToken }), 401, 'session_revoked');
  assertError(await post('/api/refresh', { refreshToken: rotated.child.refreshToken }), 401, 'session_revoked');
});
