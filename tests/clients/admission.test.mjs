// Who gets in, who is sent away, and when somebody who is in has to go.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  JWT_SECRET, NOBODY, Server, TRANSPORTS, answer, assertFailure, candidate, establish, forge, nobodyHears, nowSeconds, offer, ring,
} from './harness.mjs';

/** Why the official client thinks it is out; after this one it does not come back by itself. */
const CUT = 'io server disconnect';
const TTL_SECONDS = 4;

let server;
let hasty;
before(async () => {
  server = await Server.start();
  hasty = await Server.start({ JOIN_TIMEOUT: '1s', ACCESS_TOKEN_TTL: `${TTL_SECONDS}s` });
});
after(() => Server.dispose(server, hasty));

/** The server sends this client away for cause. */
async function isCut(client) {
  assert.equal(await client.once('disconnect'), CUT, `${client.label} should be cut by the server`);
  assert.equal(client.socket.active, false, `${client.label} should not try to come back by itself`);
}

for (const transport of TRANSPORTS) {
  describe(`admission over ${transport}`, () => {
    test('a token in the handshake admits its user', async (t) => {
      const user = await server.register();
      const client = await server.connect(t, user, { transport }).connected();
      const joined = await client.join();
      assert.ok(joined.onlineUsers.some((row) => row.id === user.id && row.socketId === joined.socketId));
    });

    test('a token inside join admits its user, and id and username may be left out', async (t) => {
      const user = await server.register();
      const client = await server.connect(t, user, { transport, auth: {} }).connected();
      await client.ok('join', { token: user.token });
      const { onlineUsers } = await client.once('join_success');
      assert.equal(onlineUsers.find((row) => row.id === user.id).username, user.username);
    });

    test('a bad token in the handshake refuses the connection, and the message is the code', async (t) => {
      const user = await server.register();
      const now = nowSeconds();
      const past = { iat: now - 7200, nbf: now - 7200, exp: now - 60 };
      const signed = (claims, header) => forge(user.token, { secret: JWT_SECRET, claims, header });
      const bad = {
        'not a token': ['nonsense', 'unauthorized'],
        'a number': [12345, 'unauthorized'],
        'an object': [{ admin: true }, 'unauthorized'],
        'an empty text': ['', 'unauthorized'],
        'huge': ['x'.repeat(10_000), 'unauthorized'],
        'signed with another secret': [forge(user.token, { secret: 'another secret of more than 32 bytes' }), 'unauthorized'],
        'signed with nothing': [forge(user.token, { header: { alg: 'none' } }), 'unauthorized'],
        'signed with the right secret by another algorithm': [signed({}, { alg: 'HS512' }), 'unauthorized'],
        'of another issuer': [signed({ iss: 'somebody-else' }), 'unauthorized'],
        'for another audience': [signed({ aud: 'somebody-else' }), 'unauthorized'],
        'without a session': [signed({ sid: undefined }), 'unauthorized'],
        'without an expiry': [signed({ exp: undefined }), 'unauthorized'],
        'not valid yet': [signed({ nbf: now + 600 }), 'unauthorized'],
        'expired': [signed(past), 'token_expired'],
      };
      for (const [what, [token, code]] of Object.entries(bad)) {
        const client = server.connect(t, user, { transport, auth: { token } });
        assert.equal(await client.refusal(), code, `a token that is ${what}`);
      }
    });

    test('a bad token inside join is refused by a failed acknowledgement and join_error', async (t) => {
      const user = await server.register();
      const now = nowSeconds();
      const expired = forge(user.token, { secret: JWT_SECRET, claims: { iat: now - 7200, nbf: now - 7200, exp: now - 60 } });
      for (const [token, code] of [['nonsense', 'unauthorized'], [expired, 'token_expired']]) {
        const client = await server.connect(t, user, { transport, auth: {} }).connected();
        await client.refused(code, 'join', { id: user.id, username: user.username, token });
        assertFailure(await client.once('join_error'), code, 'join_error');
      }
    });

    test('a join without any token is unauthorized, with join_error also when no acknowledgement is asked for', async (t) => {
      const user = await server.register();
      const client = await server.connect(t, user, { transport, auth: {} }).connected();
      client.emit('join', { id: user.id, username: user.username });
      assertFailure(await client.once('join_error'), 'unauthorized', 'join_error');
    });

    test("an id or a name that is not the token's is identity_mismatch, and nobody goes online by it", async (t) => {
      const mallory = await server.register('mallory');
      const alice = await server.register('alice');
      const watcher = await server.device(t, await server.register('watcher'), { transport, join: { presence: 'none' } });
      for (const claim of [{ id: alice.id, username: alice.username }, { id: alice.id, username: mallory.username }, { id: mallory.id, username: alice.username }]) {
        const client = await server.connect(t, mallory, { transport }).connected();
        await client.refused('identity_mismatch', 'join', claim);
        assertFailure(await client.once('join_error'), 'identity_mismatch', 'join_error');
      }
      const { users } = await watcher.ok('watch_users', { ids: [alice.id, mallory.id] });
      assert.deepEqual(users.map((user) => user.isOnline), [false, false]);
    });

    test('before joining only join and ping are served', async (t) => {
      const [bob] = await server.devices(t, transport, 'bob');
      const client = await server.connect(t, await server.register(), { transport }).connected();
      await client.roundTrip();
      await nobodyHears([bob], ['incoming_call', 'ice_candidate', 'media_state', 'event_error'], async () => {
        await client.refused('not_joined', 'call_user', { to: bob.id, callType: 'video', offer: offer() });
        await client.refused('not_joined', 'accept_call', { callId: NOBODY, answer: answer() });
        await client.refused('not_joined', 'reject_call', { callId: NOBODY });
        await client.refused('not_joined', 'end_call', { callId: NOBODY });
        await client.refused('not_joined', 'ice_candidate', { to: bob.id, candidate: candidate(1) });
        await client.refused('not_joined', 'renegotiate', { callId: NOBODY, description: offer() });
        await client.refused('not_joined', 'media_state', { callId: NOBODY, audio: true, video: true });
        await client.refused('not_joined', 'watch_users', { ids: [bob.id] });
        client.emit('end_call', { callId: NOBODY });
        assertFailure(await client.once('event_error', { event: 'end_call' }), 'not_joined', 'event_error');
      });
      await client.join();
    });

    test('a refused join may be tried again, but three end the connection', async (t) => {
      const user = await server.register();
      const patient = await server.connect(t, user, { transport, auth: {} }).connected();
      await patient.refused('unauthorized', 'join', { token: 'nonsense' });
      await patient.refused('unauthorized', 'join', { token: 'nonsense' });
      await patient.join({ token: user.token });

      const stubborn = await server.connect(t, user, { transport, auth: {} }).connected();
      await stubborn.refused('unauthorized', 'join', { token: 'nonsense' });
      await stubborn.refused('unauthorized', 'join', { token: 'nonsense' });
      stubborn.emit('join', { token: 'nonsense' });
      await stubborn.once('disconnect');
    });

    test('joining again on the same socket as the same user is fine, as somebody else it is not', async (t) => {
      const alice = await server.device(t, await server.register('alice'), { transport });
      const first = alice.joined;
      const again = await alice.join();
      assert.equal(again.socketId, first.socketId);
      assert.equal(again.onlineUsers.filter((row) => row.id === alice.id).length, 1);
      const bob = await server.register('bob');
      await alice.refused('identity_mismatch', 'join', { id: bob.id, username: bob.username });
      await alice.refused('identity_mismatch', 'join', { token: bob.token });
      const { body: online } = await server.http('/api/online-users', { token: bob.token });
      assert.ok(online.some((row) => row.id === alice.id) && online.every((row) => row.id !== bob.id));
    });

    test('logout cuts the sockets of its session at once, and its token opens nothing any more', async (t) => {
      const alice = await server.device(t, await server.register('alice'), { transport });
      const elsewhere = await server.device(t, await server.login(alice.user), { transport });
      const { status } = await server.http('/api/logout', { method: 'POST', token: alice.user.token });
      assert.equal(status, 204);
      await isCut(alice);
      assert.equal(await server.connect(t, alice.user, { transport }).refusal(), 'session_revoked');
      const inJoin = await server.connect(t, alice.user, { transport, auth: {} }).connected();
      await inJoin.refused('session_revoked', 'join', { token: alice.user.token });
      const { status: rest, body } = await server.http('/api/me', { token: alice.user.token });
      assert.deepEqual([rest, body.code], [401, 'session_revoked']);
      await elsewhere.roundTrip();
    });

    test('logout ends the call of its session with session_revoked', async (t) => {
      const [alice, bob] = await server.devices(t, transport, 'alice', 'bob');
      const callId = await establish(alice, bob);
      await server.http('/api/logout', { method: 'POST', token: bob.user.token });
      assert.deepEqual(await alice.once('call_ended'), { callId, reason: 'session_revoked' });
      await isCut(bob);
      assert.equal((await server.row(callId, 'completed')).end_reason, 'session_revoked');
    });

    test('logout of a caller who still rings ends the ringing; of a ringing device only that device', async (t) => {
      const [alice, bob] = await server.devices(t, transport, 'alice', 'bob');
      const first = await ring(alice, bob);
      await server.http('/api/logout', { method: 'POST', token: alice.user.token });
      assert.deepEqual(await bob.once('call_ended'), { callId: first, reason: 'session_revoked' });
      assert.equal((await server.row(first, 'cancelled')).end_reason, 'session_revoked');

      const [carol] = await server.devices(t, transport, 'carol');
      const tablet = await server.device(t, await server.login(bob.user), { transport });
      const second = await ring(carol, bob, tablet);
      await nobodyHears([carol, tablet], ['call_ended', 'call_rejected'], async () => {
        await server.http('/api/logout', { method: 'POST', token: bob.user.token });
        await isCut(bob);
      });
      await tablet.ok('accept_call', { callId: second, answer: answer() });
      await carol.once('call_accepted', { callId: second });
    });

    test('a password change cuts every other session and keeps its own', async (t) => {
      const alice = await server.device(t, await server.register('alice'), { transport });
      const other = await server.device(t, await server.login(alice.user), { transport });
      const newPassword = `${alice.user.password} changed`;
      const { status } = await server.http('/api/me/password', {
        method: 'PUT', token: alice.user.token, json: { currentPassword: alice.user.password, newPassword },
      });
      assert.equal(status, 204);
      await isCut(other);
      await alice.roundTrip();
      assert.equal(alice.socket.connected, true);
      await server.login({ ...alice.user, password: newPassword });
      const { status: old } = await server.http('/api/login', {
        method: 'POST', json: { username: alice.user.username, password: alice.user.password },
      });
      assert.equal(old, 401);
    });

    test('deleting an account cuts its sockets, ends its call and blanks its name in the history', async (t) => {
      const [alice, bob] = await server.devices(t, transport, 'alice', 'bob');
      const callId = await establish(alice, bob);
      const { status } = await server.http('/api/me', { method: 'DELETE', token: alice.user.token, json: { password: alice.user.password } });
      assert.equal(status, 204);
      await isCut(alice);
      assert.deepEqual(await bob.once('call_ended'), { callId, reason: 'session_revoked' });
      await server.row(callId, 'completed');
      const [history] = await server.query('select caller, callee from call_history where id = $1', [callId]);
      assert.deepEqual(history, { caller: null, callee: bob.user.username });
      const { body: call } = await server.http(`/api/calls/${callId}`, { token: bob.user.token });
      assert.equal(call.from?.username ?? null, null);
      assert.equal(call.to.username, bob.user.username);
      const { status: login } = await server.http('/api/login', {
        method: 'POST', json: { username: alice.user.username, password: alice.user.password },
      });
      assert.equal(login, 401);
    });

    test('a used refresh token that comes again cuts the sockets of its session', async (t) => {
      const first = await server.register('alice');
      const second = await server.refresh(first);
      const third = await server.refresh(second);
      const alice = await server.device(t, third, { transport });
      const { status, body } = await server.http('/api/refresh', { method: 'POST', json: { refreshToken: first.refreshToken } });
      assert.deepEqual([status, body.code], [401, 'session_revoked']);
      await isCut(alice);
      const { body: dead } = await server.http('/api/refresh', { method: 'POST', json: { refreshToken: third.refreshToken } });
      assert.equal(dead.code, 'session_revoked');
    });

    test('disabling a user in SQL cuts the sockets, and a login says account_disabled', async (t) => {
      const alice = await server.device(t, await server.register('alice'), { transport });
      await server.query('update users set disabled_at = now() where id = $1', [alice.id]);
      await isCut(alice);
      const { username, password } = alice.user;
      const { status, body } = await server.http('/api/login', { method: 'POST', json: { username, password } });
      assert.deepEqual([status, body.code], [403, 'account_disabled']);
    });

    test('authenticate takes a newer token of the same session and nothing else', async (t) => {
      const alice = await server.device(t, await server.register('alice'), { transport });
      const bob = await server.register('bob');
      await alice.ok('authenticate', { token: (await server.refresh(alice.user)).token });
      await alice.refused('identity_mismatch', 'authenticate', { token: bob.token });
      await alice.refused('identity_mismatch', 'authenticate', { token: (await server.login(alice.user)).token });
      await alice.refused('unauthorized', 'authenticate', { token: 'nonsense' });
      await alice.refused(['validation_failed', 'unauthorized'], 'authenticate', {});
      await alice.roundTrip();
      assert.equal(alice.socket.connected, true);
    });
  });

  describe(`time limits over ${transport}`, () => {
    test('a socket that does not join is sent away', async (t) => {
      const user = await hasty.register();
      const idle = await hasty.connect(t, user, { transport }).connected();
      await idle.once('disconnect');
      const anonymous = await hasty.connect(t, user, { transport, auth: {} }).connected();
      await anonymous.once('disconnect');
    });

    test('an expired token ends the connection, after a warning', async (t) => {
      const alice = await hasty.device(t, await hasty.register('alice'), { transport });
      const { expiresInSeconds } = await alice.once('token_expiring');
      assert.ok(expiresInSeconds > 0 && expiresInSeconds <= TTL_SECONDS, `expiresInSeconds is ${expiresInSeconds}`);
      await isCut(alice);
      assert.equal(alice.heard('token_expiring').length, 1);
    });

    test('a socket that authenticated with a newer token outlives the older one', async (t) => {
      const user = await hasty.register('alice');
      const older = { ...user, token: forge(user.token, { secret: JWT_SECRET, claims: { exp: nowSeconds() + 2 } }) };
      const forgetful = await hasty.device(t, older, { transport });
      const mindful = await hasty.device(t, older, { transport });
      await mindful.once('token_expiring');
      await mindful.ok('authenticate', { token: (await hasty.refresh(user)).token });
      await isCut(forgetful);
      await mindful.roundTrip();
      await isCut(mindful);
    });

    test('a token that expires during a call ends the connection only after the call', async (t) => {
      const [alice, bob] = await hasty.devices(t, transport, 'alice', 'bob');
      const [clock] = await hasty.devices(t, transport, 'clock');
      const callId = await establish(alice, bob);
      await isCut(clock);
      // The clock's token is the newest: those of the call have expired as well by now.
      await alice.ok('media_state', { callId, audio: true, video: false });
      await bob.once('media_state', { callId });
      await bob.ok('ice_candidate', { to: alice.id, callId, candidate: candidate(1) });
      await alice.once('ice_candidate', { callId });
      await alice.ok('end_call', { callId });
      await bob.once('call_ended', { callId, reason: 'hangup' });
      await isCut(alice);
      await isCut(bob);
    });
  });
}
