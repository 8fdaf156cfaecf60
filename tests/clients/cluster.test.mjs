// Several nodes, one population: each client is put on the node that the test is about, past the load balancer. Run by
// `npm run test:cluster`.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Server, TRANSPORTS, answer, candidate, establish, eventually, nobodyHears, offer, ring, within } from './harness.mjs';
import { Cable } from './proxy.mjs';

const NODES = { nodes: 3 };
/** The numbers of the nodes. */
const [A, B, C] = [0, 1, 2];
const EACH = [A, B, C];
const HEARTBEAT = { PING_INTERVAL: '1s', PING_TIMEOUT: '2s' };
/** How soon everything agrees again after a node or Redis was away. */
const RECOVERY_MS = 30_000;

let cluster;
let hasty;
before(async () => {
  cluster = await Server.start(HEARTBEAT, NODES);
  hasty = await Server.start({ ...HEARTBEAT, RING_TIMEOUT: '1s', RECONNECT_GRACE: '1s' }, NODES);
});
after(() => Server.dispose(cluster, hasty));

/** A joined device on node `n`: of a new user by this name, or of a user there is already. */
async function on(n, t, who, { server = cluster, ...options } = {}) {
  const user = typeof who === 'string' ? await server.register(who) : who;
  return server.device(t, user, { url: server.nodes[n].url, ...options });
}

/** Candidates reach `to` in the order in which `from` sends them. */
async function trickle(callId, from, to, count = 10) {
  const numbers = Array.from({ length: count }, (_, n) => n + 1);
  for (const n of numbers) await from.ok('ice_candidate', { to: to.id, callId, candidate: candidate(n) });
  for (const n of numbers) {
    assert.deepEqual(await to.once('ice_candidate', { callId }), { from: from.id, candidate: candidate(n), callId });
  }
}

async function trickleBothWays(callId, one, other) {
  await trickle(callId, one, other);
  await trickle(callId, other, one);
}

async function hangUp(server, callId, from, ...others) {
  await from.ok('end_call', { callId });
  for (const other of others) assert.deepEqual(await other.once('call_ended'), { callId, reason: 'hangup' });
  assert.equal((await server.row(callId, 'completed')).end_reason, 'hangup');
}

function assertActive(joined, { callId, role, peer, status = 'active' }) {
  const { startTime, ...call } = joined.activeCall ?? {};
  assert.deepEqual(call, { callId, role, peer: { id: peer.id, username: peer.user.username }, callType: 'video', status });
  assert.ok(Math.abs(Date.now() - startTime) < 120_000, `startTime ${startTime} is in milliseconds since the epoch`);
}

const onlineOn = async (node, token) => (await node.http('/api/online-users', { token })).body;

/** Exactly these are online, by the list and by the number of every node that runs. */
async function agree(server, devices, ms) {
  const wanted = [...new Set(devices.map((device) => device.id))].sort();
  const running = server.nodes.filter((node) => node.isRunning);
  await Promise.all(running.map((node) => eventually(`${node.url} to show these and nobody else`, async () => {
    const shown = (await onlineOn(node, devices[0].user.token)).map((row) => row.id).sort();
    const { activeUsers } = (await node.http('/health')).body;
    assert.deepEqual([shown, activeUsers], [wanted, wanted.length]);
    return true;
  }, ms)));
}

/** A call that rings, as soon as one does: while the nodes find each other again the callee may still look offline or away. */
function reach(caller, callee) {
  return eventually(`a call from ${caller.label} to ${callee.label}`, async () => {
    const { callId, status } = await caller.ok('call_user', { to: callee.id, callType: 'video', offer: offer() });
    assert.equal(status, 'ringing');
    try {
      await callee.once('incoming_call', { callId }, 2_000);
    } catch (late) {
      await caller.ack('end_call', { callId });
      throw late;
    }
    return callId;
  }, RECOVERY_MS);
}

/** Candidates pass again, at first one of many and then all: what was sent meanwhile may be lost, what is sent from then on may not. */
async function passesAgain(callId, from, to) {
  let n = 1_000;
  await eventually(`a candidate from ${from.label} to ${to.label}`, async () => {
    n += 1;
    await from.ok('ice_candidate', { to: to.id, callId, candidate: candidate(n) });
    await to.once('ice_candidate', { callId, candidate: candidate(n) }, 1_000);
    return true;
  }, RECOVERY_MS);
  for (const entry of to.events) if (entry.event === 'ice_candidate') entry.taken = true;
  await trickle(callId, from, to);
}

/** As `reach`, and the call is answered. */
async function talkAgain(caller, callee) {
  const callId = await reach(caller, callee);
  // The callee's node may hear from Redis again a moment before it can write to it.
  await eventually('the call to be accepted', async () => {
    const ack = await callee.ack('accept_call', { callId, answer: answer() });
    assert.ok(ack.ok || ack.code === 'unavailable', JSON.stringify(ack));
    return ack.ok ? true : undefined;
  });
  await caller.once('call_accepted', { callId });
  return callId;
}

const endingsOf = (client, callId) => client.heard('call_ended').filter((ended) => ended.callId === callId);

