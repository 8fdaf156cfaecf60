// TLS of the server's own, with the official client over wss and https, and certificates that change beneath it.

import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { after, before, describe, test } from 'node:test';
import { BINARY, Server, candidate, establish, eventually, freePort, request } from '../clients/harness.mjs';
import { ending, output, scratch } from './program.mjs';

/** How often the server looks at its files is two seconds; it uses what it has seen twice. */
const TAKEN_UP_MS = 15_000;
const EC = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'];

let dir;
let server;
let ca;
const certificates = {};
const defer = ending(after);

/** A self-signed certificate and its key: the paths of both. */
function makePair(name, key = EC, days = '30') {
  const pair = { cert: join(dir, `${name}.cert.pem`), key: join(dir, `${name}.key.pem`) };
  output('openssl', [
    'req', '-x509', ...key, '-nodes', '-days', days, '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1',
    '-keyout', pair.key, '-out', pair.cert,
  ]);
  return pair;
}

/** Puts a file in place as a careful program does: whole, or not at all. */
function put(from, name) {
  copyFileSync(from, join(dir, `${name}.new`));
  renameSync(join(dir, `${name}.new`), join(dir, name));
}

function use(pair) {
  put(pair.cert, 'cert.pem');
  put(pair.key, 'key.pem');
}

const fingerprint = (pair) => output('openssl', ['x509', '-in', pair.cert, '-noout', '-fingerprint', '-sha256']).trim().split('=')[1];

/** What a new connection is shown. */
function shown() {
  return new Promise((done, fail) => {
    const socket = connect({ host: '127.0.0.1', port: server.port, ca, ALPNProtocols: ['http/1.1'] }, () => {
      done(socket.getPeerCertificate().fingerprint256);
      socket.destroy();
    });
    socket.on('error', fail);
  });
}

const untilShown = (pair) => eventually('the new certificate', async () =>
  ((await shown()) === fingerprint(pair) ? true : undefined), TAKEN_UP_MS);

const complaints = () => server.logs.split('\n').filter((line) => line.includes('the one in use stays'));

before(async () => {
  dir = await scratch(defer, 'tls');
  for (const name of ['first', 'second', 'third']) certificates[name] = makePair(name);
  ca = Object.values(certificates).map((pair) => readFileSync(pair.cert));
  use(certificates.first);
  server = await Server.start({ TLS_CERT: join(dir, 'cert.pem'), TLS_KEY: join(dir, 'key.pem') }, { ca });
  defer(() => server.dispose());
});

