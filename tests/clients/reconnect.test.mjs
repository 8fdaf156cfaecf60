// Networks that fail, devices that come back, and a server that goes away.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Cable } from './proxy.mjs';
import { PATIENCE, Server, TRANSPORTS, answer, candidate, establish, nobodyHears, offer, ring, within } from './harness.mjs';

const HEARTBEAT = { PING_INTERVAL: '1s', PING_TIMEOUT: '2s' };

let patient;
let hasty;
before(async () => {
  patient = await Server.start(HEARTBEAT);
  hasty = await Server.start({ ...HEARTBEAT, RECONNECT_GRACE: '1s' });
});
after(() => Server.dispose(patient, hasty));

/** A front-end that comes back by itself: it joins whenever it is connected. */
async function frontEnd(t, server, user, options) {
  const client = server.connect(t, user, { reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 200, ...options });
  client.socket.on('connect', () => client.socket.emit('join', { id: user.id, username: user.username }));
  await client.once('join_success');
  return client;
}

async function cable(t, server) {
  const made = await Cable.to(server.port);
  t.after(() => made.close());
  return { made, url: `http://127.0.0.1:${made.port}` };
}

function assertActive(joined, { callId, role, peer, status }) {
  const { startTime, ...call } = joined.activeCall ?? {};
  assert.deepEqual(call, { callId, role, peer: { id: peer.id, username: peer.user.username }, callType: 'video', status });
  assert.ok(Math.abs(Date.now() - startTime) < 60_000, `startTime ${startTime} is in milliseconds since the epoch`);
}