for (const transport of TRANSPORTS) {
  describe(`a call between two nodes over ${transport}`, () => {
    test('rings, is answered, trickles, changes and ends as on one', async (t) => {
      const [alice, bob] = [await on(A, t, 'alice', { transport }), await on(B, t, 'bob', { transport })];
      const [wanted, given] = [offer(), answer()];
      const ack = await alice.ok('call_user', { to: bob.id, callType: 'audio', offer: wanted });
      const { callId } = ack;
      assert.deepEqual(ack, { ok: true, callId, status: 'ringing' });
      const [ringing] = await cluster.query('select caller_id, callee_id, ended_at from calls where id = $1', [callId]);
      assert.deepEqual(ringing, { caller_id: alice.id, callee_id: bob.id, ended_at: null }, 'committed once the caller knows of it');
      assert.deepEqual(await alice.once('call_status'), { callId, status: 'ringing' });
      assert.deepEqual(await bob.once('incoming_call'), {
        callId, from: { id: alice.id, username: alice.user.username }, callType: 'audio', offer: wanted,
      });
      await bob.ok('accept_call', { callId, answer: given });
      assert.deepEqual(await alice.once('call_accepted'), { callId, answer: given });
      await cluster.row(callId, 'active');

      await trickleBothWays(callId, alice, bob);
      for (const [from, to] of [[alice, bob], [bob, alice]]) {
        await from.ok('media_state', { callId, audio: false, video: true });
        assert.deepEqual({ screen: false, ...await to.once('media_state') }, { callId, audio: false, video: true, screen: false, from: from.id });
        await from.ok('renegotiate', { callId, description: offer('restart') });
        assert.deepEqual(await to.once('renegotiate'), { callId, description: offer('restart'), from: from.id });
        await to.ok('renegotiate', { callId, description: answer('restart') });
        assert.deepEqual(await from.once('renegotiate'), { callId, description: answer('restart'), from: to.id });
      }
      await hangUp(cluster, callId, alice, bob);
      assert.deepEqual(alice.heard('event_error', 'call_ended'), []);
      assert.deepEqual(bob.heard('event_error', 'call_status', 'call_accepted'), []);
    });

    test('has its candidates kept while it rings, and released by the answer', async (t) => {
      const [alice, bob] = [await on(A, t, 'alice', { transport }), await on(B, t, 'bob', { transport })];
      const callId = await ring(alice, bob);
      await trickle(callId, alice, bob, 3);
      for (const n of [1, 2, 3]) await bob.ok('ice_candidate', { to: alice.id, callId, candidate: candidate(n) });
      await bob.ok('accept_call', { callId, answer: answer() });
      for (const to of [bob, alice]) {
        for (const n of [1, 2, 3]) assert.deepEqual((await to.once('ice_candidate', { callId })).candidate, candidate(n));
      }
      const order = alice.events.map((e) => e.event).filter((name) => ['call_accepted', 'ice_candidate'].includes(name));
      assert.deepEqual(order, ['call_accepted', ...Array(3).fill('ice_candidate')], 'no address before the answer');
      await hangUp(cluster, callId, bob, alice);
    });

    test('is rejected on one and cancelled on the other', async (t) => {
      const [alice, bob] = [await on(A, t, 'alice', { transport }), await on(B, t, 'bob', { transport })];
      const third = await on(C, t, bob.user, { transport });
      const rejected = await ring(alice, bob, third);
      await bob.ok('reject_call', { callId: rejected });
      assert.deepEqual(await alice.once('call_rejected'), { callId: rejected });
      assert.deepEqual(await third.once('call_ended'), { callId: rejected, reason: 'rejected_elsewhere' });
      await cluster.row(rejected, 'rejected');
      const cancelled = await ring(alice, bob, third);
      await alice.ok('end_call', { callId: cancelled });
      for (const device of [bob, third]) assert.deepEqual(await device.once('call_ended'), { callId: cancelled, reason: 'cancelled' });
      await cluster.row(cancelled, 'cancelled');
    });

    test('is found again on a third node by a device whose connection was lost', async (t) => {
      for (const [role, from] of [['callee', B], ['caller', A]]) {
        const [alice, bob] = [await on(A, t, 'alice', { transport }), await on(B, t, 'bob', { transport })];
        const callId = await establish(alice, bob);
        const [lost, peer] = role === 'caller' ? [alice, bob] : [bob, alice];
        lost.drop();
        assert.deepEqual(await peer.once('peer_reconnecting'), { callId });
        for (const n of [7, 8]) await peer.ok('ice_candidate', { to: lost.id, callId, candidate: candidate(n) });
        const back = await on(C, t, lost.user, { transport });
        assertActive(back.joined, { callId, role, peer });
        assert.deepEqual(await peer.once('peer_reconnected'), { callId });
        for (const n of [7, 8]) assert.deepEqual((await back.once('ice_candidate', { callId })).candidate, candidate(n), `what the ${role} missed on node ${from}`);
        await trickleBothWays(callId, back, peer);
        await hangUp(cluster, callId, back, peer);
      }
    });

    test('is taken over on a third node with resume, from a socket that still looks connected', async (t) => {
      const [alice, bob] = [await on(A, t, 'alice', { transport }), await on(B, t, 'bob', { transport })];
      const callId = await establish(alice, bob);
      const next = await on(C, t, alice.user, { transport, join: { resume: callId } });
      assertActive(next.joined, { callId, role: 'caller', peer: bob });
      await trickleBothWays(callId, next, bob);
      assert.deepEqual(alice.heard('ice_candidate'), [], 'the old socket is out of the call');
      // The old socket goes at last: that is nobody's business any more. Whoever comes after it is seen after it.
      await nobodyHears([bob, next], ['call_ended', 'peer_reconnecting'], async () => {
        alice.leave();
        const later = await on(A, t, 'later', { transport });
        await later.ok('end_call', { callId: await ring(later, await on(B, t, 'other', { transport })) });
      });
      await hangUp(cluster, callId, bob, next);
    });
  });
}

