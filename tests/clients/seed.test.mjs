// A front-end written for the demo server, with one change: `auth: { token }`. Nothing here may use anything the demo
// server's README does not show.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Server, UUID, answer, candidate, nobodyHears, offer } from './harness.mjs';

let server;
before(async () => { server = await Server.start(); });
after(() => Server.dispose(server));

/** The login form of the front-end. */
async function login({ username, password }) {
  const { status, body } = await server.http('/api/login', { method: 'POST', json: { username, password } });
  assert.equal(status, 200);
  return body;
}

/** What the front-end does after its login: connect, and join as soon as connected. */
async function enter(t, account, transport) {
  const { user, token } = await login(account);
  assert.deepEqual({ ...user, lastSeen: null }, { id: account.id, username: account.username, isOnline: false, lastSeen: null });
  const client = server.connect(t, user, { transport, auth: { token } });
  client.socket.on('connect', () => client.socket.emit('join', { id: user.id, username: user.username }));
  const joined = await client.once('join_success');
  assert.equal(joined.message, 'Successfully connected to the server');
  const me = joined.onlineUsers.find((row) => row.id === user.id);
  assert.deepEqual({ ...me, socketId: undefined }, { id: user.id, username: user.username, isOnline: true, socketId: undefined });
  assert.ok(typeof me.socketId === 'string' && me.socketId.length > 0);
  return client;
}

for (const transport of ['websocket', 'polling', 'upgrade']) {
  describe(`the demo front-end over ${transport}`, () => {
    test('logs in, joins, calls, accepts, trickles, talks and hangs up', async (t) => {
      const alice = await enter(t, await server.register('alice'), transport);
      const bob = await enter(t, await server.register('bob'), transport);

      const list = await alice.until('users_updated', (users) => Array.isArray(users) && users.some((u) => u.id === bob.id));
      assert.deepEqual(list.filter((u) => [alice.id, bob.id].includes(u.id)).map((u) => u.isOnline), [true, true]);
      for (const row of list) assert.deepEqual(Object.keys(row).sort(), ['id', 'isOnline', 'socketId', 'username']);

      const wanted = offer();
      alice.emit('call_user', {
        to: bob.id,
        from: { id: alice.id, username: alice.user.username },
        callType: 'video',
        offer: wanted,
      });
      const { callId, status } = await alice.once('call_status');
      assert.equal(status, 'ringing');
      assert.match(callId, UUID);
      assert.deepEqual(await bob.once('incoming_call'), {
        callId,
        from: { id: alice.id, username: alice.user.username },
        callType: 'video',
        offer: wanted,
      });

      alice.emit('ice_candidate', { to: bob.id, candidate: candidate(1) });
      const trickled = await bob.once('ice_candidate');
      assert.equal(trickled.from, alice.id);
      assert.deepEqual(trickled.candidate, candidate(1));

      const given = answer();
      bob.emit('accept_call', { callId, answer: given });
      assert.deepEqual(await alice.once('call_accepted'), { callId, answer: given });

      bob.emit('ice_candidate', { to: alice.id, candidate: candidate(2) });
      const back = await alice.once('ice_candidate');
      assert.equal(back.from, bob.id);
      assert.deepEqual(back.candidate, candidate(2));

      alice.emit('end_call', { callId });
      assert.equal((await bob.once('call_ended')).callId, callId);
      assert.deepEqual(alice.heard('event_error'), []);
      assert.deepEqual(bob.heard('event_error'), []);
    });

    test('is told of a rejection, and can call again at once', async (t) => {
      const alice = await enter(t, await server.register('alice'), transport);
      const bob = await enter(t, await server.register('bob'), transport);
      for (const callType of ['audio', 'video']) {
        alice.emit('call_user', { to: bob.id, from: { id: alice.id, username: alice.user.username }, callType, offer: offer() });
        const { callId } = await bob.once('incoming_call', { callType });
        assert.deepEqual(await alice.once('call_status'), { callId, status: 'ringing' });
        bob.emit('reject_call', { callId });
        assert.deepEqual(await alice.once('call_rejected'), { callId });
      }
    });

    test('is told when the callee is offline, with a call id', async (t) => {
      const alice = await enter(t, await server.register('alice'), transport);
      const absent = await server.register('absent');
      alice.emit('call_user', { to: absent.id, from: { id: alice.id, username: alice.user.username }, callType: 'video', offer: offer() });
      const { callId, status } = await alice.once('call_status');
      assert.equal(status, 'user_offline');
      assert.match(callId, UUID);
    });

    test('sees others come and go', async (t) => {
      const alice = await enter(t, await server.register('alice'), transport);
      const bob = await enter(t, await server.register('bob'), transport);
      await alice.until('users_updated', (users) => users.some((u) => u.id === bob.id));
      const { body: users } = await server.http('/api/users', { token: (await login(await server.register())).token });
      assert.equal(users.find((u) => u.id === bob.id).isOnline, true);
      bob.leave();
      await alice.until('users_updated', (list) => list.every((u) => u.id !== bob.id));
    });

    test('has its ping answered by a pong without data', async (t) => {
      const alice = await enter(t, await server.register('alice'), transport);
      alice.emit('ping');
      await alice.once('pong');
      assert.deepEqual(alice.events.findLast((e) => e.event === 'pong').args, []);
    });
  });
}

