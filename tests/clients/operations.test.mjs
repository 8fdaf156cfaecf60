// The process and its database, as an operator has to do with them.

import assert from 'node:assert/strict';
import net from 'node:net';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Cable } from './proxy.mjs';
import { JWT_SECRET, ORIGIN, Server, answer, candidate, establish, eventually, freePort, nobodyHears, offer, openDatabase, ring, run } from './harness.mjs';

/** A server for one test that reaches its database over a cable. */
async function wired(t, env) {
  let cable;
  t.after(() => cable?.mend());
  const server = await Server.during(t, env, {
    via: async (text) => {
      const url = new URL(text);
      cable = await Cable.to(Number(url.port || 5432), url.hostname);
      url.hostname = '127.0.0.1';
      url.port = cable.port;
      return url.href;
    },
  });
  t.after(() => cable.close());
  return { server, cable };
}

const health = async (server) => (await server.http('/health')).body;
const outage = (server) => eventually('/health to say that the database is down', async () =>
  ((await health(server)).database === 'down' ? true : undefined), 20_000);

describe('while PostgreSQL is slow', () => {
  /** Nothing can be written to `calls` until the returned function is called. */
  async function hold(t, server) {
    const admin = await openDatabase(server.database.url);
    let open = true;
    const release = async () => {
      if (open) await admin.end();
      open = false;
    };
    t.after(release);
    await admin.query('begin');
    await admin.query('lock table calls in exclusive mode');
    return release;
  }

  test('a call rings as soon as its row is committed, and not before', async (t) => {
    const server = await Server.during(t);
    const [alice, bob] = await server.devices(t, 'websocket', 'alice', 'bob');
    const release = await hold(t, server);
    await nobodyHears([alice, bob], ['ack', 'call_status', 'incoming_call'], async () => {
      alice.emitForAck('call_user', { to: bob.id, callType: 'video', offer: offer() });
      await alice.roundTrip();
    });
    await release();
    const { callId, status } = await alice.once('ack');
    assert.equal(status, 'ringing');
    await bob.once('incoming_call', { callId });
    await alice.once('call_status', { callId, status: 'ringing' });
    await bob.ok('reject_call', { callId });
    await server.row(callId, 'rejected');
  });

  test('a call does not wait for it longer than a moment, and its row comes later', async (t) => {
    const server = await Server.during(t);
    const [alice, bob] = await server.devices(t, 'websocket', 'alice', 'bob');
    const release = await hold(t, server);
    const callId = await ring(alice, bob);
    await bob.ok('accept_call', { callId, answer: answer() });
    await alice.ok('end_call', { callId });
    assert.deepEqual(await server.query('select id from calls'), []);
    await release();
    assert.equal((await server.row(callId, 'completed')).end_reason, 'hangup');
  });
});

describe('while PostgreSQL is away', () => {
  test('live calls and signalling go on, new calls ring, and all of it is in the rows when it is back', async (t) => {
    const { server, cable } = await wired(t);
    const [alice, bob, carol, dora] = await server.devices(t, 'websocket', 'alice', 'bob', 'carol', 'dora');
    const live = await establish(alice, bob);
    cable.cut();
    await outage(server);
    const { status } = await health(server);
    assert.equal(status, 'DEGRADED');
    assert.equal((await server.http('/health/ready')).status, 503);
    assert.equal((await server.http('/health/live')).status, 200);
    const login = await server.http('/api/login', { method: 'POST', json: { username: 'somebody', password: 'long enough' } });
    assert.deepEqual([login.status, login.body.code], [503, 'unavailable']);
    assert.match(login.headers['retry-after'] ?? '', /^[1-9]\d*$/);

    await alice.ok('ice_candidate', { to: bob.id, callId: live, candidate: candidate(1) });
    await bob.once('ice_candidate', { callId: live });
    const during = await ring(carol, dora);
    await dora.ok('accept_call', { callId: during, answer: answer() });
    await carol.once('call_accepted', { callId: during });
    await alice.ok('end_call', { callId: live });
    await bob.once('call_ended', { callId: live, reason: 'hangup' });
    const rejected = await ring(bob, alice);
    await alice.ok('reject_call', { callId: rejected });
    await bob.once('call_rejected', { callId: rejected });

    cable.mend();
    for (const [callId, state] of [[live, 'completed'], [during, 'active'], [rejected, 'rejected']]) await server.row(callId, state);
    await eventually('GET /health/ready to say 200 again', async () => ((await server.http('/health/ready')).status === 200 ? true : undefined));
    assert.equal((await health(server)).status, 'OK');
    await carol.ok('end_call', { callId: during });
    assert.equal((await server.row(during, 'completed')).end_reason, 'hangup');
    await server.login(alice.user);
  });
});

