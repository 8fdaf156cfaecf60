// deploy/systemd: the unit as systemd reads it, and a server that does nothing which the unit forbids.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { BINARY, JWT_SECRET, Server, eventually, request } from '../clients/harness.mjs';
import { Program, output, read, scratch } from './program.mjs';

const UNIT = 'deploy/systemd/video-call-server.service';
const unit = read(UNIT);

/** Every value of a setting, in order. */
const values = (name) => [...unit.matchAll(new RegExp(`^${name}=(.*)$`, 'gm'))].map(([, value]) => value);
/** The variables that the unit sets. */
const environment = () => Object.fromEntries(values('Environment').flatMap((line) => line.split(' ')).map((pair) => pair.split(/=(.*)/s)));

test('systemd understands every line of the unit', async (t) => {
  const dir = await scratch((end) => t.after(end), 'unit');
  const path = join(dir, 'video-call-server.service');
  assert.deepEqual(values('ExecStart'), ['/usr/local/bin/video-call-server serve']);
  writeFileSync(path, unit.replace('/usr/local/bin/video-call-server serve', `${BINARY} serve`));
  assert.equal(output('systemd-analyze', ['verify', '--man=no', path]), '');
});

test('systemd finds the service hardly exposed', () => {
  // 0 is shut off altogether, 10 is root without any bound; what is left is the network, which is its work.
  output('systemd-analyze', ['security', '--offline=true', '--threshold=15', '--no-pager', join(import.meta.dirname, '../..', UNIT)]);
});

test('the unit gives a shutdown the time that it takes', () => {
  const [, shutdown] = read('.env.example').match(/^#SHUTDOWN_TIMEOUT=(\d+)s$/m);
  assert.ok(Number(values('TimeoutStopSec')[0]) >= Number(shutdown) + 5);
  assert.deepEqual(values('KillMode'), ['mixed']);
});

test('a secret of a comment is loaded where its variable looks for it', () => {
  for (const name of ['jwt_previous_secrets', 'redis_url', 'turn_secret']) {
    assert.match(unit, new RegExp(`^#   LoadCredential=${name}:/etc/video-call-server/${name}\n#   Environment=${name.toUpperCase()}_FILE=%d/${name}$`, 'm'));
  }
});

/** Every system call that a server has made which started with the unit's settings, served, was told to reload, and ended by SIGTERM. */
async function traced(t) {
  const server = await Server.during(t);
  await server.stop();
  const dir = await scratch((end) => t.after(end), 'traced');
  const trace = join(dir, 'trace');
  writeFileSync(join(dir, 'database_url'), server.env.DATABASE_URL);
  writeFileSync(join(dir, 'jwt_secret'), JWT_SECRET);
  const given = Object.fromEntries(Object.entries(environment()).map(([name, value]) => [name, value.replace('%d', dir)]));
  const env = { PATH: process.env.PATH, ...given, CORS_ORIGIN: 'https://calls.example.com', PORT: String(server.port) };
  const program = new Program((end) => t.after(end), 'strace', ['-f', '-qq', '-o', trace, BINARY, 'serve'], { cwd: '/', env });
  await eventually('the traced server to be ready', async () => {
    if (program.hasEnded) throw new Error(program.logs);
    return (await request(`${server.url}/health/ready`, { ms: 2_000 })).status === 200 ? true : undefined;
  }, 60_000);
  const [pid] = readFileSync(trace, 'utf8').split(' ');
  assert.deepEqual(values('ExecReload'), ['/bin/kill -HUP $MAINPID']);
  process.kill(Number(pid), 'SIGHUP');
  const health = await server.http('/health');
  const user = await server.register('traced');
  const device = await server.device(t, user, { transport: 'upgrade' });
  device.leave();
  process.kill(Number(pid), 'SIGTERM');
  const code = await program.ended;
  return { code, logs: program.logs, health, calls: readFileSync(trace, 'utf8').split('\n') };
}

test('the server does nothing that the unit forbids', async (t) => {
  const { code, logs, health, calls } = await traced(t);
  assert.equal(code, 0, logs);
  assert.equal(health.body.status, 'OK');
  const allowed = permitted();
  const used = new Set(calls.map((line) => /^\d+ +(?:<\.\.\. )?(\w+)[( ]/.exec(line)?.[1]).filter(Boolean));
  assert.ok(used.size > 30, `${used.size} kinds of calls were seen`);
  assert.deepEqual([...used].filter((name) => !allowed.has(name)), [], 'calls that SystemCallFilter refuses');

  const families = new Set(values('RestrictAddressFamilies')[0].split(' '));
  const sockets = new Set(calls.map((line) => / socket\((AF_\w+)/.exec(line)?.[1]).filter(Boolean));
  assert.ok(sockets.has('AF_INET'));
  assert.deepEqual([...sockets].filter((family) => !families.has(family)), [], 'sockets that RestrictAddressFamilies refuses');

  const executable = calls.filter((line) => /mprotect\(.*PROT_EXEC|mmap\(.*PROT_WRITE.*PROT_EXEC|shmat\(.*SHM_EXEC/.test(line));
  assert.deepEqual(executable, [], 'memory that MemoryDenyWriteExecute refuses');
  const written = calls.filter((line) => / (?:openat|creat|mkdir|rename|unlink)\w*\(/.test(line) && /O_WRONLY|O_RDWR|O_CREAT|creat\(|mkdir|rename|unlink/.test(line));
  assert.deepEqual(written.filter((line) => !line.includes('"/dev/null"')), [], 'files that ProtectSystem=strict refuses');
});

/** The calls that the unit's filters leave, as this machine's systemd knows them. */
function permitted() {
  const allowed = new Set();
  for (const filter of values('SystemCallFilter')) {
    const [, not, name] = /^(~?)(@[\w-]+)$/.exec(filter);
    for (const call of group(name)) {
      if (not) allowed.delete(call);
      else allowed.add(call);
    }
  }
  return allowed;
}

function group(name) {
  const lines = output('systemd-analyze', ['syscall-filter', '--no-pager', name]).split('\n').map((line) => line.trim());
  return lines.slice(1).filter((line) => line && !line.startsWith('#')).flatMap((line) => (line.startsWith('@') ? group(line) : [line]));
}
