// deploy/nginx: the site as it is shipped, save for ports, paths and certificate, in a real nginx before a real server.

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  JWT_SECRET, Server, TRANSPORTS, answer, candidate, eventually, freePort, request, ring,
} from '../clients/harness.mjs';
import { Program, ROOT, ending, output, scratch } from './program.mjs';

const SITE = join(ROOT, 'deploy/nginx/video-call-server.conf');
const NAME = 'calls.example.com';

/** nginx as Debian sets it up around its sites, with files of its own. */
class Nginx {
  static async before(upstream) {
    const nginx = new Nginx();
    nginx.dir = await scratch(defer, 'nginx');
    [nginx.plainPort, nginx.port] = [await freePort(), await freePort()];
    nginx.url = `https://127.0.0.1:${nginx.port}`;
    const { dir } = nginx;
    output('openssl', [
      'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', `/CN=${NAME}`,
      '-addext', `subjectAltName=DNS:${NAME},IP:127.0.0.1`, '-keyout', join(dir, 'privkey.pem'), '-out', join(dir, 'fullchain.pem'),
    ]);
    nginx.ca = readFileSync(join(dir, 'fullchain.pem'));
    mkdirSync(join(dir, 'temp'));
    const site = nginx.#place(readFileSync(SITE, 'utf8'), upstream);
    writeFileSync(join(dir, 'site.conf'), site);
    const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path ${join(dir, 'temp', kind)};`);
    writeFileSync(join(dir, 'nginx.conf'), `
      user root; worker_processes 1; pid ${join(dir, 'pid')}; daemon off;
      events { worker_connections 256; }
      http { ${temp.join(' ')} gzip on; include ${join(dir, 'site.conf')}; }`);
    const args = ['-p', dir, '-c', join(dir, 'nginx.conf'), '-e', 'stderr'];
    output('nginx', ['-t', ...args]);
    nginx.program = new Program(defer, 'nginx', args);
    await eventually(`nginx to answer:\n${nginx.program.logs}`, async () =>
      ((await nginx.http('/health/live')).status === 200 ? true : undefined));
    return nginx;
  }

  /** Every replacement must find its line: what is tried here is what is shipped. */
  #place(site, upstream) {
    const replace = (pattern, by) => {
      assert.match(site, pattern);
      site = site.replaceAll(new RegExp(pattern, 'g'), by);
    };
    replace(/listen (\[::\]:)?80;/, (_, six) => `listen ${six ? '[::1]' : '127.0.0.1'}:${this.plainPort};`);
    replace(/listen (\[::\]:)?443 /, (_, six) => `listen ${six ? '[::1]' : '127.0.0.1'}:${this.port} `);
    replace(/server 127\.0\.0\.1:3001;/, `server 127.0.0.1:${upstream};`);
    replace(/\/etc\/letsencrypt\/live\/calls\.example\.com\//, `${this.dir}/`);
    replace(/\/var\/log\/nginx\//, `${this.dir}/`);
    return site;
  }

  http(path, options) {
    return request(this.url + path, { ca: this.ca, ...options });
  }

  login(localAddress, headers = {}) {
    const json = { username: 'nobody-of-this-name', password: 'a wrong password' };
    return this.http('/api/login', { method: 'POST', json, localAddress, headers });
  }

  log(name) {
    return readFileSync(join(this.dir, `video-call.${name}.log`), 'utf8');
  }
}

let server;
let nginx;
const defer = ending(after);
before(async () => {
  server = await Server.start({ TRUSTED_PROXIES: '127.0.0.1', LOGIN_RATE_PER_MINUTE: '5' });
  defer(() => server.dispose());
  nginx = await Nginx.before(server.port);
});

describe('through the nginx site', () => {
  for (const transport of [...TRANSPORTS, 'upgrade']) {
    test(`a whole call goes over ${transport}`, async (t) => {
      const devices = [];
      for (const name of ['alice', 'bob']) {
        const user = await account(name);
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
    const site = readFileSync(SITE, 'utf8');
    const [, seconds] = site.match(/proxy_read_timeout (\d+)s;\s+proxy_send_timeout/);
    const [, interval] = readFileSync(join(ROOT, '.env.example'), 'utf8').match(/^#PING_INTERVAL=(\d+)s$/m);
    const [, timeout] = readFileSync(join(ROOT, '.env.example'), 'utf8').match(/^#PING_TIMEOUT=(\d+)s$/m);
    assert.ok(Number(seconds) >= 2 * (Number(interval) + Number(timeout)), `${seconds} s`);
  });

  test('a device whose server goes away is told at once, and comes back by itself', async (t) => {
    const user = await account('carol');
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
    const user = await account('dora', '127.0.0.77');
    const [{ ip }] = await server.query('select host(ip) as ip from sessions where user_id = $1', [user.id]);
    assert.equal(ip, '127.0.0.77');
  });
});

test('no session id, token or address of a page reaches the logs of nginx', async (t) => {
  const user = await account('erin');
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

/** A new account, made from an address of its own so that none uses up another's logins. */
let addresses = 10;
async function account(name, localAddress = `127.0.1.${addresses++}`) {
  const username = `${name}-${Date.now().toString(36)}-${addresses}`;
  const { status, text } = await nginx.http('/api/register', {
    method: 'POST', json: { username, password: `${username} password` }, localAddress,
  });
  assert.equal(status, 201, text);
  const { user, token, refreshToken } = JSON.parse(text);
  return { id: user.id, username, token, refreshToken };
}
