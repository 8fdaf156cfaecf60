// Procfile, railway.json and .do/app.yaml: the names that the platforms know, commands, paths and ports that are real. The platforms themselves need an account.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { BINARY, JWT_SECRET, Server, eventually, request } from '../clients/harness.mjs';
import { Program, ROOT, output, read, scratch } from './program.mjs';

const shutdownSeconds = Number(read('.env.example').match(/^#SHUTDOWN_TIMEOUT=(\d+)s$/m)[1]);
const exposed = Number(read('Dockerfile').match(/^EXPOSE (\d+)$/m)[1]);
const railway = JSON.parse(read('railway.json'));
const app = parse(read('.do/app.yaml'));
const [service] = app.services;

/** Every key of an object and of what is in it, as paths. */
const keys = (value, path = '') =>
  (Array.isArray(value) ? value.flatMap((entry) => keys(entry, `${path}[]`))
    : value && typeof value === 'object' ? Object.entries(value).flatMap(([key, inner]) => [`${path}.${key}`, ...keys(inner, `${path}.${key}`)])
      : []);

const procfile = Object.fromEntries(read('Procfile').trim().split('\n').map((line) => line.match(/^(\w+): (.+)$/).slice(1)));

test('the Procfile migrates first, and its web process serves on the port that Heroku gives it until Heroku ends it', async (t) => {
  const server = await Server.during(t);
  await server.stop();
  const dir = await scratch((end) => t.after(end), 'dyno');
  await mkdir(join(dir, 'target/release'), { recursive: true });
  await symlink(BINARY, join(dir, 'target/release/video-call-server'));
  const { DATABASE_URL, PORT } = server.env;
  const env = { PATH: process.env.PATH, APP_ENV: 'production', DATABASE_URL, JWT_SECRET, CORS_ORIGIN: 'https://calls.example.com' };
  assert.deepEqual(Object.keys(procfile), ['release', 'web']);
  assert.match(output('bash', ['-c', procfile.release], { cwd: dir, env }), /the schema is up to date/);
  const web = new Program((end) => t.after(end), 'bash', ['-c', `exec ${procfile.web}`], { cwd: dir, env: { ...env, PORT } });
  await eventually('the web process to be ready', async () => {
    if (web.hasEnded) throw new Error(web.logs);
    return (await request(`${server.url}/health/ready`, { ms: 2_000 })).status === 200 ? true : undefined;
  });
  // What it has written may arrive later than its answer.
  await eventually('its address in its log', () => (new RegExp(`0\\.0\\.0\\.0:${PORT}`).test(web.logs) ? true : undefined));
  web.signal('SIGTERM');
  assert.equal(await web.ended, 0, web.logs);
  // Heroku kills what has not ended after 30 s.
  assert.ok(shutdownSeconds < 30);
});

test("railway.json uses fields of Railway's schema, with values it knows", () => {
  const known = {
    build: ['builder', 'buildCommand', 'dockerfilePath', 'watchPatterns'],
    deploy: [
      'startCommand', 'preDeployCommand', 'numReplicas', 'multiRegionConfig', 'healthcheckPath', 'healthcheckTimeout', 'restartPolicyType',
      'restartPolicyMaxRetries', 'overlapSeconds', 'drainingSeconds', 'sleepApplication', 'cronSchedule',
    ],
  };
  const { $schema, ...sections } = railway;
  assert.equal($schema, 'https://railway.com/railway.schema.json');
  for (const [section, fields] of Object.entries(sections)) {
    for (const field of Object.keys(fields)) assert.ok(known[section].includes(field), `${section}.${field}`);
  }
  assert.equal(railway.build.builder, 'DOCKERFILE');
  assert.ok(existsSync(join(ROOT, railway.build.dockerfilePath)));
  assert.ok(['ON_FAILURE', 'ALWAYS'].includes(railway.deploy.restartPolicyType));
  assert.equal(railway.deploy.numReplicas, 1);
  assert.ok(railway.deploy.drainingSeconds >= shutdownSeconds + 5);
});

test("the app spec uses fields of DigitalOcean's reference, one server, and the port of the image", () => {
  const known = [
    '.name', '.region', '.services', '.services[].name', '.services[].github', '.services[].github.repo', '.services[].github.branch',
    '.services[].github.deploy_on_push', '.services[].source_dir', '.services[].dockerfile_path', '.services[].http_port',
    '.services[].instance_count', '.services[].instance_size_slug', '.services[].termination', '.services[].termination.grace_period_seconds',
    ...['health_check', 'liveness_health_check'].flatMap((check) => [
      `.services[].${check}`, ...['http_path', 'initial_delay_seconds', 'period_seconds', 'timeout_seconds', 'failure_threshold'].map((field) => `.services[].${check}.${field}`),
    ]),
    '.services[].envs', ...['key', 'scope', 'type', 'value'].map((field) => `.services[].envs[].${field}`),
    '.databases', '.databases[].name', '.databases[].engine', '.databases[].version',
    '.ingress', '.ingress.rules', '.ingress.rules[].match', '.ingress.rules[].match.path', '.ingress.rules[].match.path.prefix',
    '.ingress.rules[].component', '.ingress.rules[].component.name',
  ];
  assert.deepEqual(keys(app).filter((key) => !known.includes(key)), []);
  assert.ok(existsSync(join(ROOT, service.dockerfile_path)));
  assert.equal(service.http_port, exposed);
  assert.equal(service.instance_count, 1);
  assert.ok(service.termination.grace_period_seconds >= shutdownSeconds + 5);
  assert.equal(app.ingress.rules[0].component.name, service.name);
});

test('the app spec keeps its secret as one, and takes the database that it has', () => {
  const envs = Object.fromEntries(service.envs.map((env) => [env.key, env]));
  assert.equal(envs.JWT_SECRET.type, 'SECRET');
  assert.equal(envs.JWT_SECRET.value, '', 'a secret in the repository is none');
  assert.equal(envs.DATABASE_URL.value, `\${${app.databases[0].name}.DATABASE_URL}`);
  assert.equal(app.databases[0].engine, 'PG');
  for (const { scope } of service.envs) assert.equal(scope, 'RUN_TIME');
  for (const needed of ['APP_ENV', 'DATABASE_URL', 'JWT_SECRET', 'CORS_ORIGIN']) assert.ok(needed in envs, needed);
});