describe('what must happen once, on several nodes', () => {
  test('two devices on two nodes accept at the same instant, and exactly one wins, five hundred times', async (t) => {
    const alice = await on(A, t, 'alice');
    const bob = await on(B, t, 'bob');
    const tablet = await on(C, t, bob.user);
    for (let round = 0; round < 500; round += 1) {
      const callId = await ring(alice, bob, tablet);
      const order = round % 2 ? [bob, tablet] : [tablet, bob];
      const acks = await Promise.all(order.map((device) => device.ack('accept_call', { callId, answer: answer(device === bob ? 'bob' : 'tablet') })));
      assert.deepEqual(acks.map((ack) => ack.ok).sort(), [false, true], `round ${round}: ${JSON.stringify(acks)}`);
      const [winner, loser] = acks[0].ok ? order : [...order].reverse();
      assert.ok(['invalid_state', 'not_found'].includes(acks.find((ack) => !ack.ok).code), JSON.stringify(acks));
      assert.deepEqual(await alice.once('call_accepted'), { callId, answer: answer(winner === bob ? 'bob' : 'tablet') });
      assert.deepEqual(await loser.once('call_ended'), { callId, reason: 'answered_elsewhere' });
      await alice.ok('end_call', { callId });
      assert.deepEqual(await winner.once('call_ended'), { callId, reason: 'hangup' });
    }
    assert.equal(alice.heard('call_accepted').length, 500, 'the caller is told of one answer a call');
    assert.deepEqual([bob, tablet].map((device) => device.heard('incoming_call', 'call_ended').length), [1_000, 1_000]);
    await rowsBetween([alice], 500);
  });

  test('calls from two nodes that meet are glare, and exactly one rings, five hundred times', async (t) => {
    const [alice, bob] = [await on(A, t, 'alice'), await on(B, t, 'bob')];
    for (let round = 0; round < 500; round += 1) {
      const [a, b] = round % 2 ? [alice, bob] : [bob, alice];
      const [fromA, fromB] = await Promise.all([
        a.ok('call_user', { to: b.id, callType: 'video', offer: offer() }),
        b.ok('call_user', { to: a.id, callType: 'video', offer: offer() }),
      ]);
      assert.deepEqual([fromA.status, fromB.status].sort(), ['glare', 'ringing'], `round ${round}`);
      assert.equal(fromA.callId, fromB.callId, `round ${round}: glare names the call of the other`);
      const { callId } = fromA;
      const [caller, callee] = fromA.status === 'ringing' ? [a, b] : [b, a];
      assert.deepEqual(await callee.once('call_status'), { callId, status: 'glare' });
      await caller.once('call_status', { callId, status: 'ringing' });
      await callee.once('incoming_call', { callId });
      await callee.ok('accept_call', { callId, answer: answer() });
      await caller.once('call_accepted', { callId });
      await callee.ok('end_call', { callId });
      await caller.once('call_ended', { callId });
    }
    assert.equal(alice.heard('incoming_call').length + bob.heard('incoming_call').length, 500);
    await rowsBetween([alice, bob], 500);
  });

  test('a user has one live call across the nodes', async (t) => {
    const [alice, bob] = [await on(A, t, 'alice'), await on(B, t, 'bob')];
    const carols = [];
    for (const n of EACH) carols.push(await on(n, t, `carol-${n}`));
    const tablet = await on(C, t, alice.user);
    const callId = await ring(alice, bob);
    const others = async () => {
      for (const carol of carols) {
        for (const party of [alice, bob]) {
          const busy = await carol.ok('call_user', { to: party.id, callType: 'video', offer: offer() });
          assert.equal(busy.status, 'user_busy', `${party.label} is busy for ${carol.label}`);
          assert.deepEqual(await carol.once('call_status'), { callId: busy.callId, status: 'user_busy' });
          assert.equal((await cluster.row(busy.callId, 'missed')).end_reason, 'user_busy');
        }
        await tablet.refused('invalid_state', 'call_user', { to: carol.id, callType: 'video', offer: offer() });
      }
    };
    await others();
    await bob.ok('accept_call', { callId, answer: answer() });
    await alice.once('call_accepted', { callId });
    await others();
    assert.deepEqual([...carols, tablet].flatMap((device) => device.heard('incoming_call')), []);
    // And it may be ended from a device of theirs on any node.
    await tablet.ok('end_call', { callId });
    for (const device of [alice, bob]) assert.deepEqual(await device.once('call_ended'), { callId, reason: 'hangup' });
    await cluster.row(callId, 'completed');
    await hangUp(cluster, await establish(tablet, carols[B]), tablet, carols[B]);
  });

  test('a ring timeout ends a call once, wherever its parties are', async (t) => {
    const calls = [];
    for (let n = 0; n < 9; n += 1) {
      const caller = await on(n % 3, t, 'alice', { server: hasty });
      const callee = await on((n + 1) % 3, t, 'bob', { server: hasty });
      const tablet = await on((n + 2) % 3, t, callee.user, { server: hasty });
      calls.push({ devices: [caller, callee, tablet] });
    }
    await Promise.all(calls.map(async (call) => { call.callId = await ring(...call.devices); }));
    for (const { callId, devices } of calls) {
      for (const device of devices) assert.deepEqual(await device.once('call_ended'), { callId, reason: 'no_answer' });
      assert.equal((await hasty.row(callId, 'missed')).end_reason, 'no_answer');
    }
    for (const { callId, devices } of calls) {
      // What was said twice would have come before what is said later.
      await sayMore(hasty, devices);
      for (const device of devices) assert.equal(endingsOf(device, callId).length, 1, device.label);
      const rows = await hasty.query('select id from calls where caller_id = $1 and end_reason = $2', [devices[0].id, 'no_answer']);
      assert.deepEqual(rows, [{ id: callId }]);
    }
  });

  test('a grace that passes ends a call once, wherever its parties are', async (t) => {
    const calls = [];
    for (let n = 0; n < 9; n += 1) {
      const caller = await on(n % 3, t, 'alice', { server: hasty });
      const callee = await on((n + 1) % 3, t, 'bob', { server: hasty });
      calls.push({ caller, callee, callId: await establish(caller, callee) });
    }
    for (const { callee } of calls) callee.drop();
    for (const { caller, callId } of calls) {
      assert.deepEqual(await caller.once('peer_reconnecting'), { callId });
      assert.deepEqual(await caller.once('call_ended'), { callId, reason: 'connection_lost' });
      assert.equal((await hasty.row(callId, 'completed')).end_reason, 'connection_lost');
    }
    for (const [n, { caller, callee, callId }] of calls.entries()) {
      const back = await on((n + 2) % 3, t, callee.user, { server: hasty });
      assert.equal(back.joined.activeCall ?? null, null);
      await sayMore(hasty, [caller, back]);
      assert.deepEqual([endingsOf(caller, callId).length, caller.heard('peer_reconnecting').length], [1, 1], caller.label);
    }
  });

  /** Another call between the same devices, on the same ways. */
  async function sayMore(server, [caller, callee, ...others]) {
    const callId = await ring(caller, callee, ...others);
    await callee.ok('reject_call', { callId });
    await caller.once('call_rejected', { callId });
    for (const other of others) await other.once('call_ended', { callId });
    await server.row(callId, 'rejected');
  }

  /** As many calls as there were, each ended by a hangup, and nothing else. */
  async function rowsBetween(callers, count) {
    await eventually(`${count} rows`, async () => {
      const rows = await cluster.query(
        'select status, end_reason, count(*)::int as count from calls where caller_id = any($1) group by 1, 2', [callers.map(({ id }) => id)],
      );
      assert.deepEqual(rows, [{ status: 'completed', end_reason: 'hangup', count }]);
      return true;
    });
  }
});