test('the two transports meet in one call', async (t) => {
  const alice = await enter(t, await server.register('alice'), 'websocket');
  const bob = await enter(t, await server.register('bob'), 'polling');
  alice.emit('call_user', { to: bob.id, callType: 'audio', offer: offer() });
  const { callId } = await bob.once('incoming_call');
  bob.emit('accept_call', { callId, answer: answer() });
  await alice.once('call_accepted', { callId });
  bob.emit('end_call', { callId });
  await alice.once('call_ended', { callId });
});

test('nobody outside a call hears of it', async (t) => {
  const alice = await enter(t, await server.register('alice'), 'websocket');
  const bob = await enter(t, await server.register('bob'), 'websocket');
  const carol = await enter(t, await server.register('carol'), 'websocket');
  const ofCalls = ['incoming_call', 'call_status', 'call_accepted', 'call_rejected', 'call_ended', 'ice_candidate'];
  await nobodyHears([carol], ofCalls, async () => {
    alice.emit('call_user', { to: bob.id, callType: 'video', offer: offer() });
    const { callId } = await bob.once('incoming_call');
    bob.emit('accept_call', { callId, answer: answer() });
    await alice.once('call_accepted', { callId });
    alice.emit('ice_candidate', { to: bob.id, candidate: candidate(1) });
    await bob.once('ice_candidate');
    alice.emit('end_call', { callId });
    await bob.once('call_ended', { callId });
  });
});

describe('the demo server\'s accounts', () => {
  let like;
  before(async () => { like = await Server.start({ REGISTRATION: 'on_login' }); });
  after(() => Server.dispose(like));
  const enterAs = (username, password) => like.http('/api/login', { method: 'POST', json: { username, password } });

  test('with REGISTRATION=on_login a login with an unknown name makes the account, and its password holds from then on', async () => {
    const first = await enterAs('john_doe', 'any_password');
    assert.equal(first.status, 200);
    assert.deepEqual([first.body.user.username, first.body.user.isOnline], ['john_doe', false]);
    assert.match(first.body.user.id, UUID);
    const again = await enterAs('john_doe', 'any_password');
    assert.equal(again.body.user.id, first.body.user.id);
    const { status, body } = await enterAs('john_doe', 'another_password');
    assert.deepEqual([status, body.code], [401, 'invalid_credentials']);
    const { body: users } = await like.http('/api/users', { token: first.body.token });
    assert.deepEqual(users.map(({ id, username, isOnline }) => ({ id, username, isOnline })),
      [{ id: first.body.user.id, username: 'john_doe', isOnline: false }]);
  });

  test('by default a login with an unknown name is refused, and makes no account', async () => {
    for (let round = 0; round < 2; round += 1) {
      const { status, body } = await server.http('/api/login', { method: 'POST', json: { username: 'jane_doe', password: 'any_password' } });
      assert.deepEqual([status, body.code], [401, 'invalid_credentials']);
    }
    assert.deepEqual(await server.query('select id from users where username = $1', ['jane_doe']), []);
  });
});
