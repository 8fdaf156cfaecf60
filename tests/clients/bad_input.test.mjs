// What a hostile or broken client may send. Nothing of it closes the process, reaches another user or goes unanswered.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Socket as Engine } from 'engine.io-client';
import { CODES, NOBODY, PATIENCE, Server, TRANSPORTS, answer, assertFailure, candidate, establish, eventually, nobodyHears, offer, ring, within } from './harness.mjs';

const INVALID = ['validation_failed'];
const INVALID_OR_ABSENT = ['validation_failed', 'not_found'];
const TOO_LARGE = ['payload_too_large'];
const UNKNOWN = ['unknown_event'];
const LONG = 'x'.repeat(20_000);

const nested = (depth) => JSON.parse('['.repeat(depth) + ']'.repeat(depth));
const own = (json) => JSON.parse(json);
const bigSdp = (bytes) => ({ ...offer(), sdp: offer().sdp.padEnd(bytes, 'a') });

/** Each case: what it is, the codes it may be refused with, the event, its arguments. `w` has ids to refer to. */
const CASES = (w) => [
  // Payloads that are no object at all, for every event that takes one.
  ...['call_user', 'accept_call', 'reject_call', 'end_call', 'ice_candidate', 'renegotiate', 'media_state', 'watch_users'].flatMap((event) => [
    [`${event} without a payload`, INVALID, event],
    [`${event} of null`, INVALID, event, null],
    [`${event} of a text`, INVALID, event, 'everything'],
    [`${event} of a number`, INVALID, event, 1e308],
    [`${event} of a boolean`, INVALID, event, true],
    [`${event} of an array`, INVALID, event, [{ callId: NOBODY }]],
    [`${event} of nothing inside`, INVALID, event, {}],
  ]),
  ['authenticate without a payload', ['validation_failed', 'unauthorized'], 'authenticate'],
  ['authenticate with a number', ['validation_failed', 'unauthorized'], 'authenticate', { token: 7 }],
  ['authenticate with a NUL', ['validation_failed', 'unauthorized'], 'authenticate', { token: 'a\0b' }],
  ['join of an array', INVALID, 'join', [1, 2]],
  // No third refused join here: it would end the connection.
  ['join with a NUL in the name', ['validation_failed', 'identity_mismatch'], 'join', { id: w.me.id, username: `${w.me.username}\0` }],

  // call_user
  ['a callee that is no id', INVALID_OR_ABSENT, 'call_user', { to: 'bob', callType: 'video', offer: offer() }],
  ['a callee that is empty', INVALID_OR_ABSENT, 'call_user', { to: '', callType: 'video', offer: offer() }],
  ['a callee that is NUL', INVALID_OR_ABSENT, 'call_user', { to: '\0', callType: 'video', offer: offer() }],
  ['a callee that is huge', [...INVALID_OR_ABSENT, ...TOO_LARGE], 'call_user', { to: LONG, callType: 'video', offer: offer() }],
  ['a callee that is SQL', INVALID_OR_ABSENT, 'call_user', { to: "'; drop table users; --", callType: 'video', offer: offer() }],
  ['a callee that is an array of ids', INVALID, 'call_user', { to: [w.other.id], callType: 'video', offer: offer() }],
  ['a callee that is an object', INVALID, 'call_user', { to: { id: w.other.id }, callType: 'video', offer: offer() }],
  ['a callee that does not exist', ['not_found'], 'call_user', { to: NOBODY, callType: 'video', offer: offer() }],
  ["a callee by an other's socketId", INVALID_OR_ABSENT, 'call_user', { to: w.otherSocketId, callType: 'video', offer: offer() }],
  ['oneself', ['self_call'], 'call_user', { to: w.me.id, callType: 'video', offer: offer() }],
  ['a call in the name of another', ['identity_mismatch'], 'call_user', { to: w.other.id, from: w.other, callType: 'video', offer: offer() }],
  ['a call from a text', INVALID, 'call_user', { to: w.other.id, from: 'me', callType: 'video', offer: offer() }],
  ['no call type', INVALID, 'call_user', { to: w.other.id, offer: offer() }],
  ['an unknown call type', INVALID, 'call_user', { to: w.other.id, callType: 'hologram', offer: offer() }],
  ['a call type in capitals', INVALID, 'call_user', { to: w.other.id, callType: 'VIDEO', offer: offer() }],
  ['a call type that is a list', INVALID, 'call_user', { to: w.other.id, callType: ['video'], offer: offer() }],
  ['no offer', INVALID, 'call_user', { to: w.other.id, callType: 'video' }],
  ['an offer of null', INVALID, 'call_user', { to: w.other.id, callType: 'video', offer: null }],
  ['an offer that is a text', INVALID, 'call_user', { to: w.other.id, callType: 'video', offer: offer().sdp }],
  ['an offer that is an answer', INVALID, 'call_user', { to: w.other.id, callType: 'video', offer: answer() }],
  ['an offer without sdp', INVALID, 'call_user', { to: w.other.id, callType: 'video', offer: { type: 'offer' } }],
  ['an offer whose sdp is a number', INVALID, 'call_user', { to: w.other.id, callType: 'video', offer: { type: 'offer', sdp: 5 } }],
  ['an offer whose sdp is an object', INVALID, 'call_user', { to: w.other.id, callType: 'video', offer: { type: 'offer', sdp: { v: 0 } } }],
  ['an offer of 49 KiB', TOO_LARGE, 'call_user', { to: w.other.id, callType: 'video', offer: bigSdp(49 * 1024) }],
  ['an offer nested sixty deep', INVALID, 'call_user', { to: w.other.id, callType: 'video', offer: nested(60) }],
  ['everything under __proto__', INVALID, 'call_user', own(`{"__proto__": {"to": "${w.other.id}", "callType": "video"}}`)],
  ['a constructor', INVALID, 'call_user', own('{"constructor": {"prototype": {"to": "x"}}}')],
  ['an empty call with more arguments', INVALID, 'call_user', {}, { to: w.other.id, callType: 'video', offer: offer() }, 3],

  // accept_call, reject_call, end_call
  ['accepting no id', INVALID_OR_ABSENT, 'accept_call', { callId: 'none', answer: answer() }],
  ['accepting an unknown call', ['not_found'], 'accept_call', { callId: NOBODY, answer: answer() }],
  ["accepting others' call", ['not_found'], 'accept_call', { callId: w.callOfOthers, answer: answer() }],
  ['accepting without an answer', INVALID, 'accept_call', { callId: w.callOfOthers }],
  ['accepting with an offer', INVALID, 'accept_call', { callId: w.callOfOthers, answer: offer() }],
  ['accepting with 49 KiB', TOO_LARGE, 'accept_call', { callId: w.callOfOthers, answer: { ...bigSdp(49 * 1024), type: 'answer' } }],
  ['rejecting a number', INVALID, 'reject_call', { callId: 42 }],
  ['rejecting NUL', INVALID_OR_ABSENT, 'reject_call', { callId: '\0\0' }],
  ["rejecting others' call", ['not_found'], 'reject_call', { callId: w.callOfOthers }],
  ['ending an array', INVALID, 'end_call', { callId: [w.callOfOthers] }],
  ['ending null', INVALID, 'end_call', { callId: null }],
  ['ending with a huge id', [...INVALID_OR_ABSENT, ...TOO_LARGE], 'end_call', { callId: LONG }],
  ["ending others' call", ['not_found'], 'end_call', { callId: w.callOfOthers }],
  ['ending with more arguments, some of them true', INVALID_OR_ABSENT, 'end_call', { callId: 'none' }, { callId: w.callOfOthers }, w.callOfOthers],

  // ice_candidate
  ['a candidate to nobody', INVALID, 'ice_candidate', { candidate: candidate(1) }],
  ['no candidate', INVALID, 'ice_candidate', { to: w.other.id }],
  ['a candidate outside a call', ['not_found', 'invalid_state'], 'ice_candidate', { to: w.other.id, candidate: candidate(1) }],
  ["a candidate into others' call", ['not_found'], 'ice_candidate', { to: w.other.id, callId: w.callOfOthers, candidate: candidate(1) }],
  ['a candidate for a call that is no id', INVALID_OR_ABSENT, 'ice_candidate', { to: w.other.id, callId: 'none', candidate: candidate(1) }],
  ['a candidate that is a number', INVALID, 'ice_candidate', { to: w.other.id, candidate: 5 }],
  ['a candidate that is an array', INVALID, 'ice_candidate', { to: w.other.id, candidate: [] }],
  ['a candidate of 3 KiB', TOO_LARGE, 'ice_candidate', { to: w.other.id, candidate: { ...candidate(1), candidate: 'c'.repeat(3 * 1024) } }],
  ['a candidate of 3 KiB in another field', [...TOO_LARGE, ...INVALID], 'ice_candidate', { to: w.other.id, candidate: { ...candidate(1), sdpMid: 'm'.repeat(3 * 1024) } }],

  // renegotiate, media_state, watch_users
  ['renegotiating nothing', INVALID, 'renegotiate', { callId: w.callOfOthers }],
  ['renegotiating nonsense', INVALID, 'renegotiate', { callId: w.callOfOthers, description: { type: 'nonsense', sdp: 'x' } }],
  ['renegotiating 49 KiB', TOO_LARGE, 'renegotiate', { callId: w.callOfOthers, description: bigSdp(49 * 1024) }],
  ["renegotiating others' call", ['not_found'], 'renegotiate', { callId: w.callOfOthers, description: offer() }],
  ['media states that are texts', INVALID, 'media_state', { callId: w.callOfOthers, audio: 'true', video: 'false' }],
  ['media states that are numbers', INVALID, 'media_state', { callId: w.callOfOthers, audio: 1, video: 0 }],
  ['a media state without video', INVALID, 'media_state', { callId: w.callOfOthers, audio: true }],
  ["a media state for others' call", ['not_found'], 'media_state', { callId: w.callOfOthers, audio: true, video: true }],
  ['watching a text', INVALID, 'watch_users', { ids: 'all' }],
  ['watching what is no id', INVALID, 'watch_users', { ids: ['\0', {}] }],
  ['watching too many', INVALID, 'watch_users', { ids: Array(501).fill(NOBODY) }],

  // Events that do not exist
  ...['admin', 'message', '', ' ', '__proto__', 'constructor', 'toString', 'CALL_USER', 'call_user ', 'incoming_call', 'call_ended',
    'users_updated', 'join_success', 'disconnected', 'x'.repeat(5_000), 'пинг'].map((event) => [
    `an event named ${JSON.stringify(event.slice(0, 20))}`, UNKNOWN, event, { callId: w.callOfOthers }]),
];