for (const transport of TRANSPORTS) {
  describe(`a device that drops over ${transport}`, () => {
    for (const role of ['callee', 'caller']) {
      test(`comes back to its call as ${role}, and hears what it missed`, async (t) => {
        const [alice, bob] = await patient.devices(t, transport, 'alice', 'bob');
        const callId = await establish(alice, bob);
        const [lost, peer] = role === 'caller' ? [alice, bob] : [bob, alice];
        lost.drop();
        assert.deepEqual(await peer.once('peer_reconnecting'), { callId });
        for (const n of [1, 2, 3]) await peer.ok('ice_candidate', { to: lost.id, callId, candidate: candidate(n) });
        const back = await patient.device(t, lost.user, { transport });
        assertActive(back.joined, { callId, role, peer, status: 'active' });
        assert.deepEqual(await peer.once('peer_reconnected'), { callId });
        await back.once('ice_candidate', { candidate: candidate(3) });
        assert.deepEqual(back.heard('ice_candidate'), [1, 2, 3].map((n) => ({ from: peer.id, candidate: candidate(n), callId })));
        await back.ok('renegotiate', { callId, description: offer('restart') });
        await peer.once('renegotiate', { callId, from: lost.id });
        await peer.ok('renegotiate', { callId, description: answer('restart') });
        await back.once('renegotiate', { callId, from: peer.id });
        await back.ok('end_call', { callId });
        await peer.once('call_ended', { callId, reason: 'hangup' });
        assert.equal((await patient.row(callId, 'completed')).end_reason, 'hangup');
      });
    }

    test('is busy to others meanwhile', async (t) => {
      const [alice, bob, carol] = await patient.devices(t, transport, 'alice', 'bob', 'carol');
      const callId = await establish(alice, bob);
      bob.drop();
      await alice.once('peer_reconnecting', { callId });
      const { status } = await carol.ok('call_user', { to: bob.id, callType: 'video', offer: offer() });
      assert.equal(status, 'user_busy');
      await alice.ok('end_call', { callId });
    });

    test('finds no call any more when the peer hung up meanwhile', async (t) => {
      const [alice, bob] = await patient.devices(t, transport, 'alice', 'bob');
      const callId = await establish(alice, bob);
      bob.drop();
      await alice.once('peer_reconnecting', { callId });
      await alice.ok('end_call', { callId });
      const back = await patient.device(t, bob.user, { transport });
      assert.equal(back.joined.activeCall ?? null, null);
      await back.ok('end_call', { callId: await ring(back, alice) });
    });

    test('and comes back under another session finds no call to take over', async (t) => {
      const [alice, bob] = await patient.devices(t, transport, 'alice', 'bob');
      const callId = await establish(alice, bob);
      bob.drop();
      await alice.once('peer_reconnecting', { callId });
      const other = await nobodyHears([alice], ['peer_reconnected'], async () =>
        patient.device(t, await patient.login(bob.user), { transport }));
      assert.equal(other.joined.activeCall ?? null, null);
      const back = await patient.device(t, bob.user, { transport });
      assertActive(back.joined, { callId, role: 'callee', peer: alice, status: 'active' });
    });

    test('while it rings as the caller keeps ringing, and hears the answer when it is back', async (t) => {
      const [alice, bob] = await patient.devices(t, transport, 'alice', 'bob');
      const callId = await ring(alice, bob);
      await nobodyHears([bob], ['call_ended'], async () => {
        alice.drop();
        await bob.once('peer_reconnecting', { callId });
      });
      const back = await patient.device(t, alice.user, { transport });
      assertActive(back.joined, { callId, role: 'caller', peer: bob, status: 'ringing' });
      await bob.ok('accept_call', { callId, answer: answer('patience') });
      assert.deepEqual(await back.once('call_accepted'), { callId, answer: answer('patience') });
    });

    test('while it rings as the callee is rung again when it is back', async (t) => {
      const [alice, bob] = await patient.devices(t, transport, 'alice', 'bob');
      const callId = await ring(alice, bob);
      bob.drop();
      const back = await patient.device(t, bob.user, { transport });
      await back.once('incoming_call', { callId });
      await back.ok('accept_call', { callId, answer: answer() });
      await alice.once('call_accepted', { callId });
    });

    test('and does not come back within the grace ends the call with connection_lost', async (t) => {
      const [alice, bob] = await hasty.devices(t, transport, 'alice', 'bob');
      const callId = await establish(alice, bob);
      bob.drop();
      await alice.once('peer_reconnecting', { callId });
      assert.deepEqual(await alice.once('call_ended'), { callId, reason: 'connection_lost' });
      assert.equal((await hasty.row(callId, 'completed')).end_reason, 'connection_lost');
      const back = await hasty.device(t, bob.user, { transport });
      assert.equal(back.joined.activeCall ?? null, null);
    });

    test('as a caller who still rings, and does not come back, cancels with connection_lost', async (t) => {
      const [alice, bob] = await hasty.devices(t, transport, 'alice', 'bob');
      const callId = await ring(alice, bob);
      alice.drop();
      assert.deepEqual(await bob.once('call_ended'), { callId, reason: 'connection_lost' });
      assert.equal((await hasty.row(callId, 'cancelled')).end_reason, 'connection_lost');
    });

    test('on both sides ends the call once', async (t) => {
      const [alice, bob] = await hasty.devices(t, transport, 'alice', 'bob');
      const callId = await establish(alice, bob);
      alice.drop();
      bob.drop();
      const row = await hasty.row(callId, 'completed');
      assert.equal(row.end_reason, 'connection_lost');
      const [a, b] = [await hasty.device(t, alice.user, { transport }), await hasty.device(t, bob.user, { transport })];
      await b.ok('end_call', { callId: await establish(a, b) });
    });

    test('because its network is dead is noticed by the heartbeat', async (t) => {
      const [alice] = await patient.devices(t, transport, 'alice');
      const { made, url } = await cable(t, patient);
      const bob = await patient.device(t, await patient.register('bob'), { transport, url });
      const callId = await establish(alice, bob);
      made.freeze();
      await alice.once('peer_reconnecting', { callId });
      const back = await patient.device(t, bob.user, { transport });
      assertActive(back.joined, { callId, role: 'callee', peer: alice, status: 'active' });
      await alice.once('peer_reconnected', { callId });
    });

    test('because its cable was pulled comes back by itself, as the official client does', async (t) => {
      const [alice] = await patient.devices(t, transport, 'alice');
      const { made, url } = await cable(t, patient);
      const bob = await frontEnd(t, patient, await patient.register('bob'), { transport, url });
      const callId = await establish(alice, bob);
      made.cut();
      await alice.once('peer_reconnecting', { callId });
      assert.notEqual(await bob.once('disconnect'), 'io server disconnect');
      made.mend();
      assertActive(await bob.once('join_success'), { callId, role: 'callee', peer: alice, status: 'active' });
      await alice.once('peer_reconnected', { callId });
      await alice.ok('media_state', { callId, audio: true, video: true });
      await bob.once('media_state', { callId });
    });
  });

  describe(`a device that leaves on purpose over ${transport}`, () => {
    test('hangs up at once, without a grace', async (t) => {
      const [alice, bob] = await patient.devices(t, transport, 'alice', 'bob');
      const callId = await establish(alice, bob);
      await nobodyHears([alice], ['peer_reconnecting'], async () => {
        bob.leave();
        assert.deepEqual(await alice.once('call_ended'), { callId, reason: 'hangup' });
      });
      assert.equal((await patient.row(callId, 'completed')).end_reason, 'hangup');
    });

    test('as a caller who still rings, cancels', async (t) => {
      const [alice, bob] = await patient.devices(t, transport, 'alice', 'bob');
      const callId = await ring(alice, bob);
      alice.leave();
      assert.deepEqual(await bob.once('call_ended'), { callId, reason: 'cancelled' });
      assert.equal((await patient.row(callId, 'cancelled')).end_reason, 'cancelled');
    });

    test('without being in the call of its user, changes nothing', async (t) => {
      const [alice, bob] = await patient.devices(t, transport, 'alice', 'bob');
      const tablet = await patient.device(t, bob.user, { transport });
      const callId = await ring(alice, bob, tablet);
      await bob.ok('accept_call', { callId, answer: answer() });
      await alice.once('call_accepted');
      await nobodyHears([alice, bob], ['call_ended', 'peer_reconnecting'], async () => {
        tablet.leave();
        // Another tablet has come since: the leaving has been seen by then.
        await patient.device(t, bob.user, { transport });
      });
      await alice.ok('end_call', { callId });
      await bob.once('call_ended', { callId, reason: 'hangup' });
    });
  });

  describe(`resume over ${transport}`, () => {
    test('takes the call over at once from a socket that still looks connected', async (t) => {
      const [alice, bob] = await patient.devices(t, transport, 'alice', 'bob');
      const callId = await establish(alice, bob);
      const next = await patient.device(t, bob.user, { transport, join: { resume: callId } });
      assertActive(next.joined, { callId, role: 'callee', peer: alice, status: 'active' });
      await alice.ok('ice_candidate', { to: bob.id, callId, candidate: candidate(1) });
      await next.once('ice_candidate', { candidate: candidate(1) });
      assert.deepEqual(bob.heard('ice_candidate'), [], 'the old socket is out of the call');
      // The old socket goes at last: that is nobody's business any more.
      await nobodyHears([alice, next], ['call_ended', 'peer_reconnecting'], async () => {
        bob.leave();
        await patient.device(t, bob.user, { transport });
      });
      await next.ok('end_call', { callId });
      await alice.once('call_ended', { callId, reason: 'hangup' });
    });

    test('is not needed by a second device, and without it the call stays where it is', async (t) => {
      const [alice, bob] = await patient.devices(t, transport, 'alice', 'bob');
      const callId = await establish(alice, bob);
      const second = await patient.device(t, bob.user, { transport });
      assert.equal(second.joined.activeCall ?? null, null);
      await nobodyHears([second], ['media_state'], () => alice.ok('media_state', { callId, audio: true, video: true }));
      await bob.once('media_state', { callId });
    });

    test('by another session or a stranger takes nothing over', async (t) => {
      const [alice, bob] = await patient.devices(t, transport, 'alice', 'bob');
      const callId = await establish(alice, bob);
      const thieves = [await patient.login(bob.user), await patient.register('mallory')];
      for (const thief of thieves) {
        const client = await patient.connect(t, thief, { transport }).connected();
        await client.ack('join', { id: thief.id, username: thief.username, resume: callId });
        assert.equal(client.heard('join_success')[0]?.activeCall ?? null, null);
        await nobodyHears([client], ['media_state'], () => alice.ok('media_state', { callId, audio: true, video: true }));
        await bob.once('media_state', { callId });
      }
    });
  });

  describe(`a server that goes away over ${transport}`, () => {
    test('on SIGTERM ends the calls, exits 0, and finds its clients again after its return', async (t) => {
      const server = await Server.during(t, HEARTBEAT);
      const users = [];
      for (const name of ['alice', 'bob', 'carol', 'dora']) users.push(await server.register(name));
      const [alice, bob, carol, dora] = await Promise.all(users.map((user) => frontEnd(t, server, user, { transport })));
      const talking = await establish(alice, bob);
      const ringing = await ring(carol, dora);
      // The hardest moment: each poll has just been answered, and the next one is still on its way.
      await Promise.all([alice, bob, carol, dora].map((client) => client.roundTrip()));
      await server.stop();
      for (const [callId, parties] of [[talking, [alice, bob]], [ringing, [carol, dora]]]) {
        for (const party of parties) {
          assert.deepEqual(await party.once('call_ended'), { callId, reason: 'server_shutdown' });
          assert.notEqual(await party.once('disconnect'), 'io server disconnect', 'the client must come back by itself');
          assert.equal(party.socket.active, true);
        }
      }
      // All is flushed before the exit: nothing to wait for.
      const rows = await server.query('select id, status, end_reason, answered_at is not null as answered from calls order by answered_at');
      assert.deepEqual(rows, [
        { id: talking, status: 'completed', end_reason: 'server_shutdown', answered: true },
        { id: ringing, status: 'failed', end_reason: 'server_shutdown', answered: false },
      ]);

      await server.start();
      for (const client of [alice, bob, carol, dora]) {
        assert.equal((await client.once('join_success')).activeCall ?? null, null);
      }
      await bob.ok('end_call', { callId: await establish(alice, bob) });
    });

    test('by kill -9 loses no call it told of, and closes them when it is back', async (t) => {
      const server = await Server.during(t, HEARTBEAT);
      const [alice, bob, ...others] = await server.devices(t, transport, 'alice', 'bob', 'c1', 'c2', 'd1', 'd2', 'e1', 'e2');
      const talking = await establish(alice, bob);
      await server.row(talking, 'active');
      const told = [];
      for (let i = 0; i < others.length; i += 2) {
        told.push(others[i].ok('call_user', { to: others[i + 1].id, callType: 'audio', offer: offer() }).then(({ callId }) => callId));
      }
      const ringing = await Promise.all(told);
      const end = await server.signal('SIGKILL');
      assert.equal(end.signal, 'SIGKILL');
      await within(PATIENCE, 'every socket to notice', Promise.all([alice, bob, ...others].map((device) => device.once('disconnect'))));

      await server.start();
      const rows = await server.query('select id, status, end_reason, answered_at is not null as answered from calls');
      const closed = (id, answered) => ({ id, status: 'failed', end_reason: 'server_restart', answered });
      const byId = (a, b) => (a.id < b.id ? -1 : 1);
      assert.deepEqual(rows.sort(byId), [closed(talking, true), ...ringing.map((id) => closed(id, false))].sort(byId));

      const [again, other] = [await server.device(t, alice.user, { transport }), await server.device(t, bob.user, { transport })];
      assert.equal(again.joined.activeCall ?? null, null);
      await other.ok('end_call', { callId: await establish(again, other) });
    });
  });
}