describe('a revocation on one node', () => {
  const SOON_MS = 1_000;

  test('cuts the sockets and ends the calls on the others within a second, and opens nothing any more', async (t) => {
    const [alice, bob] = [await on(A, t, 'alice'), await on(B, t, 'bob')];
    const elsewhere = await on(A, t, await cluster.login(alice.user));
    const callId = await establish(alice, bob);
    const { status } = await cluster.nodes[C].http('/api/logout', { method: 'POST', token: alice.user.token });
    assert.equal(status, 204);
    await Promise.all([
      alice.once('disconnect', (why) => why === 'io server disconnect', SOON_MS),
      bob.once('call_ended', { callId, reason: 'session_revoked' }, SOON_MS),
    ]);
    assert.equal((await cluster.row(callId, 'completed')).end_reason, 'session_revoked');
    for (const node of cluster.nodes) {
      assert.equal((await node.http('/api/me', { token: alice.user.token })).body.code, 'session_revoked');
      assert.equal(await cluster.connect(t, alice.user, { url: node.url }).refusal(), 'session_revoked');
    }
    await elsewhere.roundTrip();
    assert.equal(elsewhere.socket.connected, true, 'the other session stays');
  });

  test('of everything but one session leaves that one', async (t) => {
    const alice = await on(A, t, 'alice');
    const others = [];
    for (const n of EACH) others.push(await on(n, t, await cluster.login(alice.user)));
    const { status } = await cluster.nodes[C].http('/api/me/password', {
      method: 'PUT', token: alice.user.token, json: { currentPassword: alice.user.password, newPassword: `${alice.user.password} changed` },
    });
    assert.equal(status, 204);
    await Promise.all(others.map((other) => other.once('disconnect', (why) => why === 'io server disconnect', SOON_MS)));
    await alice.roundTrip();
    assert.equal(alice.socket.connected, true);
  });
});

describe('presence over the nodes', () => {
  const has = ({ id }) => (users) => users.some((row) => row.id === id);
  const lacks = (user) => (users) => !has(user)(users);
  const goesOnline = ({ id }) => (delta) => delta.online.some((user) => user.id === id);
  const goesOffline = ({ id }) => (delta) => delta.offline.includes(id);

  test('is told on every node in every mode, once for all devices, and lists and numbers agree', async (t) => {
    const bob = await cluster.register('bob');
    const [full, delta, none] = [[], [], []];
    for (const n of EACH) {
      full.push(await on(n, t, 'full'));
      delta.push(await on(n, t, 'delta', { join: { presence: 'delta' } }));
      const watcher = await on(n, t, 'none', { join: { presence: 'none' } });
      assert.deepEqual((await watcher.ok('watch_users', { ids: [bob.id] })).users, [{ id: bob.id, isOnline: false }]);
      none.push(watcher);
    }
    const everybody = [...full, ...delta, ...none];
    await agree(cluster, everybody, RECOVERY_MS);

    const phone = await on(A, t, bob);
    const row = (device) => ({ id: bob.id, username: bob.username, isOnline: true, socketId: device.joined.socketId });
    for (const watcher of full) {
      assert.deepEqual((await watcher.until('users_updated', has(bob))).find(({ id }) => id === bob.id), row(phone));
    }
    for (const watcher of [...delta, ...none]) await watcher.once('presence_delta', goesOnline(bob));
    for (const watcher of none) assert.deepEqual((await watcher.ok('watch_users', { ids: [bob.id] })).users, [{ id: bob.id, isOnline: true }]);
    await agree(cluster, [...everybody, phone]);

    const tablet = await on(B, t, bob);
    assert.ok(has(bob)(tablet.joined.onlineUsers));
    await Promise.all(cluster.nodes.map((node) => eventually(`${node.url} to show the newest device`, async () => {
      const rows = (await onlineOn(node, bob.token)).filter(({ id }) => id === bob.id);
      assert.deepEqual(rows, [row(tablet)]);
      return true;
    })));
    phone.leave();
    // Who comes after that is seen after that.
    const later = await on(A, t, 'later');
    for (const watcher of full) assert.ok(has(bob)(await watcher.until('users_updated', has(later))), 'still online by the other device');
    for (const watcher of delta) await watcher.once('presence_delta', goesOnline(later));
    tablet.leave();
    for (const watcher of full) await watcher.until('users_updated', lacks(bob));
    for (const watcher of [...delta, ...none]) {
      await watcher.once('presence_delta', goesOffline(bob));
      const turns = watcher.heard('presence_delta').filter((news) => goesOnline(bob)(news) || goesOffline(bob)(news));
      assert.equal(turns.length, 2, `${watcher.label}: came once and went once`);
    }
    for (const watcher of none) assert.deepEqual(watcher.heard('users_updated'), []);
    await agree(cluster, [...everybody, later]);
  });

  test('of many who come and go on every node at once is the same everywhere in the end', async (t) => {
    const crowd = [];
    for (let n = 0; n < 30; n += 1) crowd.push(await cluster.register('crowd'));
    const watchers = [];
    for (const n of EACH) watchers.push(await on(n, t, 'watcher'));
    const devices = await Promise.all(crowd.map((user, n) => on(n % 3, t, user, { join: { presence: 'none' } })));
    for (const watcher of watchers) await watcher.until('users_updated', (users) => crowd.every((user) => has(user)(users)));
    await agree(cluster, [...watchers, ...devices], RECOVERY_MS);
    for (const device of devices) device.leave();
    for (const watcher of watchers) await watcher.until('users_updated', (users) => crowd.every((user) => lacks(user)(users)));
    await agree(cluster, watchers, RECOVERY_MS);
  });

  /** Nodes of which A has a long way to Redis. */
  async function withOneFarAway(t) {
    const server = await Server.during(t, {}, NODES);
    await server.nodes[A].stop();
    const cable = await Cable.to(server.redis.port, undefined, { ms: 150 });
    t.after(() => cable.close());
    await server.nodes[A].start({ REDIS_URL: `redis://127.0.0.1:${cable.port}` });
    return server;
  }

  test('who hears of the end of a call is free for callers on every node, however long the way to Redis is', async (t) => {
    const server = await withOneFarAway(t);
    const [alice, bob] = [await on(A, t, 'alice', { server }), await on(A, t, 'bob', { server })];
    const carol = await on(B, t, 'carol', { server });
    await alice.ok('end_call', { callId: await establish(alice, bob) });
    const rejected = await ring(carol, alice);
    await alice.ok('reject_call', { callId: rejected });
    await alice.ok('reject_call', { callId: await ring(bob, alice) });
    await ring(carol, alice);
  });

  test('who hears of having joined is found from every node, however long the way to Redis is', async (t) => {
    const server = await withOneFarAway(t);
    const watcher = await server.register('watcher');
    const user = await server.register('newcomer');
    const newcomer = await server.connect(t, user, { url: server.nodes[A].url }).connected();
    newcomer.emit('join', { id: user.id, username: user.username });
    await newcomer.once('join_success');
    for (const n of [B, C]) {
      const shown = await onlineOn(server.nodes[n], watcher.token);
      assert.deepEqual(shown.map(({ id }) => id), [user.id], `on node ${n}`);
    }
  });
});

