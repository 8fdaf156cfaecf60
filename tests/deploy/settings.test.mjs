// What the files of a deployment say of the server is so: its settings, its paths, its commands.

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Server, run } from '../clients/harness.mjs';
import { ROOT, read } from './program.mjs';

const walk = (folder) => readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) =>
  (entry.isDirectory() ? walk(`${folder}/${entry.name}`) : [`${folder}/${entry.name}`]));
const FILES = [
  'Dockerfile', 'Procfile', 'railway.json', '.do/app.yaml',
  ...walk('deploy').filter((file) => !/\/(?:secrets|grafana|prometheus)\//.test(file)),
];
/** What other programs call their own settings. */
const OTHERS = new Set([
  'AF_INET', 'AF_INET6', 'AF_UNIX', 'COPY', 'FEATURES', 'GIT_REVISION', 'NODE_VERSION', 'POSTGRES_DB', 'POSTGRES_PASSWORD_FILE', 'POSTGRES_USER', 'RUN_TIME', 'RUST_VERSION', 'SOURCE_DATE_EPOCH',
  'APP_URL', 'COMPOSE_PROFILES', 'RAILWAY_GIT_COMMIT_SHA', 'TURN_HOST',
]);

const known = new Set([...read('.env.example').matchAll(/^#?([A-Z][A-Z_]+)=/gm)].map(([, name]) => name));

test('every setting that a file of a deployment names is one of the server', () => {
  assert.ok(known.size > 25);
  const unknown = [];
  let seen = 0;
  for (const file of FILES) {
    // As variables are written in all of these formats: NAME=, NAME:, key: NAME, name: NAME.
    for (const [, name] of read(file).matchAll(/(?<![\w$./{<-])([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)(?=[=: ,\n])/g)) {
      seen += 1;
      if (!known.has(name) && !OTHERS.has(name)) unknown.push(`${file}: ${name}`);
    }
  }
  assert.ok(seen > 40, `${seen} were seen`);
  assert.deepEqual([...new Set(unknown)], []);
});

test('every path that they ask for the health of the server answers, with 200 when it is well', async (t) => {
  const server = await Server.during(t);
  const paths = new Set(FILES.flatMap((file) => [...read(file).matchAll(/\/health\b[\w/]*/g)].map(([path]) => path)));
  assert.ok(paths.size >= 2);
  for (const path of paths) assert.equal((await server.http(path)).status, 200, path);
});

test('every command that they give to the server is one', async () => {
  const commands = new Set(FILES.flatMap((file) => [...read(file).matchAll(/release\/video-call-server (\w+)|bin\/video-call-server"?,? "?(serve|health|migrate)/g)].map(([, one, two]) => one ?? two)));
  assert.deepEqual([...commands].sort(), ['health', 'migrate', 'serve']);
  for (const command of commands) {
    const { code, logs } = await run([command, '--help'], { cwd: ROOT, env: { PATH: process.env.PATH } });
    assert.equal(code, 0, logs);
  }
});
