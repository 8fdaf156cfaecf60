// /openapi.json: a valid document, and a true one. Real answers are held against it, and schemathesis looks for what contradicts it.
//
//   API_TOOLS   the folder of openapi-spec-validator and schemathesis (requirements.txt); default: wherever the PATH has them

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { NOBODY, Server, establish, eventually, within } from '../clients/harness.mjs';
import { Schemas } from './schemas.mjs';

const TOOLS = process.env.API_TOOLS;
const LIMIT = 300_000;
const ICE = { ICE_STUN_URLS: 'stun:stun.example.com', ICE_TURN_URLS: 'turn:turn.example.com', TURN_SECRET: 'north' };

let server;
let document;
let schemas;

before(async () => {
  server = await Server.start(ICE);
  document = (await server.http('/openapi.json')).body;
  // A field that is not described counts as wrong here.
  schemas = new Schemas(document, { unevaluatedProperties: false });
});
after(() => Server.dispose(server));

/** Runs one of the tools to its end; what it said. */
async function run(tool, args, env = {}) {
  const program = TOOLS ? join(TOOLS, tool) : tool;
  const child = spawn(program, args, { cwd: server.dir, env: { ...process.env, ...env, NO_COLOR: '1' }, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => { said += text; });
  const ended = new Promise((done, fail) => {
    child.on('error', fail);
    child.on('close', done);
  });
  try {
    return { code: await within(LIMIT, `the end of ${tool}`, ended), said };
  } finally {
    child.kill();
  }
}

/** Asks, and holds the answer against the document: its status, headers and body. */
async function ask(operation, { path, at = server, ...options } = {}) {
  const [method, template] = operation.split(' ');
  const answer = await at.http(path ?? template, { method: method.toUpperCase(), ...options });
  const way = ['paths', template, method, 'responses', String(answer.status)];
  const described = way.reduce((value, step) => value?.[step], document);
  assert.ok(described, `${operation}: ${answer.status} is not described: ${answer.text}`);
  for (const [name, { required, schema }] of Object.entries(described.headers)) {
    const value = answer.headers[name];
    assert.ok(value !== undefined || !required, `${operation}: ${answer.status} without ${name}`);
    if (value === undefined) continue;
    const wrong = schemas.complaint([...way, 'headers', name, 'schema'], schema.type === 'integer' ? Number(value) : value);
    assert.equal(wrong, undefined, `${operation}: ${name}`);
  }
  const kinds = Object.keys(described.content ?? {});
  const [kind] = (answer.headers['content-type'] ?? '').split(';');
  assert.deepEqual(kinds, answer.text === '' ? [] : [kind], operation);
  if (kind === 'application/json') {
    const wrong = schemas.complaint([...way, 'content', kind, 'schema'], answer.body);
    assert.equal(wrong, undefined, `${operation}: ${answer.status}`);
  }
  return answer;
}

test('it is a valid document of OpenAPI 3.1', async () => {
  const file = join(server.dir, 'openapi.json');
  await writeFile(file, JSON.stringify(document));
  const { code, said } = await run('openapi-spec-validator', ['--errors', 'all', file]);
  assert.equal(code, 0, said);
});

test('every operation succeeds as it is described', async (t) => {
  const succeeded = new Set();
  const succeeds = async (operation, status, options) => {
    const answer = await ask(operation, options);
    assert.equal(answer.status, status, `${operation}: ${answer.text}`);
    succeeded.add(`${operation} ${status}`);
    return answer;
  };
  for (const path of ['/health', '/health/live', '/health/ready', '/metrics', '/openapi.json', '/asyncapi.json', '/docs']) {
    const { headers } = await succeeds(`get ${path}`, 200);
    if (headers.etag) await succeeds(`get ${path}`, 304, { headers: { 'if-none-match': headers.etag } });
  }
  const [alice, bob] = await server.devices(t, 'websocket', 'alice', 'bob');
  const { callId } = { callId: await establish(alice, bob) };
  const { token } = alice.user;
  await succeeds('get /api/online-users', 200, { token });
  await eventually('the call in the history', async () => ((await server.http(`/api/calls/${callId}`, { token })).status === 200 ? true : undefined));
  await succeeds('get /api/calls/{id}', 200, { token, path: `/api/calls/${callId}` });
  await alice.ok('end_call', { callId });
  await server.row(callId, 'completed');
  await succeeds('get /api/calls/{id}', 200, { token, path: `/api/calls/${callId}` });
  await alice.ok('call_user', { to: (await server.register('absent')).id, callType: 'audio', offer: { type: 'offer', sdp: 'v=0' } });
  const page = await eventually('two calls', async () => {
    const { body } = await succeeds('get /api/calls', 200, { token, path: '/api/calls?limit=1' });
    return body.next === null ? undefined : body;
  });
  await succeeds('get /api/calls', 200, { token, path: `/api/calls?before=${page.next}&with=${bob.id}&status=completed` });
  const { headers } = await succeeds('get /api/users', 200, { token, path: '/api/users?limit=1' });
  assert.match(headers.link, /^<\/api\/users\?limit=1&after=[\w.-]+>; rel="next"$/);
  await succeeds('get /api/users', 200, { token });
  await succeeds('get /api/ice-servers', 200, { token });
  await succeeds('get /api/me', 200, { token });
  const json = { username: `zoe-${process.pid}`, password: 'correct horse' };
  await succeeds('post /api/register', 201, { json });
  const { body } = await succeeds('post /api/login', 200, { json });
  const zoe = (await succeeds('post /api/refresh', 200, { json: { refreshToken: body.refreshToken } })).body;
  await succeeds('put /api/me/password', 204, { token: zoe.token, json: { currentPassword: json.password, newPassword: 'another horse' } });
  await succeeds('post /api/logout', 204, { token: zoe.token });
  const again = (await ask('post /api/login', { json: { ...json, password: 'another horse' } })).body;
  await succeeds('delete /api/me', 204, { token: again.token, json: { password: 'another horse' } });
  const described = Object.entries(document.paths).flatMap(([path, methods]) => Object.entries(methods).flatMap(
    ([method, { responses }]) => Object.keys(responses).filter((status) => status < '400').map((status) => `${method} ${path} ${status}`),
  ));
  assert.deepEqual(described.filter((success) => !succeeded.has(success)), []);
});

test('every operation is refused as it is described', async (t) => {
  const user = await server.register('refused');
  const { token, username, password } = user;
  const login = (json, more) => ask('post /api/login', { json, ...more });
  const refused = async (code, answering) => assert.equal((await answering).body.code, code);
  await refused('validation_failed', login({ username }));
  await refused('invalid_credentials', login({ username, password: 'wrong horse' }));
  await refused('invalid_json', login(undefined, { headers: { 'content-type': 'application/json' }, body: '{' }));
  await refused('unsupported_media_type', login(undefined, { headers: { 'content-type': 'text/plain' }, body: '{}' }));
  await refused('payload_too_large', login({ username, password: 'x'.repeat(20_000) }));
  await refused('username_taken', ask('post /api/register', { json: { username, password } }));
  await refused('unauthorized', ask('get /api/me'));
  await refused('unauthorized', ask('post /api/refresh', { json: { refreshToken: 'x' } }));
  await refused('wrong_password', ask('put /api/me/password', { token, json: { currentPassword: 'wrong', newPassword: password } }));
  await refused('wrong_password', ask('delete /api/me', { token, json: { password: '' } }));
  await refused('not_found', ask('get /api/calls/{id}', { token, path: `/api/calls/${NOBODY}` }));
  await refused('validation_failed', ask('get /api/calls', { token, path: '/api/calls?limit=201' }));
  await refused('validation_failed', ask('get /api/users', { token, path: '/api/users?after=_' }));
  await refused('not_found', ask('get /metrics', { headers: { 'x-forwarded-for': '192.0.2.1' } }));
  await refused('validation_failed', ask('get /health', { headers: { host: 'a b' } }));
  await server.query('update users set disabled_at = now() where id = $1', [user.id]);
  await refused('account_disabled', login({ username, password }));
  const strict = await Server.during(t, { REGISTRATION: 'closed', API_RATE_PER_MINUTE: '1', LOGIN_RATE_PER_MINUTE: '1' });
  await refused('registration_closed', ask('post /api/register', { at: strict, json: { username, password } }));
  await refused('rate_limited', login({ username, password }, { at: strict }));
  await refused('unauthorized', ask('get /api/users', { at: strict }));
  await refused('rate_limited', ask('get /api/users', { at: strict }));
});

test('schemathesis finds nothing that contradicts it', { timeout: LIMIT }, async (t) => {
  const [user, leaving] = [await server.register('schemathesis'), await server.register('leaving')];
  // So that there is something to find: a call, and somebody online.
  const [one, other] = [await server.device(t, user), await server.device(t, leaving)];
  const callId = await establish(one, other);
  await other.ok('end_call', { callId });
  await server.row(callId, 'completed');
  const config = join(import.meta.dirname, 'schemathesis.toml');
  const { code, said } = await run('schemathesis', ['--config-file', config, 'run', `${server.url}/openapi.json`], {
    API_TOKEN: user.token,
    LOGOUT_TOKEN: leaving.token,
  });
  assert.equal(code, 0, said);
  assert.match(said, /Stateful/, 'the links were followed, too');
  assert.equal((await server.http('/api/me', { token: user.token })).status, 200, 'its token was good to the end');
});
