// The rules of a call, one by one.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { NOBODY, Server, TRANSPORTS, UUID, answer, candidate, establish, nobodyHears, offer, ring } from './harness.mjs';

/** Everything a call may send. */
const OF_CALLS = [
  'incoming_call', 'call_status', 'call_accepted', 'call_rejected', 'call_ended', 'ice_candidate', 'renegotiate',
  'media_state', 'peer_reconnecting', 'peer_reconnected', 'event_error',
];

let server;
let impatient;
before(async () => {
  server = await Server.start();
  impatient = await Server.start({ RING_TIMEOUT: '1s' });
});
after(() => Server.dispose(server, impatient));

/** `names[0]`'s user with two devices, then one device for each other name. */
async function withTablet(t, transport, ...names) {
  const [first, ...others] = await server.devices(t, transport, ...names);
  const tablet = await server.device(t, first.user, { transport });
  return [first, tablet, ...others];
}

/** The row as SQL shows it, in what every outcome has in common. */
function assertRow(row, { status, reason, answered }) {
  assert.deepEqual([row.status, row.end_reason], [status, reason]);
  assert.equal(row.answered_at !== null, answered, 'answered_at is set exactly when the call was answered');
  assert.ok(row.ended_at >= (row.answered_at ?? row.started_at), 'a call ends after it began');
  if (answered) assert.ok(row.answered_at >= row.started_at, 'a call is answered after it began');
}