/** Frames below Socket.IO's events, as raw Engine.IO messages. They may cost the sender the connection, and nobody else. */
const FRAMES = {
  'a broken array': '2["ping"',
  'an object for an event': '2{"ping":1}',
  'an empty event': '2[]',
  'an event without a name': '2[null]',
  'an event with a number for a name': '2[1,2,3]',
  'an event without anything': '2',
  'an event with an escape in its name': '2["\\u0000"]',
  'a reserved event': '2["connect"]',
  'a forged disconnect event': '2["disconnect","io server disconnect"]',
  'a huge acknowledgement id': '299999999999999999999999["ping"]',
  'an acknowledgement of nothing': '31[{}]',
  'a broken acknowledgement': '3x[',
  'a connect error from a client': '4{"message":"x"}',
  'another namespace': '0/admin,',
  'an event in another namespace': '2/admin,["ping"]',
  'a second connect': '0{"token":"x"}',
  'a binary event': '51-["call_user",{"_placeholder":true,"num":0}]',
  'a binary event that counts on': '5999999999-["call_user",{"_placeholder":true,"num":0}]',
  'a placeholder out of range': '51-["call_user",{"_placeholder":true,"num":7}]',
  'an unknown packet type': '9',
  'an empty packet': '',
  'nothing but NUL': '\0\0\0',
  'JSON nested 20,000 deep': `2["call_user",${'['.repeat(20_000)}${']'.repeat(20_000)}]`,
  'JSON that never closes': `2["call_user",${'['.repeat(30_000)}`,
  'a number out of range': '2["call_user",{"to":1e999999}]',
  'a lone surrogate': '2["call_user",{"to":"\\ud800"}]',
  'a frame of 70,000 bytes': `2["call_user","${'x'.repeat(70_000)}"]`,
  'a frame of a megabyte': `2["call_user","${'x'.repeat(1_000_000)}"]`,
};

