// The role of docs/history.md that only reads, in a PostgreSQL that asks for passwords: who reads history logs in with theirs.

import assert from 'node:assert/strict';
import { chmodSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { BINARY, eventually, freePort } from '../clients/harness.mjs';
import { Program, ending, output, scratch } from './program.mjs';

const HOST = '127.0.0.1';
const OWNERS = 'of the owner';
const READERS = 'correct horse 1';

let port;
let env;
const defer = ending(after);
before(async () => {
  const dir = await scratch(defer, 'scram');
  chmodSync(dir, 0o755);
  // PostgreSQL refuses to run as root.
  const data = join(dir, 'data');
  output('install', ['-d', '-o', 'postgres', data]);
  const password = join(dir, 'password');
  writeFileSync(password, OWNERS);
  const root = '/usr/lib/postgresql';
  const newest = readdirSync(root).sort((a, b) => Number(a) - Number(b)).at(-1);
  const program = (name) => ['runuser', ['-u', 'postgres', '--', join(root, newest, 'bin', name)]];
  const [command, initdb] = program('initdb');
  output(command, [...initdb, '-A', 'scram-sha-256', '-U', 'owner', '--pwfile', password, '-E', 'UTF8', '--locale=C', '-D', data], { cwd: dir });
  port = await freePort();
  const [, postgres] = program('postgres');
  const running = new Program(defer, command, [...postgres, '-D', data, '-p', String(port), '-c', `listen_addresses=${HOST}`, '-c', 'unix_socket_directories='], { cwd: dir });
  env = { PATH: process.env.PATH, HOME: dir, DATA_DIR: join(dir, 'server'), DATABASE_URL: `postgres://owner:${encodeURIComponent(OWNERS)}@${HOST}:${port}/postgres` };
  await eventually('PostgreSQL to answer', () => {
    if (running.hasEnded) throw new Error(running.logs);
    return output('psql', [env.DATABASE_URL, '-XAtqc', 'select 1']).trim() === '1' ? true : undefined;
  });
});

/** What psql prints for the role, with this password; `status` where it is to fail. */
const as = (role, password, sql, options) => output('psql', ['-h', HOST, '-p', String(port), '-U', role, '-d', 'postgres', '-XAtqw', '-c', sql], {
  env: { PATH: process.env.PATH, PGPASSWORD: password }, ...options,
});

test('the reader logs in with the password that was given, and with no other, and reads', () => {
  const made = output(BINARY, ['migrate', '--reader-role', 'analyst', '--reader-password'], { env, input: `${READERS}\n` });
  assert.match(made, /made the role "analyst"/);
  assert.equal(as('analyst', READERS, 'select count(*) from call_history').trim(), '0');
  assert.match(as('analyst', 'another', 'select 1', { status: 2 }), /password authentication failed/);
  assert.match(as('analyst', READERS, 'select password_hash from users', { status: 1 }), /permission denied/);
  output(BINARY, ['migrate', '--reader-role', 'analyst', '--reader-password'], { env, input: `${READERS}2\n` });
  assert.equal(as('analyst', `${READERS}2`, 'select current_user').trim(), 'analyst');
  assert.match(as('analyst', READERS, 'select 1', { status: 2 }), /password authentication failed/);
});
