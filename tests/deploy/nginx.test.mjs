// deploy/nginx: the site as it is shipped, save for ports, paths and certificate, in a real nginx before a real server.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { JWT_SECRET, Server, TRANSPORTS, answer, candidate, eventually, request, ring } from '../clients/harness.mjs';
import { NAME, Nginx } from './nginx.mjs';
import { ending, read } from './program.mjs';

const SITE = 'video-call-server.conf';

let server;
let nginx;
const defer = ending(after);
before(async () => {
  server = await Server.start({ TRUSTED_PROXIES: '127.0.0.1', LOGIN_RATE_PER_MINUTE: '5' });
  defer(() => server.dispose());
  nginx = await Nginx.before(defer, SITE, server.port);
});

describe('through the nginx site', () => {
  for (const transport of [...TRANSPORTS, 'upgrade']) {
    test(`a whole call goes over ${transport}`, async (t) => {
      const devices = [];
      for (const name of ['alice', 'bob']) {
        const user = await nginx.account(name);
        devices.push(await server.device(t, user, { url: nginx.url, ca: nginx.ca, transport }));
      }
      const [alice, bob] = devices;
      if (transport === 'upgrade') {
        await eventually('both to be on a WebSocket', () =>
          (devices.every((device) => device.socket.io.engine.transport.name === 'websocket') ? true : undefined));
      }
      const callId = await ring(alice, bob);
      await alice.ok('ice_candidate', { to: bob.id, callId, candidate: candidate(1) });
      await bob.once('ice_candidate', { callId, candidate: candidate(1) });
      await bob.ok('accept_call', { callId, answer: answer() });
      await alice.once('call_accepted', { callId });
      await bob.ok('end_call', { callId });
      await alice.once('call_ended', { callId, reason: 'hangup' });
      await server.row(callId, 'completed');
    });
  }

  test('a quiet connection outlives many heartbeats of the default length', async () => {
    const [, seconds] = read(`deploy/nginx/${SITE}`).match(/proxy_read_timeout (\d+)s;\s+proxy_send_timeout/);
    const [, interval] = read('.env.example').match(/^#PING_INTERVAL=(\d+)s$/m);
    const [, timeout] = read('.env.example').match(/^#PING_TIMEOUT=(\d+)s$/m);
    assert.ok(Number(seconds) >= 2 * (Number(interval) + Number(timeout)), `${seconds} s`);
  });

  test('a device whose server goes away is told at once, and comes back by itself', async (t) => {
    const user = await nginx.account('carol');
    const device = await server.device(t, user, { url: nginx.url, ca: nginx.ca, reconnection: true, reconnectionDelay: 50 });
    await server.stop();
    await device.once('disconnect');
    const { status } = await nginx.http('/health/live');
    assert.equal(status, 502);
    await server.start();
    await device.once('connect');
    await device.join();
  });

  test('plain HTTP is sent to HTTPS, with method and query kept', async () => {
    const { status, headers } = await request(`http://127.0.0.1:${nginx.plainPort}/api/users?limit=2`, { headers: { host: NAME } });
    assert.deepEqual([status, headers.location], [308, `https://${NAME}/api/users?limit=2`]);
  });

  test('browsers are told to stay with HTTPS, on errors too, and nothing tells which nginx it is', async () => {
    for (const path of ['/health', '/api/users', '/nothing']) {
      const { headers } = await nginx.http(path);
      assert.equal(headers['strict-transport-security'], 'max-age=31536000', path);
      assert.equal(headers['x-content-type-options'], 'nosniff', path);
      assert.equal(headers.server, 'nginx', path);
    }
  });

  test('the server says in JSON that a body is too large, and what is larger still does not reach it', async () => {
    const post = (size) => nginx.http('/api/login', { method: 'POST', json: { username: 'x'.repeat(size), password: '' } });
    const answered = await post(20_000);
    assert.deepEqual([answered.status, answered.body.code], [413, 'payload_too_large']);
    const cut = await post(200_000);
    assert.deepEqual([cut.status, cut.headers['x-request-id']], [413, undefined]);
  });

  test('the metrics are not for the world', async () => {
    const { status, headers } = await nginx.http('/metrics');
    assert.deepEqual([status, headers['x-request-id']], [404, undefined]);
  });
});

describe('the address of a client behind nginx', () => {
  test('one that has used up its logins is refused, whatever it says of itself, and another one is served', async () => {
    const statuses = [];
    for (let n = 0; n < 6; n += 1) statuses.push((await nginx.login('127.0.0.2')).status);
    assert.deepEqual(statuses, [401, 401, 401, 401, 401, 429]);
    for (const forwarded of ['198.51.100.7', '198.51.100.8, 127.0.0.1', '127.0.0.1']) {
      const spoofed = await nginx.login('127.0.0.2', { 'x-forwarded-for': forwarded });
      assert.deepEqual([spoofed.status, spoofed.body.code], [429, 'rate_limited'], forwarded);
    }
    assert.equal((await nginx.login('127.0.0.3')).status, 401);
  });

  test('who is no trusted proxy is not believed', async () => {
    const statuses = [];
    for (let n = 0; n < 6; n += 1) {
      const { status } = await server.http('/api/login', {
        method: 'POST',
        json: { username: 'nobody-of-this-name', password: 'a wrong password' },
        headers: { 'x-forwarded-for': `198.51.100.${n}` },
        localAddress: '127.0.0.4',
      });
      statuses.push(status);
    }
    assert.deepEqual(statuses, [401, 401, 401, 401, 401, 429]);
  });

  test('is what a session is kept with', async () => {
    const user = await nginx.account('dora', '127.0.0.77');
    const [{ ip }] = await server.query('select host(ip) as ip from sessions where user_id = $1', [user.id]);
    assert.equal(ip, '127.0.0.77');
  });
});

test('no session id, token or address of a page reaches the logs of nginx', async (t) => {
  const user = await nginx.account('erin');
  const device = await server.device(t, user, { url: nginx.url, ca: nginx.ca, transport: 'polling' });
  const sid = device.engineId;
  const [query, head] = [`/socket.io/?EIO=4&transport=polling&sid=${sid}`, { authorization: `Bearer ${user.token}` }];
  // Refused by nginx itself, which makes it complain.
  await nginx.http(query, { method: 'POST', body: 'x'.repeat(200_000), headers: head });
  await nginx.http(`/api/users?token=${user.token}`, { headers: head });
  await device.roundTrip();
  const logs = await eventually('the requests to be logged', () => {
    const text = nginx.log('access') + nginx.log('error') + nginx.program.logs;
    return / 413 /.test(text) && text.includes('"GET /api/users HTTP/1.1" 200') ? text : undefined;
  });
  assert.match(logs, /"POST \/socket\.io\/ HTTP\/1\.1" 413/);
  for (const secret of [sid, user.token, user.refreshToken, JWT_SECRET]) assert.ok(!logs.includes(secret), 'a secret is logged');
  assert.doesNotMatch(logs, /sid=|transport=/);
});