let server;
let limited;
before(async () => {
  server = await Server.start();
  limited = await Server.start({ EVENT_RATE_PER_SECOND: '30', CALL_RATE_PER_MINUTE: '30' });
});
after(() => Server.dispose(server, limited));

/** Two others who know nothing of all this can still have a call. */
async function othersCanCall(t) {
  const [carol, dave] = await server.devices(t, 'websocket', 'carol', 'dave');
  const callId = await establish(carol, dave);
  await carol.ok('ice_candidate', { to: dave.id, callId, candidate: candidate(1) });
  await dave.once('ice_candidate', { callId });
  await carol.ok('end_call', { callId });
  await dave.once('call_ended', { callId, reason: 'hangup' });
}

/** Mallory, and two others in a call that is none of her business. */
async function world(t, transport) {
  const [mallory, alice, bob] = await server.devices(t, transport, 'mallory', 'alice', 'bob');
  const callOfOthers = await establish(alice, bob);
  const idle = await server.device(t, await server.register('idle'), { transport });
  const w = {
    me: { id: mallory.id, username: mallory.user.username },
    other: { id: idle.id, username: idle.user.username },
    otherSocketId: idle.joined.socketId,
    callOfOthers,
  };
  const bystanders = [alice, bob, idle];
  const calm = [
    'incoming_call', 'call_status', 'call_accepted', 'call_rejected', 'call_ended', 'ice_candidate', 'renegotiate', 'media_state',
    'peer_reconnecting', 'peer_reconnected', 'event_error', 'disconnect',
  ];
  return { mallory, w, undisturbed: (during) => nobodyHears(bystanders, calm, during) };
}