describe('over TLS', () => {
  for (const transport of ['websocket', 'polling', 'upgrade']) {
    test(`a call by ${transport} goes on while the certificate is exchanged`, async (t) => {
      const [alice, bob] = await server.devices(t, transport, 'alice', 'bob');
      const callId = await establish(alice, bob);
      const before = await shown();
      const next = before === fingerprint(certificates.first) ? certificates.second : certificates.first;
      use(next);
      // By its own looks it takes seconds, which once is enough.
      if (transport !== 'websocket') server.notify('SIGHUP');
      await untilShown(next);
      for (const n of [1, 2]) {
        await alice.ok('ice_candidate', { to: bob.id, callId, candidate: candidate(n) });
        assert.deepEqual((await bob.once('ice_candidate')).candidate, candidate(n));
        await bob.ok('ice_candidate', { to: alice.id, callId, candidate: candidate(n) });
        await alice.once('ice_candidate');
      }
      await alice.ok('end_call', { callId });
      assert.equal((await bob.once('call_ended')).reason, 'hangup');
      await server.row(callId, 'completed');
    });
  }

  test('the page and the API are served, and browsers are told to stay with https', async () => {
    const page = await server.http('/');
    assert.equal(page.status, 200);
    assert.match(page.headers['content-type'], /^text\/html/);
    for (const path of ['/', '/health', '/api/me']) {
      const { headers } = await server.http(path);
      assert.equal(headers['strict-transport-security'], 'max-age=31536000', path);
    }
    const local = await server.http('/health', { headers: { host: `localhost:${server.port}` } });
    assert.equal(local.headers['strict-transport-security'], undefined);
  });

  test('who asks the port by plain http is told what it speaks', async () => {
    const { status, body } = await request(`http://127.0.0.1:${server.port}/health`);
    assert.equal(status, 400);
    assert.equal(body.code, 'validation_failed');
  });

  test('SIGHUP has the files read at once; a bad pair is told once and the old one stays', async (t) => {
    const alice = await server.device(t, await server.register('alice'), { transport: 'websocket' });
    const before = await shown();
    const told = complaints().length;
    writeFileSync(join(dir, 'key.pem'), 'no key at all');
    server.notify('SIGHUP');
    await eventually('a word about it', async () => (complaints().length > told ? true : undefined));
    assert.equal(await shown(), before);
    assert.match(complaints().at(-1), /TLS_KEY: \S*key\.pem\S* holds no private key/);
    // Looked at again and again, it is still the same mistake.
    await new Promise((done) => { setTimeout(done, 5_000); });
    assert.equal(complaints().length, told + 1);
    use(certificates.third);
    server.notify('SIGHUP');
    await untilShown(certificates.third);
    await alice.ok('watch_users', { ids: [] });
  });

  test('a pair behind links, as certbot and Kubernetes have it, is followed', async () => {
    use(certificates.first);
    await untilShown(certificates.first);
    for (const half of ['cert', 'key']) {
      symlinkSync(certificates.second[half], join(dir, `${half}.link`));
      renameSync(join(dir, `${half}.link`), join(dir, `${half}.pem`));
    }
    await untilShown(certificates.second);
  });
});

test('a key of every usual kind is taken, and one that is another certificate\'s is not', async () => {
  const check = (pair, status) => {
    const env = { PATH: process.env.PATH, HOME: process.env.HOME, TLS_CERT: pair.cert, TLS_KEY: pair.key };
    return output(BINARY, ['config', 'check'], { cwd: dir, env, status });
  };
  const convert = (pair, kind, args) => {
    const key = join(dir, `${kind}.key.pem`);
    output('openssl', [...args, '-in', pair.key, '-out', key]);
    return { cert: pair.cert, key };
  };
  const rsa = makePair('rsa', ['-newkey', 'rsa:2048']);
  const { first, second } = certificates;
  const pairs = {
    'PKCS#8, RSA': rsa,
    'PKCS#8, P-256': first,
    'PKCS#8, Ed25519': makePair('ed25519', ['-newkey', 'ed25519']),
    'PKCS#1': convert(rsa, 'pkcs1', ['rsa', '-traditional']),
    SEC1: convert(first, 'sec1', ['ec']),
  };
  assert.match(readFileSync(pairs['PKCS#1'].key, 'utf8'), /BEGIN RSA PRIVATE KEY/);
  assert.match(readFileSync(pairs.SEC1.key, 'utf8'), /BEGIN EC PRIVATE KEY/);
  for (const [kind, pair] of Object.entries(pairs)) {
    assert.match(check(pair, 0), /^the configuration is good$/m, kind);
  }
  assert.match(check({ cert: first.cert, key: second.key }, 1), /^TLS_KEY: .* is not the key of the first certificate in .*$/m);
});

test('SIGHUP does not end a server without TLS, and closing its terminal ends it in order', async (t) => {
  const plain = await Server.during(t);
  plain.notify('SIGHUP');
  await new Promise((done) => { setTimeout(done, 200); });
  assert.equal((await plain.http('/health/live')).status, 200);

  const script = `
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], [sys.argv[1]])
seen = b''
while b'serving' not in seen:
    seen += os.read(terminal, 65536)
os.close(terminal)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))`;
  const env = { ...plain.env, PORT: String(await freePort()) };
  assert.equal(output('python3', ['-c', script, BINARY], { env, cwd: plain.dir, timeout: 60_000 }).trim(), '0');
});