describe('a node that goes away', () => {
  const NOTICED_MS = 15_000;

  test('by kill -9 takes nobody with it: its users come back elsewhere and their calls go on', async (t) => {
    const server = await Server.during(t, { ...HEARTBEAT, RECONNECT_GRACE: '15s' }, NODES);
    const [alice, bob] = [await on(A, t, 'alice', { server }), await on(B, t, 'bob', { server })];
    const [carol, dora] = [await on(C, t, 'carol', { server }), await on(B, t, 'dora', { server })];
    const [erin, frank] = [await on(B, t, 'erin', { server }), await on(B, t, 'frank', { server })];
    const waited = await establish(alice, bob);
    // Whose call is whose matters to the nodes, so one was made from the node that dies, and one is all there.
    const resumed = await establish(dora, carol);
    const inside = await establish(erin, frank);
    for (const callId of [waited, resumed, inside]) await server.row(callId, 'active');

    await server.nodes[B].signal('SIGKILL');
    for (const device of [bob, dora, erin, frank]) await device.once('disconnect');
    // Before anybody noticed.
    const dora2 = await on(A, t, dora.user, { server, join: { resume: resumed } });
    assertActive(dora2.joined, { callId: resumed, role: 'caller', peer: carol });
    await trickleBothWays(resumed, dora2, carol);
    await Promise.all([
      alice.once('peer_reconnecting', { callId: waited }, NOTICED_MS),
      ...[A, C].map((n) => eventually(`node ${n} to show nobody of the dead node`, async () => {
        const shown = (await onlineOn(server.nodes[n], alice.user.token)).map(({ id }) => id).sort();
        assert.deepEqual(shown, [alice.id, carol.id, dora.id].sort());
        return true;
      }, NOTICED_MS)),
    ]);
    const bob2 = await on(C, t, bob.user, { server });
    assertActive(bob2.joined, { callId: waited, role: 'callee', peer: alice });
    await alice.once('peer_reconnected', { callId: waited });
    await trickleBothWays(waited, alice, bob2);
    const [erin2, frank2] = [await on(A, t, erin.user, { server }), await on(C, t, frank.user, { server })];
    assertActive(erin2.joined, { callId: inside, role: 'caller', peer: frank });
    assertActive(frank2.joined, { callId: inside, role: 'callee', peer: erin });
    await trickleBothWays(inside, erin2, frank2);

    // The node comes again, and takes none of them for its own dead.
    await server.nodes[B].start();
    const rows = await server.query('select status from calls');
    assert.deepEqual(rows, Array(3).fill({ status: 'active' }));
    await agree(server, [alice, carol, dora2, bob2, erin2, frank2], RECOVERY_MS);
    await hangUp(server, waited, bob2, alice);
    await hangUp(server, resumed, carol, dora2);
    await hangUp(server, inside, erin2, frank2);
    const grace = await on(B, t, 'grace', { server });
    await hangUp(server, await establish(grace, alice), alice, grace);
    // Alice heard of the end of the first, which bob hung up; what they ended themselves they hear nothing of.
    assert.deepEqual([alice, carol].map((device) => device.heard('call_ended').map(({ reason }) => reason)), [['hangup'], []]);
  });

  test('by kill -9, and whose users stay away, leaves their calls to end with connection_lost', async (t) => {
    const server = await Server.during(t, { ...HEARTBEAT, RECONNECT_GRACE: '2s' }, NODES);
    const [alice, bob] = [await on(A, t, 'alice', { server }), await on(B, t, 'bob', { server })];
    const [carol, dora] = [await on(B, t, 'carol', { server }), await on(C, t, 'dora', { server })];
    const talking = await establish(alice, bob);
    const ringing = await ring(carol, dora);
    await server.nodes[B].signal('SIGKILL');
    await Promise.all([
      alice.once('call_ended', { callId: talking, reason: 'connection_lost' }, RECOVERY_MS),
      dora.once('call_ended', { callId: ringing, reason: 'connection_lost' }, RECOVERY_MS),
    ]);
    assert.equal((await server.row(talking, 'completed')).end_reason, 'connection_lost');
    assert.equal((await server.row(ringing, 'cancelled')).end_reason, 'connection_lost');
    await hangUp(server, await establish(alice, dora), dora, alice);
    assert.deepEqual([endingsOf(alice, talking).length, endingsOf(dora, ringing).length], [1, 1]);
  });

  test('frozen until the others take it for dead, is one of them again when it thaws', async (t) => {
    const server = await Server.during(t, { ...HEARTBEAT, RECONNECT_GRACE: '3s' }, NODES);
    const [alice, bob] = [await on(A, t, 'alice', { server }), await on(B, t, 'bob', { server })];
    const [carol, dora] = [await on(B, t, 'carol', { server }), await on(C, t, 'dora', { server })];
    const [hers, his] = [await establish(alice, bob), await establish(carol, dora)];
    server.nodes[B].notify('SIGSTOP');
    for (const [device, callId] of [[alice, hers], [dora, his]]) {
      await device.once('peer_reconnecting', { callId }, NOTICED_MS);
      await device.once('call_ended', { callId, reason: 'connection_lost' }, RECOVERY_MS);
    }
    server.nodes[B].notify('SIGCONT');
    await Promise.all([bob, carol].map((device) => device.once('disconnect')));
    const [bob2, carol2] = [await on(C, t, bob.user, { server }), await on(B, t, carol.user, { server })];
    assert.deepEqual([bob2, carol2].map(({ joined }) => joined.activeCall), [undefined, undefined]);
    await agree(server, [alice, dora, bob2, carol2], RECOVERY_MS);
    for (const callId of [hers, his]) assert.equal((await server.row(callId, 'completed')).end_reason, 'connection_lost');
    await hangUp(server, await establish(carol2, alice), alice, carol2);
    await hangUp(server, await establish(dora, bob2), dora, bob2);
  });

  test('frozen, and back while its calls are in their grace, leaves them to those who took them over', async (t) => {
    const server = await Server.during(t, { ...HEARTBEAT, RECONNECT_GRACE: '30s' }, NODES);
    const [alice, bob] = [await on(A, t, 'alice', { server }), await on(B, t, 'bob', { server })];
    const [carol, dora] = [await on(B, t, 'carol', { server }), await on(C, t, 'dora', { server })];
    const [hers, his] = [await establish(alice, bob), await establish(carol, dora)];
    server.nodes[B].notify('SIGSTOP');
    await Promise.all([[alice, hers], [dora, his]].map(([device, callId]) => device.once('peer_reconnecting', { callId }, NOTICED_MS)));
    server.nodes[B].notify('SIGCONT');
    await Promise.all([bob, carol].map((device) => device.once('disconnect')));
    const [bob2, carol2] = [await on(B, t, bob.user, { server }), await on(A, t, carol.user, { server })];
    assertActive(bob2.joined, { callId: hers, role: 'callee', peer: alice });
    assertActive(carol2.joined, { callId: his, role: 'caller', peer: dora });
    await trickleBothWays(hers, alice, bob2);
    await trickleBothWays(his, carol2, dora);
    await agree(server, [alice, dora, bob2, carol2], RECOVERY_MS);
    await hangUp(server, hers, bob2, alice);
    await hangUp(server, his, dora, carol2);
    await hangUp(server, await establish(alice, dora), dora, alice);
    await hangUp(server, await establish(bob2, carol2), carol2, bob2);
    const activeCalls = await Promise.all(server.nodes.map(async (node) => (await node.http('/health')).body.activeCalls));
    assert.deepEqual(activeCalls, [0, 0, 0]);
  });

  /** Long enough that a node can be frozen until it is taken for dead without a client noticing. */
  const PATIENT = { PING_INTERVAL: '25s', PING_TIMEOUT: '20s', RECONNECT_GRACE: '30s' };

  test('frozen, and back before its clients notice, does not end a call that others have by now', async (t) => {
    const server = await Server.during(t, PATIENT, NODES);
    const [alice, bob] = [await on(A, t, 'alice', { server }), await on(B, t, 'bob', { server })];
    const callId = await establish(alice, bob);
    server.nodes[A].notify('SIGSTOP');
    await bob.once('peer_reconnecting', { callId }, NOTICED_MS);
    // It is the first thing that the node reads.
    const tooEarly = alice.refused('unavailable', 'end_call', { callId });
    server.nodes[A].notify('SIGCONT');
    await tooEarly;
    await bob.once('peer_reconnected', { callId }, RECOVERY_MS);
    await passesAgain(callId, alice, bob);
    await passesAgain(callId, bob, alice);
    assert.equal((await server.row(callId, 'active')).end_reason, null);
    await hangUp(server, callId, alice, bob);
    assert.deepEqual([alice, bob].map((device) => endingsOf(device, callId).length), [0, 1]);
    await hangUp(server, await establish(bob, alice), alice, bob);
  });

  for (const [how, leave] of [['without a word', (client) => client.socket.io.engine.close()], ['on purpose', (client) => client.socket.disconnect()]]) {
    test(`frozen, and back when a client that had gone ${how} is in its call again elsewhere, does not put it out`, async (t) => {
      const server = await Server.during(t, PATIENT, NODES);
      const [alice, bob] = [await on(A, t, 'alice', { server }), await on(B, t, 'bob', { server })];
      const callId = await establish(alice, bob);
      server.nodes[A].notify('SIGSTOP');
      await bob.once('peer_reconnecting', { callId }, NOTICED_MS);
      // What the node reads first when it runs again.
      leave(alice);
      const alice2 = await on(C, t, alice.user, { server, join: { resume: callId } });
      await bob.once('peer_reconnected', { callId });
      server.nodes[A].notify('SIGCONT');
      await agree(server, [alice2, bob], RECOVERY_MS);
      await passesAgain(callId, alice2, bob);
      await passesAgain(callId, bob, alice2);
      assert.equal((await server.row(callId, 'active')).end_reason, null);
      assert.deepEqual([bob.heard('peer_reconnecting').length, endingsOf(bob, callId)], [1, []]);
      await hangUp(server, callId, alice2, bob);
    });
  }

  test('frozen past the deadline of a call that was answered elsewhere meanwhile, does not serve that deadline', async (t) => {
    const server = await Server.during(t, { ...PATIENT, RING_TIMEOUT: '20s' }, NODES);
    const [alice, bob] = [await on(A, t, 'alice', { server }), await on(B, t, 'bob', { server })];
    const callId = await ring(alice, bob);
    const deadline = delay(21_000);
    server.nodes[A].notify('SIGSTOP');
    await eventually('the call to be taken over, and answered', async () => {
      const { ok } = await bob.ack('accept_call', { callId, answer: answer() });
      return ok ? true : undefined;
    }, NOTICED_MS);
    await deadline;
    server.nodes[A].notify('SIGCONT');
    await alice.once('call_accepted', { callId }, RECOVERY_MS);
    await passesAgain(callId, alice, bob);
    await passesAgain(callId, bob, alice);
    assert.equal((await server.row(callId, 'active')).end_reason, null);
    assert.deepEqual([...endingsOf(alice, callId), ...endingsOf(bob, callId)], []);
    await hangUp(server, callId, bob, alice);
  });

  test('on purpose, together with all the others, leaves nothing in Redis that stays', async (t) => {
    const server = await Server.during(t, HEARTBEAT, NODES);
    const devices = [await on(A, t, 'alice', { server }), await on(B, t, 'bob', { server }), await on(C, t, 'carol', { server })];
    await establish(devices[0], devices[1]);
    await server.stop();
    const keys = await server.redis.ask('--scan');
    const stay = [];
    for (const key of keys) if ((await server.redis.ask('ttl', key))[0] === '-1') stay.push(key);
    assert.deepEqual(stay, []);
  });

  test('with all the others, by kill -9 while Redis lives, leaves no call without an end and nobody busy or online', async (t) => {
    const server = await Server.during(t, { ...HEARTBEAT, RECONNECT_GRACE: '2s' }, NODES);
    const [alice, bob, carol, dora] = [
      await on(A, t, 'alice', { server }), await on(B, t, 'bob', { server }), await on(C, t, 'carol', { server }), await on(C, t, 'dora', { server }),
    ];
    const calls = [await establish(alice, bob), await establish(carol, dora)];
    for (const callId of calls) await server.row(callId, 'active');
    await Promise.all(server.nodes.map((node) => node.signal('SIGKILL')));
    await Promise.all(server.nodes.map((node) => node.start()));
    const rows = await eventually('the calls to have ended', async () => {
      const found = await server.query('select status, end_reason from calls where ended_at is not null');
      return found.length === calls.length ? found : undefined;
    }, RECOVERY_MS);
    for (const { status, end_reason: reason } of rows) {
      assert.ok(['completed connection_lost', 'failed server_restart'].includes(`${status} ${reason}`), `${status} ${reason}`);
    }
    const [alice2, bob2, dora2] = [await on(B, t, alice.user, { server }), await on(C, t, bob.user, { server }), await on(A, t, dora.user, { server })];
    await agree(server, [alice2, bob2, dora2], RECOVERY_MS);
    await hangUp(server, await establish(alice2, dora2), alice2, dora2);
  });

  test('one after another, in a rolling restart, loses none of fifty live calls', { timeout: 600_000 }, async (t) => {
    const server = await Server.during(t, HEARTBEAT, NODES);
    const clients = [];
    const calls = [];
    for (let n = 0; n < 50; n += 1) {
      const transport = TRANSPORTS[n % 2];
      const [caller, callee] = [await frontEnd(t, server, 'alice', transport), await frontEnd(t, server, 'bob', transport)];
      const callId = await establish(caller, callee);
      // One of the two asks for it, the other one is waited for.
      caller.callId = callId;
      calls.push({ callId, caller, callee });
      clients.push({ callId, client: caller }, { callId, client: callee });
    }
    for (const [n, node] of server.nodes.entries()) {
      const moved = clients.filter(({ client }) => server.spread.nodeOf(client) === n);
      assert.ok(moved.length > 0, `somebody is on node ${n}`);
      await node.stop();
      await Promise.all(moved.map(async ({ callId, client }) => {
        assert.notEqual(await client.once('disconnect'), 'io server disconnect', 'the client must come back by itself');
        await client.once('join_success', ({ activeCall }) => activeCall?.callId === callId, RECOVERY_MS);
        assert.notEqual(server.spread.nodeOf(client), n, 'another node has it now');
      }));
      await node.start();
    }
    assert.deepEqual(clients.flatMap(({ client }) => client.heard('call_ended', 'event_error', 'join_error')), []);
    const rows = await server.query('select status, count(*)::int as count from calls group by status');
    assert.deepEqual(rows, [{ status: 'active', count: 50 }]);
    for (const { callId, caller, callee } of calls) {
      await trickleBothWays(callId, caller, callee);
      await hangUp(server, callId, callee, caller);
    }
    await agree(server, clients.map(({ client }) => client), RECOVERY_MS);
  });

  /** A new user with a front-end behind the load balancer, which comes back by itself, and to its `callId` where it has one. */
  async function frontEnd(t, server, name, transport) {
    const user = await server.register(name);
    const client = server.connect(t, user, { transport, reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 200 });
    client.socket.on('connect', () => client.socket.emit('join', {
      id: user.id, username: user.username, presence: 'none', ...(client.callId && { resume: client.callId }),
    }));
    await client.once('join_success');
    return client;
  }
});

