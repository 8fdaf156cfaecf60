// deploy/compose.yaml and deploy/make-secrets: the file by the schema of Compose, and each container's part of it with the program that is in there.
// Pulling and starting the images needs an engine.

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import Ajv from 'ajv/dist/2020.js';
import { parse as parseYaml } from 'yaml';
import { BINARY, Server, eventually, freePort, request } from '../clients/harness.mjs';
import { Program, ROOT, ending, output, read, scratch } from './program.mjs';
import { TurnClient } from './turn.mjs';
import { fromWheel } from './wheels.mjs';

/** As Compose reads it, which knows the merge key. */
const parse = (text) => parseYaml(text, { merge: true });
const compose = parse(read('deploy/compose.yaml'));
const { server, 'server-2': second, postgres, coturn, redis } = compose.services;

/** A string with its variables, as Compose fills them in. */
const filled = (text, env = {}) =>
  text.replace(/\$\$|\$\{(\w+):-([^}]*)\}/g, (whole, name, otherwise) => (whole === '$$' ? '$' : env[name] || otherwise));

let secrets;
const defer = ending(after);
before(async () => {
  secrets = join(await scratch(defer, 'compose'), 'secrets');
  output(join(ROOT, 'deploy/make-secrets'), [secrets, '127.0.0.1']);
});

test('the file is what Compose takes', () => {
  const [schema] = fromWheel('check_jsonschema', 'check_jsonschema/builtin_schemas/vendor/compose-spec.json').map((text) => JSON.parse(text));
  const validate = new Ajv({ strict: false, allErrors: true, logger: false }).compile(schema);
  assert.ok(validate(compose), JSON.stringify(validate.errors, null, 1));
});

test('what it names is there: the build, the mounted files, networks, volumes, and a file for each secret', () => {
  const existing = [join(server.build.context, 'Dockerfile'), ...coturn.volumes.map((volume) => volume.split(':')[0])];
  for (const path of existing) statSync(join(ROOT, 'deploy', path));
  for (const service of Object.values(compose.services)) {
    for (const network of service.networks ?? []) assert.ok(network in compose.networks, network);
    for (const secret of service.secrets ?? []) assert.ok(secret in compose.secrets, secret);
  }
  assert.deepEqual(postgres.volumes.map((volume) => volume.split(':')[0]), Object.keys(compose.volumes));
  const made = readdirSync(secrets);
  for (const [name, { file }] of Object.entries(compose.secrets)) {
    assert.equal(file, `./secrets/${name}`);
    assert.ok(made.includes(name), `make-secrets makes no ${name}`);
  }
  assert.match(read('deploy/.gitignore'), /^\/secrets$/m);
});

test('other settings come from a file that need not be there and is not committed', () => {
  assert.deepEqual(server.env_file, [{ path: './server.env', required: false }]);
  assert.match(read('deploy/.gitignore'), /^\/server\.env$/m);
});

