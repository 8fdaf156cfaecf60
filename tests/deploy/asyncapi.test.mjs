// /asyncapi.json against real traffic: whatever the official client receives and is acknowledged is as described, and everything described is seen.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import Ajv from 'ajv';
import addFormats from 'ajv-formats';
import { NOBODY, Server, answer, candidate, eventually, offer } from '../clients/harness.mjs';
import { Schemas, closed } from './schemas.mjs';

/** Passed on as they came, whatever is in them. */
const OPEN = ['Offer', 'Answer', 'Description', 'Candidate'];
const OF_THE_CLIENT = ['connect', 'connect_error', 'disconnect', 'ack'];

let server;
let document;
let schemas;
/** The keys of the messages that were seen. */
const seen = new Set();

before(async () => {
  // Every token has less than a minute left, so every join hears `token_expiring`.
  server = await Server.start({ ACCESS_TOKEN_TTL: '55s', RECONNECT_GRACE: '5s' });
  document = (await server.http('/asyncapi.json')).body;
  schemas = new Schemas(closed(document, OPEN));
});
after(() => Server.dispose(server));

/** What is wrong with what was said under this message, if anything. */
function complaint(key, args) {
  const message = document.components.messages[key];
  if (!message) return `${key} is not described`;
  if (!message.payload) return args.length === 0 ? undefined : `${key} has no payload, but came with ${JSON.stringify(args)}`;
  if (args.length !== 1) return `${key} has one payload, but came with ${JSON.stringify(args)}`;
  const wrong = schemas.complaint(['components', 'messages', key, 'payload'], args[0]);
  return wrong && `${key}: ${wrong}`;
}

function conforms(key, args) {
  assert.equal(complaint(key, args), undefined);
  seen.add(key);
}

/** The acknowledgement by which the document has this event succeed. */
function success(event) {
  const { messages } = document.operations[`receive.${event}`].reply;
  return messages[0].$ref.split('/').at(-1);
}

/** Looks at everything that goes by at this client, and holds it against the document when the test ends. */
function witnessed(t, client) {
  const ack = client.ack.bind(client);
  client.ack = async (event, ...args) => {
    const told = await ack(event, ...args);
    conforms(told.ok ? success(event) : 'ack.Failed', [told]);
    const wrong = complaint(`client.${event}`, args);
    if (told.ok) conforms(`client.${event}`, args);
    if (told.code === 'validation_failed') assert.ok(wrong, `${event} ${JSON.stringify(args)} is refused, but right by the document`);
    return told;
  };
  t.after(() => {
    for (const { event, args } of client.events) if (!OF_THE_CLIENT.includes(event)) conforms(`server.${event}`, args);
  });
  return client;
}

async function device(t, user, extra) {
  const client = witnessed(t, await server.connect(t, user).connected());
  await client.join(extra);
  return client;
}

async function devices(t, ...names) {
  const found = [];
  for (const name of names) found.push(await device(t, await server.register(name)));
  return found;
}

async function rings(caller, callee) {
  const { callId } = await caller.ok('call_user', { to: callee.id, callType: 'video', offer: offer() });
  await callee.once('incoming_call', { callId });
  return callId;
}

test('it is AsyncAPI 3.0 by the official schema, and its references lead somewhere', () => {
  const official = createRequire(import.meta.url)('@asyncapi/specs/schemas/3.0.0-without-$id.json');
  const ajv = addFormats(new Ajv({ strict: false, allErrors: true }));
  assert.ok(ajv.validate(official, document), ajv.errorsText());
  const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/([^"]+)"/g)].map(([, way]) => way);
  for (const way of references) {
    const found = way.split('/').reduce((at, step) => at?.[step], document);
    assert.notEqual(found, undefined, way);
  }
});

test('the examples are as described', () => {
  for (const [key, { payload, examples = [] }] of Object.entries(document.components.messages)) {
    const given = [...examples.map((example) => example.payload), ...(payload?.examples ?? [])];
    assert.equal(given.length > 0, payload !== undefined, `${key} has an example exactly if it has a payload`);
    for (const example of given) assert.equal(complaint(key, [example]), undefined);
  }
});

test('coming, watching and going', async (t) => {
  const alice = await device(t, await server.register('alice'), { presence: 'full' });
  await alice.once('token_expiring');
  const bob = await device(t, await server.register('bob'), { presence: 'delta' });
  const carol = await device(t, await server.register('carol'), { presence: 'none' });
  await carol.ok('watch_users', { ids: [alice.id, NOBODY] });
  await alice.once('users_updated', (users) => users.some(({ id }) => id === carol.id));
  await bob.once('presence_delta', ({ online }) => online.some(({ id }) => id === carol.id));
  alice.leave();
  await carol.once('presence_delta', ({ offline }) => offline.includes(alice.id));
  const { token } = await server.refresh(bob.user);
  await bob.ok('authenticate', { token });
  await bob.ok('ping');
  await bob.once('pong');
});

