// The Redis of docs/deployment.md, "Several nodes": a real one with the lines that stand there, reached by TLS.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { BINARY, Server, establish, eventually, freePort } from '../clients/harness.mjs';
import { Program, ending, output, read, scratch } from './program.mjs';

const HOST = '127.0.0.1';
const PASSWORD = 'p%40ss/word';
/** As docs/deployment.md says that a password is written in an address. */
const WRITTEN = 'p%2540ss%2Fword';

let certificate;
let port;
const defer = ending(after);

/** The lines for /etc/redis/redis.conf, for this machine and with a password. */
function documented() {
  const [, block] = /\*\*Redis\*\* on a machine[^]*?```text\n([^]*?)```/.exec(read('docs/deployment.md'));
  assert.match(block, /^bind 10\.0\.0\.5$/m);
  assert.match(block, /^user calls on >… /m);
  return block.replace(/^bind .*$/m, `bind ${HOST}`).replace('>…', `>${PASSWORD}`);
}

before(async () => {
  const dir = await scratch(defer, 'redis');
  certificate = join(dir, 'cert.pem');
  const key = join(dir, 'key.pem');
  output('openssl', [
    'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30', '-subj', '/CN=redis',
    '-addext', `subjectAltName=IP:${HOST}`, '-addext', 'basicConstraints=critical,CA:FALSE', '-keyout', key, '-out', certificate,
  ]);
  port = await freePort();
  const tls = `port 0\ntls-port ${port}\ntls-cert-file ${certificate}\ntls-key-file ${key}\ntls-auth-clients no\n`;
  const conf = join(dir, 'redis.conf');
  writeFileSync(conf, `dir ${dir}\n${tls}${documented()}`);
  const redis = new Program(defer, 'redis-server', [conf]);
  await eventually('Redis to answer', () => {
    if (redis.hasEnded) throw new Error(redis.logs);
    const args = ['-h', HOST, '-p', String(port), '--tls', '--cacert', certificate, '--user', 'calls', '-a', PASSWORD, '--no-auth-warning', 'ping'];
    return output('redis-cli', args).trim() === 'PONG' ? true : undefined;
  });
});

const address = (password = WRITTEN) => `rediss://calls:${password}@${HOST}:${port}/0`;

test('two servers are one by it, with a user who may touch nothing else: a call between them, and its end', async (t) => {
  const trusting = { SSL_CERT_FILE: certificate };
  const first = await Server.during(t, { ...trusting, REDIS_URL: address() }, { nodes: 0 });
  const other = { PORT: String(await freePort()), DATA_DIR: join(first.dir, 'other') };
  const second = new Program((end) => t.after(end), BINARY, [], { cwd: first.dir, env: { ...first.env, ...other } });
  await eventually('both to be nodes of one', async () => {
    if (second.hasEnded) throw new Error(second.logs);
    const { nodes, redis } = (await first.http('/health')).body.cluster;
    return nodes === 2 && redis === 'up' ? true : undefined;
  });
  const url = `http://${HOST}:${other.PORT}`;
  const alice = await first.device(t, await first.register('alice'));
  const bob = await first.device(t, await first.register('bob'), { url });
  const callId = await establish(alice, bob);
  await bob.ok('end_call', { callId });
  assert.deepEqual(await alice.once('call_ended'), { callId, reason: 'hangup' });
  assert.equal((await first.row(callId, 'completed')).end_reason, 'hangup');
  const complaints = (first.logs + second.logs).split('\n').filter((line) => /WARN|ERROR/.test(line));
  assert.deepEqual(complaints, []);
});

test('a server that cannot use it says why, as docs/troubleshooting.md has it, and ends with 1', async (t) => {
  const base = await Server.during(t, {}, { nodes: 0 });
  const trusting = { SSL_CERT_FILE: certificate };
  for (const [env, why] of [
    [{ REDIS_URL: address() }, 'invalid peer certificate: UnknownIssuer'],
    [{ ...trusting, REDIS_URL: address('wrong') }, 'Password authentication failed'],
    [{ ...trusting, REDIS_URL: address().replace('rediss', 'redis') }, 'Connection reset by peer'],
  ]) {
    const own = { PORT: String(await freePort()), DATA_DIR: join(base.dir, 'other') };
    const refused = new Program((end) => t.after(end), BINARY, [], { cwd: base.dir, env: { ...base.env, ...own, ...env } });
    assert.equal(await refused.ended, 1, refused.logs);
    assert.ok(refused.logs.includes('REDIS_URL: cannot use this Redis: ') && refused.logs.includes(why), refused.logs);
    assert.ok(read('docs/troubleshooting.md').includes(`\`${why}\``), `${why} is not in docs/troubleshooting.md`);
    assert.ok(!refused.logs.includes('wrong') && !refused.logs.includes('p%40'), 'the password is in the log');
  }
});