for (const transport of TRANSPORTS) {
  describe(`hostile input over ${transport}`, () => {
    test('is answered by a failed acknowledgement with a code, in every case of the table', async (t) => {
      const { mallory, w, undisturbed } = await world(t, transport);
      const cases = CASES(w);
      assert.ok(cases.length >= 60);
      const wrong = [];
      await undisturbed(async () => {
        for (const [what, codes, event, ...args] of cases) {
          try {
            assertFailure(await mallory.ack(event, ...args), codes, what);
          } catch (error) {
            wrong.push(error.message);
            if (!mallory.socket.connected || wrong.length > 5) break;
          }
        }
      });
      assert.deepEqual(wrong, [], `${wrong.length} of ${cases.length} cases`);
      await mallory.roundTrip();
      assert.deepEqual(mallory.heard('event_error'), [], 'an acknowledged failure is not told twice');
      await othersCanCall(t);
    });

    test('is answered by event_error where no acknowledgement was asked for, in every case of the table', async (t) => {
      const { mallory, w, undisturbed } = await world(t, transport);
      const wrong = [];
      await undisturbed(async () => {
        for (const [what, codes, event, ...args] of CASES(w)) {
          try {
            mallory.emit(event, ...args);
            // In order, so the first one to come is the answer.
            const told = await mallory.once(['event_error', 'join_error']);
            assertFailure(told, codes, what);
            if (event !== 'join' && event.length < 100) assert.equal(told.event, event, what);
          } catch (error) {
            wrong.push(error.message);
            if (!mallory.socket.connected || wrong.length > 5) break;
          }
          await mallory.roundTrip();
          for (const entry of mallory.events) if (['event_error', 'join_error'].includes(entry.event)) entry.taken = true;
        }
      });
      assert.deepEqual(wrong, []);
      await othersCanCall(t);
    });

    test('inside an own call changes nothing about it', async (t) => {
      const [alice, bob] = await server.devices(t, transport, 'alice', 'bob');
      const callId = await ring(alice, bob);
      const calm = ['call_accepted', 'call_rejected', 'call_ended', 'renegotiate', 'media_state', 'ice_candidate'];
      await nobodyHears([alice, bob], calm, async () => {
        await bob.refused(TOO_LARGE, 'accept_call', { callId, answer: { ...bigSdp(49 * 1024), type: 'answer' } });
        await bob.refused(INVALID, 'accept_call', { callId, answer: { type: 'answer' } });
        await bob.refused(INVALID, 'accept_call', { callId });
      });
      await bob.ok('accept_call', { callId, answer: answer() });
      await alice.once('call_accepted', { callId });
      await nobodyHears([alice, bob], calm, async () => {
        await alice.refused(TOO_LARGE, 'ice_candidate', { to: bob.id, callId, candidate: { ...candidate(1), candidate: 'c'.repeat(3_000) } });
        await alice.refused(INVALID, 'media_state', { callId, audio: 'yes', video: true });
        await alice.refused(TOO_LARGE, 'renegotiate', { callId, description: bigSdp(49 * 1024) });
        await alice.refused(INVALID, 'renegotiate', { callId, description: { type: 'rollforward', sdp: 'v=0' } });
      });
      const large = bigSdp(47 * 1024);
      await alice.ok('renegotiate', { callId, description: large });
      assert.deepEqual((await bob.once('renegotiate')).description, large, 'what is within the limit passes whole');
      await alice.ok('end_call', { callId });
    });

    test('in binary is refused or costs the sender the connection, and reaches nobody', async (t) => {
      const { w, undisturbed } = await world(t, transport);
      const user = await server.register('binary');
      await undisturbed(async () => {
        for (const args of [[Buffer.from('x')], [{ callId: w.callOfOthers, answer: Buffer.alloc(1_000) }], [{ to: w.other.id, callType: 'video', offer: { type: 'offer', sdp: Buffer.from('v=0') } }]]) {
          for (const event of ['call_user', 'accept_call', 'ice_candidate']) {
            const client = await server.device(t, user, { transport });
            client.emitForAck(event, ...args);
            const end = await client.once(['ack', 'event_error', 'disconnect']);
            if (client.socket.connected) assertFailure(end, [...CODES], `a binary ${event}`);
            client.leave();
          }
        }
      });
      await othersCanCall(t);
    });

    test('below the level of events harms nobody else', async (t) => {
      const { undisturbed } = await world(t, transport);
      const user = await server.register('raw');
      for (const [what, frame] of Object.entries(FRAMES)) {
        await undisturbed(async () => {
          const raw = await rawSocket(t, transport, user.token);
          raw.send(frame);
          // Whatever the frame did, the connection then either still answers or is gone.
          raw.send('2["ping"]');
          await within(PATIENCE, `a pong or the end of the connection after ${what}`, raw.pongOrEnd);
          raw.close();
        });
        assert.equal((await server.http('/health/live')).status, 200, what);
      }
      await othersCanCall(t);
    });

    test('an event without arguments that asks for an acknowledgement gets one, on the raw wire as well', async (t) => {
      const user = await server.register('raw');
      const raw = await rawSocket(t, transport, user.token);
      raw.send('27["end_call"]');
      const reply = await within(PATIENCE, 'the acknowledgement 7', raw.message((text) => text.startsWith('37[')));
      assert.deepEqual(JSON.parse(reply.slice(2))[0].code, 'not_joined');
      raw.close();
    });

    test('an event whose name needs an escape is an undecodable frame: it costs the sender the connection, and nobody else', async (t) => {
      const { mallory, w, undisturbed } = await world(t, transport);
      for (const name of ['\0', '"', '\n', '\\']) {
        await undisturbed(async () => {
          const client = await server.device(t, mallory.user, { transport });
          client.emitForAck(name, { callId: w.callOfOthers });
          await client.once('disconnect');
          assert.deepEqual(client.heard('ack', 'event_error'), [], JSON.stringify(name));
        });
      }
      await mallory.roundTrip();
      await othersCanCall(t);
    });

    test('three refused CONNECTs end the connection', async (t) => {
      const raw = await rawSocket(t, transport);
      for (let n = 0; n < 3; n += 1) {
        // A CONNECT that comes while another is being decided is ignored.
        await eventually(`${n} refusals`, () => (raw.heard.filter((text) => text.startsWith('4{')).length === n ? true : undefined));
        raw.send('0{"token":"nonsense"}');
      }
      await within(PATIENCE, 'the end of the connection after three refused CONNECTs', raw.end);
    });
  });

  describe(`rate limits over ${transport}`, () => {
    test('events over the rate are refused with the time to wait, and the socket stays', async (t) => {
      const [alice] = await limited.devices(t, transport, 'alice');
      const acks = [];
      while (acks.length < 400) {
        acks.push(...await Promise.all(Array.from({ length: 50 }, () => alice.ack('end_call', { callId: NOBODY }))));
      }
      const refused = acks.filter((ack) => ack.code === 'rate_limited');
      assert.ok(acks.slice(0, 140).every((ack) => ack.code === 'not_found'), 'a burst of 150 is let through');
      assert.ok(refused.length >= 50, `${refused.length} of 400 were refused`);
      for (const ack of refused) assertFailure(ack, 'rate_limited', 'over the rate');
      // Without an acknowledgement the same is said by event_error; pings count as well.
      for (let n = 0; n < 50; n += 1) alice.emit('ping');
      assertFailure(await alice.once('event_error', { event: 'ping' }), 'rate_limited', 'pings over the rate');
      await delay(Math.max(...refused.map((ack) => ack.retryAfterMs)) + 200);
      await alice.refused('not_found', 'end_call', { callId: NOBODY });
      assert.equal(alice.socket.connected, true);
    });

    test('a flood without waiting for anything harms nobody else', async (t) => {
      const [mallory] = await limited.devices(t, transport, 'mallory');
      for (let n = 0; n < 3_000; n += 1) mallory.emit('end_call', { callId: NOBODY });
      const [alice, bob] = await limited.devices(t, transport, 'alice', 'bob');
      await bob.ok('end_call', { callId: await establish(alice, bob) });
      // Either the flooder was told, or it has been sent away.
      const told = await mallory.once(['event_error', 'disconnect'], (what) => what?.code === 'rate_limited' || typeof what === 'string');
      assert.ok(told);
    });

    test('calls over the rate are refused, by user and not by socket', async (t) => {
      const [alice, bob] = await limited.devices(t, transport, 'alice', 'bob');
      const absent = await limited.register('absent');
      const phone = await limited.device(t, alice.user, { transport });
      const call = (device) => device.ack('call_user', { to: absent.id, callType: 'video', offer: offer() });
      const acks = [];
      for (let n = 0; n < 16; n += 1) acks.push(await call(n % 2 ? alice : phone));
      assert.ok(acks.slice(0, 10).every((ack) => ack.ok), 'a burst of 10 is let through');
      const over = acks.find((ack) => !ack.ok);
      assertFailure(over, 'rate_limited', 'the calls after the tenth');
      assert.equal((await call(bob)).ok, true, 'another user is not concerned');
    });
  });
}