test('a call, with everything that can be said in it', async (t) => {
  const [alice, bob] = await devices(t, 'alice', 'bob');
  const callId = await rings(alice, bob);
  await alice.once('call_status', { callId, status: 'ringing' });
  await alice.ok('ice_candidate', { to: bob.id, candidate: { ...candidate(), extra: [1, null] }, callId });
  await bob.ok('accept_call', { callId, answer: { ...answer(), extra: {} } });
  await alice.once('call_accepted', { callId });
  await bob.once('ice_candidate');
  await bob.ok('ice_candidate', { to: alice.id, candidate: null });
  await alice.once('ice_candidate', { candidate: null });
  for (const description of [offer(), { type: 'rollback' }]) {
    await alice.ok('renegotiate', { callId, description });
    await bob.once('renegotiate', { callId });
  }
  await bob.ok('media_state', { callId, audio: false, video: true, screen: true });
  await alice.once('media_state', { callId, screen: true });
  bob.drop();
  await alice.once('peer_reconnecting', { callId });
  const again = await device(t, bob.user, { resume: callId });
  assert.equal(again.joined.activeCall.callId, callId);
  await alice.once('peer_reconnected', { callId });
  await alice.ok('end_call', { callId });
  await again.once('call_ended', { callId, reason: 'hangup' });
});

test('calls that come to nothing', async (t) => {
  const [alice, bob, carol] = await devices(t, 'alice', 'bob', 'carol');
  const absent = await server.register('absent');
  const { status } = await alice.ok('call_user', { to: absent.id, callType: 'audio', offer: offer(), from: { id: alice.id } });
  assert.equal(status, 'user_offline');
  const callId = await rings(alice, bob);
  assert.equal((await carol.ok('call_user', { to: bob.id, callType: 'video', offer: offer() })).status, 'user_busy');
  assert.equal((await bob.ok('call_user', { to: alice.id, callType: 'video', offer: offer() })).status, 'glare');
  await bob.ok('reject_call', { callId });
  await alice.once('call_rejected', { callId });
});

test('what is refused', async (t) => {
  const [alice, bob] = await devices(t, 'alice', 'bob');
  const callId = NOBODY;
  const wrong = [
    ['call_user', { to: bob.id, callType: 'hologram', offer: offer() }],
    ['call_user', { to: bob.id, callType: 'video', offer: answer() }],
    ['call_user', { to: bob.id, callType: 'video' }],
    ['call_user', { to: 'bob', callType: 'video', offer: offer() }],
    ['accept_call', { callId, answer: offer() }],
    ['accept_call', { answer: answer() }],
    ['reject_call', {}],
    ['end_call', { callId: 'x' }],
    ['end_call'],
    ['ice_candidate', { to: bob.id, candidate: 'candidate:1' }],
    ['ice_candidate', { to: bob.id }],
    ['renegotiate', { callId, description: { type: 'offer' } }],
    ['renegotiate', { callId, description: { type: 'other', sdp: '' } }],
    ['media_state', { callId, audio: 1, video: true }],
    ['media_state', { callId, audio: true }],
    ['watch_users', { ids: ['bob'] }],
    ['watch_users', { ids: Array(501).fill(bob.id) }],
    ['authenticate', {}],
  ];
  for (const [event, ...args] of wrong) await alice.refused(['validation_failed'], event, ...args);
  await alice.refused(['not_found'], 'end_call', { callId });
  await alice.refused(['self_call'], 'call_user', { to: alice.id, callType: 'video', offer: offer() });
  await alice.refused(['payload_too_large'], 'call_user', { to: bob.id, callType: 'video', offer: { type: 'offer', sdp: 'x'.repeat(49_153) } });
  await alice.refused(['unauthorized'], 'authenticate', { token: 'x' });
  await alice.refused(['identity_mismatch'], 'authenticate', { token: bob.user.token });
  alice.emit('accept_call', { callId, answer: answer() });
  await alice.once('event_error', { event: 'accept_call', code: 'not_found', callId });
  alice.emit('no_such_event', {});
  await alice.once('event_error', { event: 'no_such_event', code: 'unknown_event' });
  const limited = await eventually('a join too many', async () => {
    const told = await alice.ack('join', {});
    return told.ok ? undefined : told;
  });
  assert.ok(limited.code === 'rate_limited' && limited.retryAfterMs > 0, JSON.stringify(limited));
  const stranger = witnessed(t, await server.connect(t, undefined, { auth: {} }).connected());
  await stranger.refused(['not_joined'], 'end_call', { callId });
  stranger.emit('join', { id: NOBODY, token: 'x' });
  await stranger.once('join_error', { code: 'unauthorized' });
  await stranger.once('event_error', { event: 'join' });
});

test('everything that is described was seen', () => {
  assert.deepEqual(Object.keys(document.components.messages).filter((key) => !seen.has(key)), []);
});
