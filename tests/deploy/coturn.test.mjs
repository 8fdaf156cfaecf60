// deploy/coturn: the relay's configuration as it is shipped, save for ports and addresses, in a real coturn.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Server, eventually, freePort } from '../clients/harness.mjs';
import { Program, ending, read, scratch } from './program.mjs';
import { TurnClient } from './turn.mjs';

const SECRET = 'a secret that coturn and the server share';

let relay;
let server;
let user;
const defer = ending(after);
before(async () => {
  relay = await start();
  const env = { ICE_TURN_URLS: `turn:127.0.0.1:${relay.port}?transport=udp`, TURN_SECRET: SECRET, TURN_TTL: '1h' };
  server = await Server.start(env);
  defer(() => server.dispose());
  user = await server.register('alice');
});

/** The shipped file with this machine's ports, and the secret below it as its first lines tell the operator. */
async function start() {
  const dir = await scratch(defer, 'coturn');
  const port = await freePort();
  const shipped = read('deploy/coturn/turnserver.conf');
  assert.match(shipped, /^listening-port=3478$/m);
  const config = `${shipped.replace(/^listening-port=.*$/m, `listening-port=${port}`)}
static-auth-secret=${SECRET}
listening-ip=127.0.0.1
relay-ip=127.0.0.1
relay-ip=::1
verbose
pidfile=${join(dir, 'pid')}
userdb=${join(dir, 'db')}
`;
  writeFileSync(join(dir, 'turnserver.conf'), config);
  const program = new Program(defer, 'turnserver', ['-c', join(dir, 'turnserver.conf')], { cwd: dir });
  await eventually('coturn to listen', () => {
    if (program.hasEnded) throw new Error(`it ended:\n${program.logs}`);
    return /listener opened on: 127\.0\.0\.1/.test(program.logs) || undefined;
  });
  return { port, program };
}

/** What the server gives a browser. */
async function credentials() {
  const { status, body } = await server.http('/api/ice-servers', { token: user.token });
  assert.equal(status, 200);
  const [given] = body.iceServers.filter(({ urls }) => [urls].flat().some((url) => url.startsWith('turn:')));
  return given;
}

function client(t, given) {
  const turn = new TurnClient(relay.port, given);
  t.after(() => turn.close());
  return turn;
}

test('coturn understands every line of its configuration', () => {
  assert.doesNotMatch(relay.program.logs, /bad configuration|unknown|wrong|unrecognized|deprecated/i, relay.program.logs);
});

test('the credentials that the server gives are good for an allocation', async (t) => {
  assert.equal(await client(t, await credentials()).allocate(), 'success');
});

test('a credential that was tampered with, or is over, is refused', async (t) => {
  const given = await credentials();
  const [expiry, id] = given.username.split(':');
  const longer = { ...given, username: `${Number(expiry) + 3600}:${id}` };
  assert.equal(await client(t, longer).allocate(), 401);
  assert.equal(await client(t, { ...given, credential: 'guessed' }).allocate(), 401);
});

test('the relay sends to the internet, and into none of the networks around it', async (t) => {
  const turn = client(t, await credentials());
  assert.equal(await turn.allocate(), 'success');
  assert.equal(await turn.permission('1.1.1.1'), 'success');
  const inside = [
    '0.0.0.0', '10.1.2.3', '100.64.0.1', '127.0.0.1', '127.255.255.254', '169.254.169.254', '172.16.0.1', '172.31.255.255', '192.168.1.1',
    '198.18.0.1', '224.0.0.1', '239.255.255.255', '255.255.255.255',
  ];
  for (const peer of inside) assert.equal(await turn.permission(peer), 403, peer);
});

test('nor by IPv6', async (t) => {
  const turn = client(t, await credentials());
  assert.equal(await turn.allocate({ family: 6 }), 'success');
  assert.equal(await turn.permission('2606:4700::1111'), 'success');
  const inside = ['::', '::1', '::ffff:7f00:1', 'fd00::1', 'fe80::1', 'ff02::1', '64:ff9b::7f00:1', '2002:7f00:1::'];
  for (const peer of inside) assert.equal(await turn.permission(peer), 403, peer);
});

test('no secret reaches its log', async () => {
  const { credential } = await credentials();
  for (const secret of [SECRET, credential]) assert.ok(!relay.program.logs.includes(secret));
});