/** An Engine.IO connection that has sent CONNECT (with a token, else not), and says what it likes. */
async function rawSocket(t, transport, token) {
  const engine = new Engine(server.url, { path: '/socket.io/', transports: [transport] });
  t.after(() => engine.close());
  const heard = [];
  const waiting = new Set();
  const message = (wanted) => new Promise((resolve) => {
    const early = heard.find(wanted);
    if (early !== undefined) resolve(early);
    else waiting.add({ wanted, resolve });
  });
  engine.on('message', (text) => {
    heard.push(text);
    for (const waiter of waiting) if (waiter.wanted(text)) waiter.resolve(text);
  });
  const end = new Promise((resolve) => { engine.on('close', resolve); });
  await within(PATIENCE, `a raw ${transport} connection`, new Promise((resolve, reject) => {
    engine.on('open', resolve);
    engine.on('error', reject);
  }));
  engine.on('error', () => {});
  if (token) {
    engine.send(`0${JSON.stringify({ token })}`);
    await within(PATIENCE, 'the CONNECT packet', message((text) => text.startsWith('0{')));
  }
  const pong = message((text) => text.startsWith('2["pong"'));
  return { send: (text) => engine.send(text), close: () => engine.close(), heard, message, end, pongOrEnd: Promise.race([pong, end]) };
}