describe('limits', () => {
  test('on guesses at a password hold over all nodes, as on one', async (t) => {
    const server = await Server.during(t, { LOGIN_RATE_PER_MINUTE: '0' }, NODES);
    const alice = await server.register('alice');
    const guess = async (n) => (await server.nodes[n % 3].http('/api/login', {
      method: 'POST', json: { username: alice.username, password: 'not the password' },
    })).status;
    const statuses = [];
    for (let n = 0; n < 9; n += 1) statuses.push(await guess(n));
    assert.deepEqual(statuses, [...Array(5).fill(401), ...Array(4).fill(429)]);
  });

  test('on logins hold over all nodes, as on one', async (t) => {
    const server = await Server.during(t, { LOGIN_RATE_PER_MINUTE: '6' }, NODES);
    const statuses = [];
    for (let n = 0; n < 9; n += 1) {
      statuses.push((await server.nodes[n % 3].http('/api/login', {
        method: 'POST', json: { username: `nobody-${n}`, password: 'not the password' },
      })).status);
    }
    assert.deepEqual(statuses, [...Array(6).fill(401), ...Array(3).fill(429)]);
  });

  test('on calls hold for a user on whatever node', async (t) => {
    const server = await Server.during(t, { CALL_RATE_PER_MINUTE: '30' }, NODES);
    const alice = await on(A, t, 'alice', { server });
    const absent = await server.register('absent');
    const devices = [alice, await on(B, t, alice.user, { server }), await on(C, t, alice.user, { server })];
    const codes = [];
    for (let n = 0; n < 15; n += 1) {
      const ack = await devices[n % 3].ack('call_user', { to: absent.id, callType: 'video', offer: offer() });
      codes.push(ack.ok ? 'ok' : ack.code);
    }
    assert.deepEqual(codes.slice(0, 10), Array(10).fill('ok'));
    assert.ok(codes.slice(10).filter((code) => code === 'rate_limited').length >= 4, `${codes}`);
  });
});