describe('when the backlog is full while PostgreSQL is away', () => {
  test('new calls are refused with unavailable, the live one goes on, and none that rang is lost', async (t) => {
    const { server, cable } = await wired(t, { JOURNAL_CAPACITY: '6' });
    const [alice, bob, carol, dora] = await server.devices(t, 'websocket', 'alice', 'bob', 'carol', 'dora');
    const live = await establish(alice, bob);
    await server.row(live, 'active');
    cable.cut();
    await outage(server);
    const rang = [];
    let refusal;
    for (let n = 0; n < 20 && !refusal; n += 1) {
      const ack = await carol.ack('call_user', { to: dora.id, callType: 'video', offer: offer() });
      if (!ack.ok) refusal = ack;
      else {
        rang.push(ack.callId);
        await carol.ok('end_call', { callId: ack.callId });
      }
    }
    assert.equal(refusal?.code, 'unavailable', `${rang.length} calls rang without a database and with room for 6 facts`);
    assert.ok(rang.length >= 1, 'there was room for some');
    await alice.ok('media_state', { callId: live, audio: true, video: true });
    await bob.once('media_state', { callId: live });
    await alice.ok('end_call', { callId: live });
    await bob.once('call_ended', { callId: live });
    cable.mend();
    for (const callId of rang) await server.row(callId, 'cancelled');
    await server.row(live, 'completed');
    await dora.ok('reject_call', { callId: await ring(carol, dora) });
  });
});

describe('the process', () => {
  let dir;
  before(async () => { dir = await mkdtemp(join(tmpdir(), 'clients-')); });
  after(() => rm(dir, { recursive: true, force: true }));
  const base = () => ({ PATH: process.env.PATH, HOME: process.env.HOME, DATA_DIR: join(dir, 'data') });

  test('says in one line which port is taken, and exits 1', async (t) => {
    const server = await Server.during(t);
    const taken = net.createServer().listen(0, '127.0.0.1');
    t.after(() => taken.close());
    await once(taken, 'listening');
    const port = String(taken.address().port);
    const { code, logs } = await run([], { cwd: dir, env: { ...server.env, PORT: port, DATA_DIR: join(dir, 'other') } });
    assert.equal(code, 1, logs);
    const lines = logs.split('\n').filter((line) => line.includes(port) && /use|taken/i.test(line));
    assert.equal(lines.length, 1, logs);
    assert.doesNotMatch(logs, /panicked|stack backtrace|RUST_BACKTRACE/);
  });

  test('does not start in production without a database, a secret and an origin', async () => {
    const needed = {
      DATABASE_URL: 'postgres://nobody@127.0.0.1:1/nothing',
      JWT_SECRET,
      CORS_ORIGIN: ORIGIN,
    };
    for (const [missing, given] of [['DATABASE_URL'], ['JWT_SECRET'], ['CORS_ORIGIN'], ['JWT_SECRET', 'too short']]) {
      const env = { ...base(), APP_ENV: 'production', HOST: '127.0.0.1', PORT: String(await freePort()), ...needed, [missing]: given };
      if (given === undefined) delete env[missing];
      const { code, logs } = await run([], { cwd: dir, env });
      assert.notEqual(code, 0, `without ${missing}`);
      assert.ok(logs.includes(missing), `the message names ${missing}:\n${logs}`);
      assert.doesNotMatch(logs, /panicked/);
    }
  });

  test('ends with 0 on SIGTERM and on SIGINT, also with sockets open', async (t) => {
    for (const name of ['SIGTERM', 'SIGINT']) {
      const server = await Server.during(t);
      for (const transport of ['websocket', 'polling']) await server.device(t, await server.register(), { transport });
      assert.deepEqual(await server.signal(name), { code: 0, signal: null }, `${name}:\n${server.tail()}`);
    }
  });
});