for (const transport of TRANSPORTS) {
  describe(`a call over ${transport}`, () => {
    test('rings, is answered, ends, and stands in the history', async (t) => {
      const [alice, bob] = await server.devices(t, transport, 'alice', 'bob');
      const wanted = offer();
      const ack = await alice.ok('call_user', {
        to: bob.id, from: { id: alice.id, username: alice.user.username }, callType: 'audio', offer: wanted,
      });
      const { callId } = ack;
      assert.deepEqual(ack, { ok: true, callId, status: 'ringing' });
      const [ringing] = await server.query('select * from calls where id = $1', [callId]);
      assert.deepEqual(
        [ringing?.caller_id, ringing?.callee_id, ringing?.call_type, ringing?.end_reason, ringing?.ended_at],
        [alice.id, bob.id, 'audio', null, null],
        'the row is committed once the caller knows of the call',
      );
      assert.deepEqual(await alice.once('call_status'), { callId, status: 'ringing' });
      assert.deepEqual(await bob.once('incoming_call'), {
        callId, from: { id: alice.id, username: alice.user.username }, callType: 'audio', offer: wanted,
      });

      const given = answer();
      await bob.ok('accept_call', { callId, answer: given });
      assert.deepEqual(await alice.once('call_accepted'), { callId, answer: given });
      await server.row(callId, 'active');

      await alice.ok('end_call', { callId });
      assert.deepEqual(await bob.once('call_ended'), { callId, reason: 'hangup' });
      assertRow(await server.row(callId, 'completed'), { status: 'completed', reason: 'hangup', answered: true });
      const [history] = await server.query(
        'select caller, callee, call_type, status, end_reason, ring_seconds::float8 as rang, talk_seconds::float8 as talked from call_history where id = $1',
        [callId],
      );
      assert.ok(history.rang >= 0 && history.rang < 60 && history.talked >= 0 && history.talked < 60, JSON.stringify(history));
      assert.deepEqual({ ...history, rang: 0, talked: 0 }, {
        caller: alice.user.username, callee: bob.user.username, call_type: 'audio', status: 'completed', end_reason: 'hangup', rang: 0, talked: 0,
      });
      assert.deepEqual(alice.heard('event_error', 'call_ended'), []);
      assert.deepEqual(bob.heard('event_error', 'call_status', 'call_accepted'), []);
    });

    test('can be hung up by the callee as well', async (t) => {
      const [alice, bob] = await server.devices(t, transport, 'alice', 'bob');
      const callId = await establish(alice, bob);
      await bob.ok('end_call', { callId });
      assert.deepEqual(await alice.once('call_ended'), { callId, reason: 'hangup' });
      assertRow(await server.row(callId, 'completed'), { status: 'completed', reason: 'hangup', answered: true });
    });

    test('that is rejected tells the caller so, and nothing else', async (t) => {
      const [alice, bob] = await server.devices(t, transport, 'alice', 'bob');
      const callId = await ring(alice, bob);
      await nobodyHears([alice, bob], ['call_ended', 'call_accepted'], () => bob.ok('reject_call', { callId }));
      assert.deepEqual(await alice.once('call_rejected'), { callId });
      assertRow(await server.row(callId, 'rejected'), { status: 'rejected', reason: 'rejected', answered: false });
    });

    test('that the callee ends while it rings is rejected', async (t) => {
      const [alice, bob] = await server.devices(t, transport, 'alice', 'bob');
      const callId = await ring(alice, bob);
      await bob.ok('end_call', { callId });
      assert.deepEqual(await alice.once('call_rejected'), { callId });
      assertRow(await server.row(callId, 'rejected'), { status: 'rejected', reason: 'rejected', answered: false });
    });

    test('that the caller ends while it rings is cancelled', async (t) => {
      const [bob, tablet, alice] = await withTablet(t, transport, 'bob', 'alice');
      const callId = await ring(alice, bob, tablet);
      await alice.ok('end_call', { callId });
      for (const device of [bob, tablet]) assert.deepEqual(await device.once('call_ended'), { callId, reason: 'cancelled' });
      assertRow(await server.row(callId, 'cancelled'), { status: 'cancelled', reason: 'cancelled', answered: false });
    });

    test('to somebody offline is user_offline and missed', async (t) => {
      const [alice] = await server.devices(t, transport, 'alice');
      const absent = await server.register('absent');
      const ack = await alice.ok('call_user', { to: absent.id, callType: 'video', offer: offer() });
      assert.equal(ack.status, 'user_offline');
      assert.match(ack.callId, UUID);
      assert.deepEqual(await alice.once('call_status'), { callId: ack.callId, status: 'user_offline' });
      assertRow(await server.row(ack.callId, 'missed'), { status: 'missed', reason: 'user_offline', answered: false });
    });

    test('to somebody who rings or talks is user_busy and missed, and does not disturb them', async (t) => {
      const [alice, bob, carol] = await server.devices(t, transport, 'alice', 'bob', 'carol');
      const busy = async (callee) => {
        const { callId, status } = await nobodyHears([alice, bob], OF_CALLS, () =>
          carol.ok('call_user', { to: callee.id, callType: 'video', offer: offer() }));
        assert.equal(status, 'user_busy');
        assert.deepEqual(await carol.once('call_status'), { callId, status: 'user_busy' });
        assertRow(await server.row(callId, 'missed'), { status: 'missed', reason: 'user_busy', answered: false });
      };
      const callId = await ring(alice, bob);
      await busy(alice);
      await busy(bob);
      await bob.ok('accept_call', { callId, answer: answer() });
      await alice.once('call_accepted');
      await busy(alice);
      await busy(bob);
      await alice.ok('end_call', { callId });
      await bob.once('call_ended', { callId });
      await bob.ok('end_call', { callId: await ring(carol, bob) });
    });

    test('cannot be begun by somebody who is in one, and leaves no row', async (t) => {
      const [alice, bob, carol] = await server.devices(t, transport, 'alice', 'bob', 'carol');
      const callId = await ring(alice, bob);
      const tries = () => nobodyHears([carol], OF_CALLS, async () => {
        for (const party of [alice, bob]) {
          await party.refused('invalid_state', 'call_user', { to: carol.id, callType: 'video', offer: offer() });
        }
      });
      await tries();
      await bob.ok('accept_call', { callId, answer: answer() });
      await tries();
      await alice.refused('invalid_state', 'call_user', { to: bob.id, callType: 'video', offer: offer() });
      await alice.ok('end_call', { callId });
      await server.row(callId, 'completed');
      const rows = await server.query('select id from calls where caller_id = any($1)', [[alice.id, bob.id]]);
      assert.deepEqual(rows, [{ id: callId }]);
    });

    test('to oneself is self_call, to nobody not_found, in the name of another identity_mismatch; none leaves a row', async (t) => {
      const [alice, bob] = await server.devices(t, transport, 'alice', 'bob');
      await nobodyHears([alice, bob], OF_CALLS, async () => {
        await alice.refused('self_call', 'call_user', { to: alice.id, callType: 'video', offer: offer() });
        await alice.refused('not_found', 'call_user', { to: NOBODY, callType: 'video', offer: offer() });
        await alice.refused('identity_mismatch', 'call_user', {
          to: bob.id, from: { id: bob.id, username: bob.user.username }, callType: 'video', offer: offer(),
        });
      });
      assert.deepEqual(await server.query('select id from calls where caller_id = $1 or callee_id = $1', [alice.id]), []);
    });

    test('that meets one from the other side is glare: the later caller is told to accept the earlier call', async (t) => {
      const [alice, bob] = await server.devices(t, transport, 'alice', 'bob');
      const callId = await ring(alice, bob);
      const ack = await nobodyHears([alice], OF_CALLS, () =>
        bob.ok('call_user', { to: alice.id, callType: 'video', offer: offer() }));
      assert.deepEqual(ack, { ok: true, callId, status: 'glare' });
      assert.deepEqual(await bob.once('call_status'), { callId, status: 'glare' });
      await bob.ok('accept_call', { callId, answer: answer() });
      await alice.once('call_accepted', { callId });
      await bob.ok('end_call', { callId });
      await server.row(callId, 'completed');
      const rows = await server.query('select id from calls where caller_id = any($1)', [[alice.id, bob.id]]);
      assert.deepEqual(rows, [{ id: callId }]);
    });

    test('from both sides at the same instant leaves exactly one call alive, twenty times', async (t) => {
      const [alice, bob] = await server.devices(t, transport, 'alice', 'bob');
      for (let round = 0; round < 20; round += 1) {
        const [a, b] = round % 2 ? [alice, bob] : [bob, alice];
        const [fromA, fromB] = await Promise.all([
          a.ok('call_user', { to: b.id, callType: 'video', offer: offer() }),
          b.ok('call_user', { to: a.id, callType: 'video', offer: offer() }),
        ]);
        assert.deepEqual([fromA.status, fromB.status].sort(), ['glare', 'ringing'], `round ${round}`);
        assert.equal(fromA.callId, fromB.callId, `round ${round}: glare names the call of the other`);
        const { callId } = fromA;
        const [caller, callee] = fromA.status === 'ringing' ? [a, b] : [b, a];
        await callee.once('incoming_call', { callId });
        await callee.ok('accept_call', { callId, answer: answer() });
        await caller.once('call_accepted', { callId });
        await callee.ok('end_call', { callId });
        await caller.once('call_ended', { callId });
      }
      assert.equal(alice.heard('incoming_call').length + bob.heard('incoming_call').length, 20);
    });

    test('that nobody answers ends by itself for both sides, and is missed', async (t) => {
      const [alice, bob] = await impatient.devices(t, transport, 'alice', 'bob');
      const tablet = await impatient.device(t, bob.user, { transport });
      const callId = await ring(alice, bob, tablet);
      for (const device of [alice, bob, tablet]) assert.deepEqual(await device.once('call_ended'), { callId, reason: 'no_answer' });
      assertRow(await impatient.row(callId, 'missed'), { status: 'missed', reason: 'no_answer', answered: false });
      const [{ rang }] = await impatient.query('select ring_seconds::float8 as rang from call_history where id = $1', [callId]);
      assert.ok(rang >= 0.99 && rang < 5, `it rang for ${rang} s`);
      await bob.refused(['not_found', 'invalid_state'], 'accept_call', { callId, answer: answer() });
    });

    test('rings on until nobody answers when all devices of the callee are gone', async (t) => {
      const [alice, bob] = await impatient.devices(t, transport, 'alice', 'bob');
      const callId = await ring(alice, bob);
      bob.leave();
      assert.deepEqual(await alice.once('call_ended'), { callId, reason: 'no_answer' });
      assert.equal((await impatient.row(callId, 'missed')).end_reason, 'no_answer');
    });

    test('that was answered does not end by the ring timeout', async (t) => {
      const [alice, bob, carol, dora] = await impatient.devices(t, transport, 'alice', 'bob', 'carol', 'dora');
      const callId = await establish(alice, bob);
      const later = await ring(carol, dora);
      await nobodyHears([alice, bob], OF_CALLS, () => carol.once('call_ended', { callId: later, reason: 'no_answer' }));
      await alice.ok('end_call', { callId });
      await bob.once('call_ended', { callId, reason: 'hangup' });
    });
  });

  describe(`several devices over ${transport}`, () => {
    test('all ring, one answers, the others hear answered_elsewhere', async (t) => {
      const [bob, tablet, alice] = await withTablet(t, transport, 'bob', 'alice');
      const desk = await server.device(t, await server.login(bob.user), { transport });
      const callId = await ring(alice, bob, tablet, desk);
      await nobodyHears([tablet], ['call_ended'], () => tablet.ok('accept_call', { callId, answer: answer('tablet') }));
      for (const device of [bob, desk]) assert.deepEqual(await device.once('call_ended'), { callId, reason: 'answered_elsewhere' });
      assert.deepEqual(await alice.once('call_accepted'), { callId, answer: answer('tablet') });
      await alice.ok('end_call', { callId });
      await tablet.once('call_ended', { callId, reason: 'hangup' });
      await nobodyHears([bob, desk], OF_CALLS, () => alice.roundTrip());
    });

    test('all ring, one rejects, the others hear rejected_elsewhere', async (t) => {
      const [bob, tablet, alice] = await withTablet(t, transport, 'bob', 'alice');
      const callId = await ring(alice, bob, tablet);
      await nobodyHears([bob], ['call_ended'], () => bob.ok('reject_call', { callId }));
      assert.deepEqual(await tablet.once('call_ended'), { callId, reason: 'rejected_elsewhere' });
      await alice.once('call_rejected', { callId });
      await tablet.refused(['not_found', 'invalid_state'], 'accept_call', { callId, answer: answer() });
    });

    test('accept at the same instant, and exactly one wins, fifty times', async (t) => {
      const [bob, tablet, alice] = await withTablet(t, transport, 'bob', 'alice');
      for (let round = 0; round < 50; round += 1) {
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
      assert.equal(alice.heard('call_accepted').length, 50, 'the caller is told of one answer a call');
    });

    test('accept and reject at the same instant, and exactly one wins, ten times', async (t) => {
      const [bob, tablet, alice] = await withTablet(t, transport, 'bob', 'alice');
      for (let round = 0; round < 10; round += 1) {
        const callId = await ring(alice, bob, tablet);
        const steps = [() => bob.ack('accept_call', { callId, answer: answer() }), () => tablet.ack('reject_call', { callId })];
        if (round % 2) steps.reverse();
        const acks = await Promise.all(steps.map((step) => step()));
        assert.equal(acks.filter((ack) => ack.ok).length, 1, `round ${round}: ${JSON.stringify(acks)}`);
        const accepted = round % 2 ? acks[1].ok : acks[0].ok;
        await alice.once(accepted ? 'call_accepted' : 'call_rejected', { callId });
        if (accepted) await alice.ok('end_call', { callId });
        await server.row(callId, accepted ? 'completed' : 'rejected');
      }
      assert.equal(alice.heard('call_accepted', 'call_rejected').length, 10);
    });

    test('that join while it rings are rung too, with the offer', async (t) => {
      const [alice, bob] = await server.devices(t, transport, 'alice', 'bob');
      const wanted = offer('late');
      const { callId } = await alice.ok('call_user', { to: bob.id, callType: 'video', offer: wanted });
      await bob.once('incoming_call', { callId });
      const late = await server.device(t, await server.login(bob.user), { transport });
      assert.deepEqual(await late.once('incoming_call'), {
        callId, from: { id: alice.id, username: alice.user.username }, callType: 'video', offer: wanted,
      });
      await late.ok('accept_call', { callId, answer: answer('late') });
      assert.deepEqual(await alice.once('call_accepted'), { callId, answer: answer('late') });
      assert.deepEqual(await bob.once('call_ended'), { callId, reason: 'answered_elsewhere' });
    });

    test('can end the call of another device of their user, which then hears of it', async (t) => {
      const [bob, tablet, alice] = await withTablet(t, transport, 'bob', 'alice');
      const callId = await ring(alice, bob, tablet);
      await bob.ok('accept_call', { callId, answer: answer() });
      await tablet.once('call_ended', { callId, reason: 'answered_elsewhere' });
      await tablet.ok('end_call', { callId });
      for (const device of [alice, bob]) assert.deepEqual(await device.once('call_ended'), { callId, reason: 'hangup' });
    });

    test('of the caller do not ring, and can cancel', async (t) => {
      const [alice, tablet, bob] = await withTablet(t, transport, 'alice', 'bob');
      const callId = await nobodyHears([tablet], OF_CALLS, () => ring(alice, bob));
      await tablet.ok('end_call', { callId });
      assert.deepEqual(await alice.once('call_ended'), { callId, reason: 'cancelled' });
      assert.deepEqual(await bob.once('call_ended'), { callId, reason: 'cancelled' });
    });
  });

  describe(`retries and strangers over ${transport}`, () => {
    test('a repeated call_user while it rings returns the same call and does not ring again', async (t) => {
      const [alice, bob] = await server.devices(t, transport, 'alice', 'bob');
      const callId = await ring(alice, bob);
      const again = await nobodyHears([bob], OF_CALLS, () =>
        alice.ok('call_user', { to: bob.id, callType: 'video', offer: offer() }));
      assert.deepEqual(again, { ok: true, callId, status: 'ringing' });
      assert.equal((await server.query('select id from calls where caller_id = $1', [alice.id])).length, 1);
    });

    test('a repeated accept, reject or end is fine and sends nothing twice', async (t) => {
      const [alice, bob] = await server.devices(t, transport, 'alice', 'bob');
      const callId = await establish(alice, bob);
      await nobodyHears([alice, bob], OF_CALLS, () => bob.ok('accept_call', { callId, answer: answer() }));
      await alice.ok('end_call', { callId });
      await bob.once('call_ended', { callId });
      await nobodyHears([alice, bob], OF_CALLS, async () => {
        await alice.ok('end_call', { callId });
        await bob.ok('end_call', { callId });
      });
      const second = await ring(alice, bob);
      await bob.ok('reject_call', { callId: second });
      await alice.once('call_rejected', { callId: second });
      await nobodyHears([alice, bob], OF_CALLS, () => bob.ok('reject_call', { callId: second }));
    });

    test('a stranger finds no call, whatever he tries, and the parties hear nothing', async (t) => {
      const [alice, bob, mallory] = await server.devices(t, transport, 'alice', 'bob', 'mallory');
      const attack = (callId) => nobodyHears([alice, bob], OF_CALLS, async () => {
        await mallory.refused('not_found', 'accept_call', { callId, answer: answer() });
        await mallory.refused('not_found', 'reject_call', { callId });
        await mallory.refused('not_found', 'end_call', { callId });
        await mallory.refused('not_found', 'renegotiate', { callId, description: offer() });
        await mallory.refused('not_found', 'media_state', { callId, audio: true, video: true });
        for (const to of [alice.id, bob.id]) {
          await mallory.refused('not_found', 'ice_candidate', { to, callId, candidate: candidate(1) });
          await mallory.refused(['not_found', 'invalid_state'], 'ice_candidate', { to, candidate: candidate(1) });
        }
      });
      const callId = await ring(alice, bob);
      await attack(callId);
      await bob.ok('accept_call', { callId, answer: answer() });
      await alice.once('call_accepted', { callId });
      await attack(callId);
      await alice.ok('end_call', { callId });
      await bob.once('call_ended', { callId });
      await attack(callId);
      // The two look the same: a call of others and no call at all.
      const [ofOthers, ofNobody] = [await mallory.ack('end_call', { callId }), await mallory.ack('end_call', { callId: NOBODY })];
      assert.deepEqual(ofOthers, ofNobody);
    });

    test('the caller cannot accept or reject their own call', async (t) => {
      const [alice, bob] = await server.devices(t, transport, 'alice', 'bob');
      const callId = await ring(alice, bob);
      await nobodyHears([alice, bob], OF_CALLS, async () => {
        await alice.refused(['invalid_state', 'not_found'], 'accept_call', { callId, answer: answer() });
        await alice.refused(['invalid_state', 'not_found'], 'reject_call', { callId });
      });
      await bob.ok('accept_call', { callId, answer: answer() });
    });

    test('a device that is not in the call cannot speak in it', async (t) => {
      const [bob, tablet, alice] = await withTablet(t, transport, 'bob', 'alice');
      const callId = await ring(alice, bob, tablet);
      await bob.ok('accept_call', { callId, answer: answer() });
      await alice.once('call_accepted', { callId });
      await tablet.once('call_ended', { callId });
      await nobodyHears([alice, bob], OF_CALLS, async () => {
        const refusal = ['invalid_state', 'not_found'];
        await tablet.refused(refusal, 'accept_call', { callId, answer: answer() });
        await tablet.refused(refusal, 'ice_candidate', { to: alice.id, callId, candidate: candidate(1) });
        await tablet.refused(refusal, 'ice_candidate', { to: alice.id, candidate: candidate(1) });
        await tablet.refused(refusal, 'renegotiate', { callId, description: offer() });
        await tablet.refused(refusal, 'media_state', { callId, audio: true, video: true });
      });
      await nobodyHears([tablet], OF_CALLS, () => alice.ok('ice_candidate', { to: bob.id, callId, candidate: candidate(2) }));
      await bob.once('ice_candidate', { callId, candidate: candidate(2) });
    });
  });

  describe(`candidates and changes over ${transport}`, () => {
    const numbers = (client, callId) => client.heard('ice_candidate').filter((c) => c.callId === callId).map((c) => c.candidate?.candidate.match(/^candidate:(\d+) /)[1]).map(Number);

    test('candidates of a caller reach every ringing device, and the answering one again, in order', async (t) => {
      const [bob, tablet, alice] = await withTablet(t, transport, 'bob', 'alice');
      const callId = await ring(alice, bob, tablet);
      for (const n of [1, 2, 3]) await alice.ok('ice_candidate', { to: bob.id, candidate: candidate(n) });
      for (const device of [bob, tablet]) {
        assert.deepEqual(await device.once('ice_candidate'), { from: alice.id, candidate: candidate(1), callId });
        await device.once('ice_candidate', { candidate: candidate(3) });
      }
      await nobodyHears([tablet], ['ice_candidate'], () => bob.ok('accept_call', { callId, answer: answer() }));
      await bob.roundTrip();
      assert.deepEqual(numbers(bob, callId), [1, 2, 3, 1, 2, 3]);
      assert.deepEqual(numbers(tablet, callId), [1, 2, 3]);
    });

    test('candidates of a callee are held until they answer, then follow call_accepted in order', async (t) => {
      const [bob, tablet, alice] = await withTablet(t, transport, 'bob', 'alice');
      const callId = await ring(alice, bob, tablet);
      await nobodyHears([alice], OF_CALLS, async () => {
        for (const n of [1, 2, 3]) await bob.ok('ice_candidate', { to: alice.id, callId, candidate: candidate(n) });
        for (const n of [7, 8]) await tablet.ok('ice_candidate', { to: alice.id, candidate: candidate(n) });
      });
      await bob.ok('accept_call', { callId, answer: answer() });
      await bob.ok('ice_candidate', { to: alice.id, callId, candidate: candidate(4) });
      await alice.once('ice_candidate', { candidate: candidate(4) });
      assert.deepEqual(numbers(alice, callId), [1, 2, 3, 4], "only the answering device's, in order");
      const order = alice.events.map((e) => e.event).filter((name) => ['call_accepted', 'ice_candidate'].includes(name));
      assert.deepEqual(order, ['call_accepted', ...Array(4).fill('ice_candidate')]);
    });

    test('a device that rejects never shows its address', async (t) => {
      const [alice, bob] = await server.devices(t, transport, 'alice', 'bob');
      const callId = await ring(alice, bob);
      await nobodyHears([alice], ['ice_candidate'], async () => {
        await bob.ok('ice_candidate', { to: alice.id, candidate: candidate(1) });
        await bob.ok('reject_call', { callId });
      });
      await bob.refused(['not_found', 'invalid_state'], 'ice_candidate', { to: alice.id, callId, candidate: candidate(2) });
    });

    test('a null candidate is passed on as the end of candidates, and an empty one as well', async (t) => {
      const [alice, bob] = await server.devices(t, transport, 'alice', 'bob');
      const callId = await establish(alice, bob);
      await alice.ok('ice_candidate', { to: bob.id, callId, candidate: null });
      assert.deepEqual(await bob.once('ice_candidate'), { from: alice.id, candidate: null, callId });
      const empty = { candidate: '', sdpMid: '0', sdpMLineIndex: 0 };
      await alice.ok('ice_candidate', { to: bob.id, candidate: empty });
      assert.deepEqual(await bob.once('ice_candidate'), { from: alice.id, candidate: empty, callId });
    });

    test('while it rings the first 64 candidates of each side are kept, more are refused with rate_limited', async (t) => {
      const [alice, bob] = await server.devices(t, transport, 'alice', 'bob');
      const callId = await ring(alice, bob);
      const all = Array.from({ length: 70 }, (_, n) => n);
      const kept = all.slice(0, 64);
      const fill = async (from, to) => {
        const acks = await Promise.all(all.map((n) => from.ack('ice_candidate', { to: to.id, callId, candidate: candidate(n) })));
        assert.deepEqual(acks.map((ack) => ack.ok), all.map((n) => n < 64));
        for (const ack of acks.slice(64)) assert.equal(ack.code, 'rate_limited');
      };
      await fill(alice, bob);
      await fill(bob, alice);
      await bob.roundTrip();
      const atOnce = numbers(bob, callId);
      assert.deepEqual(atOnce.slice(0, 64), kept);
      await bob.ok('accept_call', { callId, answer: answer() });
      await bob.roundTrip();
      assert.deepEqual(numbers(bob, callId).slice(atOnce.length), kept, 'replayed to the answering device');
      await alice.once('call_accepted', { callId });
      await alice.roundTrip();
      assert.deepEqual(numbers(alice, callId), kept, 'released to the caller');
      await alice.ok('ice_candidate', { to: bob.id, callId, candidate: candidate(99) });
      await bob.once('ice_candidate', { candidate: candidate(99) });
    });

    test('a candidate must be for the other party of the call', async (t) => {
      const [alice, bob, carol] = await server.devices(t, transport, 'alice', 'bob', 'carol');
      const callId = await establish(alice, bob);
      await nobodyHears([alice, bob, carol], ['ice_candidate'], async () => {
        for (const to of [carol.id, alice.id, NOBODY]) {
          await alice.refused(['not_found', 'invalid_state', 'validation_failed', 'self_call'], 'ice_candidate', { to, callId, candidate: candidate(1) });
        }
      });
    });

    test('renegotiate and media_state are relayed in an active call, with the sender', async (t) => {
      const [alice, bob] = await server.devices(t, transport, 'alice', 'bob');
      const callId = await ring(alice, bob);
      await nobodyHears([alice, bob], OF_CALLS, () => alice.refused('invalid_state', 'renegotiate', { callId, description: offer() }));
      await bob.ok('accept_call', { callId, answer: answer() });
      await alice.once('call_accepted');
      await alice.ok('renegotiate', { callId, description: offer('restart') });
      assert.deepEqual(await bob.once('renegotiate'), { callId, description: offer('restart'), from: alice.id });
      await bob.ok('renegotiate', { callId, description: answer('restart') });
      assert.deepEqual(await alice.once('renegotiate'), { callId, description: answer('restart'), from: bob.id });
      await bob.ok('media_state', { callId, audio: false, video: true, screen: true });
      assert.deepEqual(await alice.once('media_state'), { callId, audio: false, video: true, screen: true, from: bob.id });
      await alice.ok('media_state', { callId, audio: true, video: false });
      const { screen, ...state } = await bob.once('media_state');
      assert.deepEqual(state, { callId, audio: true, video: false, from: alice.id });
      assert.ok(screen === undefined || screen === null || screen === false, 'screen was not given');
    });

    test('two thousand events arrive in the order in which they were sent', async (t) => {
      const [alice, bob] = await server.devices(t, transport, 'alice', 'bob');
      const callId = await establish(alice, bob);
      const WAVE = 100;
      for (let from = 0; from < 2_000; from += WAVE) {
        for (let n = from; n < from + WAVE; n += 1) {
          if (n % 10 === 3) alice.emit('renegotiate', { callId, description: { type: 'offer', sdp: `${offer().sdp}a=${n}\r\n` } });
          else if (n % 10 === 7) alice.emit('media_state', { callId, audio: n % 20 === 7, video: true });
          else alice.emit('ice_candidate', { to: bob.id, callId, candidate: candidate(n) });
        }
        // The last of a wave is a candidate.
        await bob.once('ice_candidate', { candidate: candidate(from + WAVE - 1) });
      }
      const sent = Array.from({ length: 2_000 }, (_, n) => (n % 10 === 3 ? `sdp ${n}` : n % 10 === 7 ? `media ${n % 20 === 7}` : `ice ${n}`));
      const came = bob.events
        .filter((e) => ['renegotiate', 'media_state', 'ice_candidate'].includes(e.event))
        .map(({ event, args: [what] }) => {
          if (event === 'renegotiate') return `sdp ${what.description.sdp.match(/a=(\d+)/)[1]}`;
          if (event === 'media_state') return `media ${what.audio}`;
          return `ice ${what.candidate.candidate.match(/^candidate:(\d+)/)[1]}`;
        });
      assert.deepEqual(came, sent);
      assert.deepEqual(alice.heard('event_error'), []);
    });
  });
}

describe('the daily figures', () => {
  let fresh;
  before(async () => { fresh = await Server.start({ RING_TIMEOUT: '500ms' }); });
  after(() => Server.dispose(fresh));

  test('count every outcome once', async (t) => {
    const [alice, bob, carol] = await fresh.devices(t, 'websocket', 'alice', 'bob', 'carol');
    const absent = await fresh.register('absent');
    const call = async (to) => (await alice.ok('call_user', { to, callType: 'video', offer: offer() })).callId;
    const ended = [];

    const talked = await establish(bob, carol);
    ended.push([await call(bob.id), 'missed', 'user_busy']);
    await bob.ok('end_call', { callId: talked });
    ended.push([talked, 'completed', 'hangup']);
    ended.push([await call(absent.id), 'missed', 'user_offline']);
    const rejected = await ring(alice, bob);
    await bob.ok('reject_call', { callId: rejected });
    ended.push([rejected, 'rejected', 'rejected']);
    const cancelled = await ring(alice, bob);
    await alice.ok('end_call', { callId: cancelled });
    ended.push([cancelled, 'cancelled', 'cancelled']);
    const unanswered = await ring(alice, bob);
    await alice.once('call_ended', { callId: unanswered, reason: 'no_answer' });
    ended.push([unanswered, 'missed', 'no_answer']);
    for (const [id, status, reason] of ended) assert.equal((await fresh.row(id, status)).end_reason, reason);

    const days = await fresh.query(
      `select calls::int, answered::int, missed::int, rejected::int, failed::int, success_rate::float8, avg_talk_seconds::float8,
              day = (now() at time zone 'UTC')::date as today
       from call_daily_stats order by day`,
    );
    assert.equal(days.length, 1, 'one row a day');
    const [{ success_rate: rate, avg_talk_seconds: talk, ...counts }] = days;
    assert.deepEqual(counts, { calls: 6, answered: 1, missed: 3, rejected: 1, failed: 0, today: true });
    assert.ok(Math.abs(rate - 1 / 6) < 0.001, `success_rate is ${rate}`);
    assert.ok(talk >= 0 && talk < 60, `avg_talk_seconds is ${talk}`);
  });
});