describe('while Redis is away', () => {
  /** Nothing waits for Redis. */
  const SOON_MS = 5_000;
  const soon = (what, promise) => within(SOON_MS, `${what} without Redis`, promise);

  test('and only silent, a call inside a node goes on and REST answers; afterwards the nodes are one again', async (t) => {
    const server = await Server.during(t, HEARTBEAT, NODES);
    const [alice, bob] = [await on(A, t, 'alice', { server }), await on(A, t, 'bob', { server })];
    const [carol, dora] = [await on(A, t, 'carol', { server }), await on(B, t, 'dora', { server })];
    const [erin, frank] = [await on(C, t, 'erin', { server }), await on(C, t, 'frank', { server })];
    const here = await establish(alice, bob);
    const across = await establish(carol, dora);
    server.redis.freeze();
    const tenSeconds = delay(10_000);

    await soon('candidates in a node', trickleBothWays(here, alice, bob));
    await soon('a media state', alice.ok('media_state', { callId: here, audio: true, video: false }));
    await bob.once('media_state', { callId: here });
    for (const node of server.nodes) {
      assert.equal((await node.http('/health', { ms: SOON_MS })).status, 200);
      const { username, password, token } = alice.user;
      assert.equal((await node.http('/api/login', { method: 'POST', json: { username, password }, ms: SOON_MS })).status, 200);
      assert.equal((await node.http('/api/users', { token, ms: SOON_MS })).status, 200);
    }
    erin.leave();
    await soon('an end', bob.ok('end_call', { callId: here }));
    assert.deepEqual(await alice.once('call_ended', {}, SOON_MS), { callId: here, reason: 'hangup' });
    assert.equal((await server.row(here, 'completed')).end_reason, 'hangup');

    await tenSeconds;
    server.redis.thaw();
    await passesAgain(across, carol, dora);
    await passesAgain(across, dora, carol);
    const next = await talkAgain(alice, frank);
    await hangUp(server, next, frank, alice);
    await hangUp(server, across, carol, dora);
    await agree(server, [alice, bob, carol, dora, frank], RECOVERY_MS);
    for (const { client, callId } of [{ client: carol, callId: across }, { client: bob, callId: here }]) {
      assert.deepEqual(endingsOf(client, callId), [], 'who hung up is told by the acknowledgement alone');
    }
  });

  test('and comes back with a call that is over, neither of the two is kept from the next one', async (t) => {
    const server = await Server.during(t, HEARTBEAT, NODES);
    const [alice, bob] = [await on(A, t, 'alice', { server }), await on(B, t, 'bob', { server })];
    const carol = await on(C, t, 'carol', { server });
    const over = await establish(alice, bob);
    const key = (name) => `{video-call}:${name}`;
    const kept = [`call:${over}`, `line:${alice.id}`, `line:${bob.id}`];
    const [calls] = await server.redis.ask('--scan', '--pattern', key('calls:*'));
    for (const name of kept) await server.redis.ask('copy', key(name), `old:${name}`);
    await hangUp(server, over, bob, alice);
    /** As from a replica that did not hear of the end. */
    const recall = async () => {
      await eventually('the end to have reached Redis', async () => ((await server.redis.ask('exists', key(kept[0])))[0] === '0' ? true : undefined));
      for (const name of kept) await server.redis.ask('copy', `old:${name}`, key(name), 'replace');
      await server.redis.ask('sadd', calls, over);
    };
    await recall();
    await hangUp(server, await establish(alice, bob), alice, bob);
    // And one that the node has no memory of any more.
    const unknown = '01900000-0000-7000-8000-000000000000';
    await eventually('the end to have reached Redis', async () => ((await server.redis.ask('exists', key(`line:${alice.id}`)))[0] === '0' ? true : undefined));
    await server.redis.ask('copy', `old:call:${over}`, key(`call:${unknown}`));
    for (const user of [alice, bob]) await server.redis.ask('set', key(`line:${user.id}`), unknown);
    await server.redis.ask('sadd', calls, unknown);
    server.redis.freeze();
    await delay(3_000);
    server.redis.thaw();
    await hangUp(server, await talkAgain(carol, alice), carol, alice);
    await hangUp(server, await talkAgain(carol, bob), carol, bob);
    await eventually('nothing of it to be left', async () => {
      const left = await server.redis.ask('exists', ...kept.map(key), calls, key(`call:${unknown}`));
      return left[0] === '0' ? true : undefined;
    });
  });

  test('and comes back with nothing, every node tells it again: calls, who is busy, who is online', async (t) => {
    const server = await Server.during(t, HEARTBEAT, NODES);
    const [alice, bob] = [await on(A, t, 'alice', { server }), await on(B, t, 'bob', { server })];
    const [carol, dora] = [await on(B, t, 'carol', { server }), await on(C, t, 'dora', { server })];
    const leavers = [];
    for (const n of EACH) leavers.push(await on(n, t, 'leaver', { server }));
    const across = await establish(alice, bob);
    await agree(server, [alice, bob, carol, dora, ...leavers], RECOVERY_MS);
    await server.redis.kill();
    for (const leaver of leavers) leaver.leave();
    for (const device of [alice, carol, dora]) await soon('a round trip', device.roundTrip());
    await server.redis.start();

    await agree(server, [alice, bob, carol, dora], RECOVERY_MS);
    await passesAgain(across, alice, bob);
    await passesAgain(across, bob, alice);
    const busy = await dora.ok('call_user', { to: alice.id, callType: 'video', offer: offer() });
    assert.equal(busy.status, 'user_busy', 'who talks is still known to talk');
    const next = await talkAgain(carol, dora);
    await trickleBothWays(next, carol, dora);
    await hangUp(server, next, dora, carol);
    await hangUp(server, across, bob, alice);
    assert.deepEqual([alice, bob].flatMap((device) => device.heard('event_error')), []);
  });

  test('and comes back with nothing, again and again, no row of a live call is closed for it', async (t) => {
    const server = await Server.during(t, HEARTBEAT, NODES);
    const calls = [];
    for (const [one, other] of [[A, B], [B, C], [C, A], [A, A], [B, B], [C, C]]) {
      const [caller, callee] = [await on(one, t, 'caller', { server }), await on(other, t, 'callee', { server })];
      calls.push({ caller, callee, callId: await establish(caller, callee) });
    }
    const devices = calls.flatMap(({ caller, callee }) => [caller, callee]);
    // Whoever owns the history looks for what the dead have left every ten seconds.
    for (let n = 0; n < 5; n += 1) {
      await server.redis.kill();
      await server.redis.start();
      await agree(server, devices, RECOVERY_MS);
      await delay(3_000);
    }
    for (const { caller, callee, callId } of calls) {
      await passesAgain(callId, caller, callee);
      await hangUp(server, callId, caller, callee);
    }
  });
});

test('the load balancer of these tests puts a client that comes back on another node, and a session of polling on one', async (t) => {
  const user = await cluster.register('wanderer');
  const seen = [];
  for (let n = 0; n < 2; n += 1) {
    for (const transport of [...TRANSPORTS, 'upgrade']) {
      const client = await cluster.device(t, user, { transport });
      if (transport === 'upgrade') {
        await eventually('the upgrade', () => (client.socket.io.engine.transport.name === 'websocket' ? true : undefined));
      }
      await client.roundTrip();
      seen.push(cluster.spread.nodeOf(user));
      client.leave();
    }
  }
  assert.deepEqual(seen, [0, 1, 2, 3, 4, 5].map((n) => (seen[0] + n) % 3));
});