/** A file with the lines that are there as comments, from the one that holds a word to the last of them. */
function uncommented(text, word) {
  const lines = text.split('\n');
  const start = lines.findIndex((line) => /^ *#(?! )/.test(line) && line.includes(word));
  assert.notEqual(start, -1, word);
  for (let i = start; /^ *#/.test(lines[i]); i += 1) lines[i] = lines[i].replace('#', '');
  return lines.join('\n');
}

test('the previous secret of tokens can be given by what stands there as a comment', () => {
  const text = uncommented(uncommented(read('deploy/compose.yaml'), 'JWT_PREVIOUS_SECRETS_FILE:'), 'jwt_previous_secrets:');
  const { services, secrets: files } = parse(text);
  assert.equal(services.server.environment.JWT_PREVIOUS_SECRETS_FILE, '/run/secrets/jwt_previous_secrets');
  assert.deepEqual(files.jwt_previous_secrets, { file: './secrets/jwt_previous_secrets' });
  assert.deepEqual({ ...files, jwt_previous_secrets: undefined }, { ...compose.secrets, jwt_previous_secrets: undefined });
});

test('no secret stands in the file or in a variable', () => {
  for (const service of Object.values(compose.services)) {
    for (const [name, value] of Object.entries(service.environment ?? {})) {
      if (/SECRET|PASSWORD|DATABASE_URL/.test(name)) assert.match(`${name}=${value}`, /^\w+_FILE=\/run\/secrets\/\w+$/);
    }
  }
});

test('the secrets are made once, long enough, out of the reach of others, and readable to the user of a container', () => {
  const all = () => readdirSync(secrets).map((name) => [name, readFileSync(join(secrets, name), 'utf8')]);
  const first = all();
  const said = output(join(ROOT, 'deploy/make-secrets'), [secrets, 'elsewhere']);
  assert.deepEqual(all(), first);
  assert.equal(said.match(/stays as it is/g).length, first.length);
  assert.equal(statSync(secrets).mode & 0o777, 0o700);
  for (const [name, text] of first) {
    assert.equal(statSync(join(secrets, name)).mode & 0o777, 0o644, name);
    assert.ok(text.trim().length >= 32, name);
    assert.equal(text.trim().split('\n').length, 1, name);
  }
  const { postgres_password: password, database_url: url } = Object.fromEntries(first);
  assert.equal(url, `postgres://calls:${password.trim()}@127.0.0.1:5432/calls\n`);
  output(join(ROOT, 'deploy/make-secrets'), [], { status: 2 });
});

test('only this machine reaches the server, through the gateway that it believes', () => {
  for (const port of server.ports) assert.match(port, /^127\.0\.0\.1:(\d+):\1$/);
  assert.deepEqual(second.ports, server.ports.map((port) => port.replace(/:(\d+):/, (_, published) => `:${Number(published) + 1}:`)));
  const [address, metrics] = server.environment.METRICS_ADDR.split(':');
  assert.equal(address, '0.0.0.0');
  assert.deepEqual(server.ports.map((port) => port.split(':').at(-1)), ['3001', metrics]);
  assert.ok(read('deploy/prometheus/prometheus.yml').includes(`127.0.0.1:${metrics} there`));
  const [{ subnet, gateway }] = compose.networks.inside.ipam.config;
  assert.equal(server.environment.TRUSTED_PROXIES, gateway);
  assert.ok(gateway.startsWith(subnet.split('.').slice(0, 3).join('.')));
  for (const service of [postgres, redis]) assert.equal(service.ports, undefined);
});

test('the containers cannot be written to and cannot gain privileges, and the server has the time to end', () => {
  for (const service of [server, second, coturn]) {
    assert.equal(service.read_only, true);
    assert.deepEqual(service.cap_drop, ['ALL']);
  }
  assert.equal(server.cap_add, undefined);
  // The file of turnserver has this capability in its image, and what is not in the bounding set cannot be executed with it.
  assert.deepEqual(coturn.cap_add, ['NET_BIND_SERVICE']);
  for (const service of Object.values(compose.services)) assert.deepEqual(service.security_opt, ['no-new-privileges:true']);
  const [, shutdown] = read('.env.example').match(/^#SHUTDOWN_TIMEOUT=(\d+)s$/m);
  assert.ok(Number.parseInt(server.stop_grace_period, 10) >= Number(shutdown) + 5);
});

test('a second server and Redis start only when asked for, and the two then differ in their ports alone', () => {
  assert.deepEqual([server.profiles, second.profiles, redis.profiles], [undefined, ['nodes'], ['nodes']]);
  const { build, ports: _, ...common } = server;
  const { profiles, ports, ...other } = second;
  assert.deepEqual(other, common);
  // The image is built once.
  assert.ok(build);
  assert.equal(filled(server.environment.REDIS_URL), '', 'alone, as long as nobody says otherwise');
  assert.deepEqual(server.depends_on.redis, { condition: 'service_healthy', required: false });
  const [, profile] = read('deploy/compose.yaml').match(/^#   COMPOSE_PROFILES=(\w+)$/m);
  const [, host, port] = read('deploy/compose.yaml').match(/^#   REDIS_URL=redis:\/\/(\w+):(\d+)$/m);
  assert.deepEqual([[profile], host, port], [redis.profiles, 'redis', '6379']);
});

test('Redis starts with the command of its container, writes nothing, evicts nothing, and two servers are one by it', async (t) => {
  const dir = await scratch((end) => t.after(end), 'redis');
  const port = await freePort();
  const [program, ...args] = redis.command;
  const running = new Program((end) => t.after(end), program, [...args, '--port', String(port), '--bind', '127.0.0.1'], { cwd: dir });
  const [kind, client, ...ping] = redis.healthcheck.test;
  assert.equal(kind, 'CMD');
  const ask = (...words) => output(client, ['-p', String(port), ...words]).trim();
  await eventually('Redis to answer', () => {
    if (running.hasEnded) throw new Error(running.logs);
    return ask(...ping) === 'PONG' ? true : undefined;
  });
  assert.match(ask('config', 'get', 'maxmemory-policy'), /noeviction$/);
  assert.match(ask('config', 'get', 'save'), /^save$/);
  const url = filled(server.environment.REDIS_URL, { REDIS_URL: `redis://127.0.0.1:${port}` });
  const first = await Server.during(t, { REDIS_URL: url });
  const other = { PORT: String(await freePort()), DATA_DIR: join(first.dir, 'other') };
  const beside = new Program((end) => t.after(end), BINARY, [], { cwd: first.dir, env: { ...first.env, ...other } });
  await eventually('both to be nodes of one', async () => {
    if (beside.hasEnded) throw new Error(beside.logs);
    const { nodes, redis: state } = (await first.http('/health')).body.cluster;
    return nodes === 2 && state === 'up' ? true : undefined;
  });
  assert.deepEqual(readdirSync(dir), [], 'nothing is on disk');
});

test('the server starts with the variables and secrets of its container, here on a database of the test', async (t) => {
  const base = await Server.during(t);
  await base.stop();
  const dir = await scratch((end) => t.after(end), 'secrets');
  for (const name of readdirSync(secrets)) writeFileSync(join(dir, name), readFileSync(join(secrets, name)));
  writeFileSync(join(dir, 'database_url'), `${base.env.DATABASE_URL}\n`);
  const given = Object.entries(server.environment).map(([name, value]) => [name, filled(value).replace('/run/secrets', dir)]);
  const env = { PATH: process.env.PATH, APP_ENV: 'production', HOST: '127.0.0.1', PORT: String(base.port), ...Object.fromEntries(given) };
  env.METRICS_ADDR = `127.0.0.1:${await freePort()}`;
  // Over the defaults of the tests, which have the secrets in variables.
  await base.start({ ...env, DATABASE_URL: '', JWT_SECRET: '' });
  assert.equal((await request(`http://${env.METRICS_ADDR}/metrics`)).status, 200);
  const user = await base.register('alice');
  const { body } = await base.http('/api/ice-servers', { token: user.token });
  assert.deepEqual(body.iceServers.map(({ urls }) => urls).flat(), [
    'stun:localhost:3478', 'turn:localhost:3478?transport=udp', 'turn:localhost:3478?transport=tcp',
  ]);
});

test("PostgreSQL's health check is a command that its image has", () => {
  const [kind, ...command] = postgres.healthcheck.test;
  assert.equal(kind, 'CMD');
  // Without a server it says that there is none; another mistake would be another code.
  output(command[0], [...command.slice(1), '--port=1'], { status: 2 });
});

test('the relay of the container takes the secret and the name that it is given', async (t) => {
  const dir = await scratch((end) => t.after(end), 'relay');
  const port = await freePort();
  mkdirSync(join(dir, 'tmp'));
  const shipped = `${read('deploy/coturn/turnserver.conf')}\nlistening-ip=127.0.0.1\nrelay-ip=127.0.0.1\n`;
  writeFileSync(join(dir, 'shipped.conf'), shipped.replace(/^listening-port=.*$/m, `listening-port=${port}`));
  const [shell, ...args] = coturn.entrypoint;
  const script = filled(args.pop())
    .replaceAll('/tmp/', `${dir}/tmp/`)
    .replaceAll('/etc/coturn/', `${dir}/`)
    .replaceAll('/run/secrets/', `${secrets}/`);
  const env = { PATH: process.env.PATH, TURN_HOST: filled(coturn.environment.TURN_HOST, { TURN_HOST: 'turn.test' }) };
  const relay = new Program((end) => t.after(end), shell, [...args, script], { env, cwd: '/' });
  const secret = readFileSync(join(secrets, 'turn_secret'), 'utf8').trim();
  const front = await Server.during(t, { ICE_TURN_URLS: `turn:127.0.0.1:${port}`, TURN_SECRET: secret });
  const user = await front.register('alice');
  const { iceServers: [given] } = (await front.http('/api/ice-servers', { token: user.token })).body;
  const turn = new TurnClient(port, given);
  t.after(() => turn.close());
  await eventually('the relay to answer', async () => {
    if (relay.hasEnded) throw new Error(relay.logs);
    return (await turn.allocate({ ms: 500 })) === 'success' ? true : undefined;
  });
  assert.equal(turn.realm, 'turn.test');
  assert.equal(statSync(join(dir, 'tmp/turnserver.conf')).mode & 0o777, 0o600);
  assert.ok(!readFileSync(`/proc/${relay.pid}/cmdline`, 'utf8').includes(secret));
});
