// Runs the server as its operator does, each on a fresh database, and speaks to it from the outside only.
//
//   SERVER_BIN         the binary; default ../../target/debug/video-call-server
//   TEST_DATABASE_URL  a PostgreSQL where databases may be created; default postgres://postgres@127.0.0.1:5432/postgres
//   CLUSTER            unset: a server is one process that has its live state in memory; 1: one process and a Redis;
//                      3: so many processes (nodes) on a Redis, behind a load balancer of ours (spread.mjs)
//
// With several nodes what is done to the server is done to all of them: started, stopped and signalled together, their logs are one.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { Client, PATIENCE } from './client.mjs';
import { eventually, freePort, request } from './machine.mjs';
import { Node, run } from './node.mjs';
import { Redis } from './redis.mjs';
import { Spread } from './spread.mjs';
import { SDP_MARK } from './wire.mjs';

export * from './client.mjs';
export * from './wire.mjs';
export { eventually, freePort, request } from './machine.mjs';
export { BINARY, run } from './node.mjs';

const BASE_URL = process.env.TEST_DATABASE_URL ?? 'postgres://postgres@127.0.0.1:5432/postgres';
const CLUSTER = Number(process.env.CLUSTER || 0);
assert.ok(Number.isInteger(CLUSTER) && CLUSTER >= 0, `CLUSTER=${process.env.CLUSTER} is no number of nodes`);
const STANDS_IN_EVERY_PASSWORD = 'never-to-be-logged';

export const JWT_SECRET = 'a secret of the client tests forty bytes long';
export const ORIGIN = 'http://localhost:5173';

const UNLIMITED = {
  LOGIN_RATE_PER_MINUTE: '0',
  API_RATE_PER_MINUTE: '0',
  EVENT_RATE_PER_SECOND: '0',
  CALL_RATE_PER_MINUTE: '0',
};

/** A database nobody else uses. */
async function createDatabase() {
  const name = `clients_${process.pid}_${randomBytes(4).toString('hex')}`;
  await administer(`create database ${name}`);
  const url = new URL(BASE_URL);
  url.pathname = `/${name}`;
  return { name, url: url.href };
}

/** A connection past the server, as an admin has it. */
export async function openDatabase(url) {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: PATIENCE });
  // A connection that was ended fails its next query; between queries it is nobody's error.
  client.on('error', () => {});
  await client.connect();
  return client;
}

async function administer(sql) {
  const admin = await openDatabase(BASE_URL);
  try {
    await admin.query(sql);
  } finally {
    await admin.end();
  }
}

export class Server {
  /** Its processes. Those of a cluster have a `redis`, and where there are several a `spread` before them. */
  nodes = [];
  #admin;
  #secrets = new Set([SDP_MARK, STANDS_IN_EVERY_PASSWORD]);
  #hashing = Promise.resolve();

  /**
   * A running server on a fresh database; `env` is laid over the defaults. `via` rewrites the database's URL (a cable), `ca` is
   * what its clients trust where `env` has it speak TLS, `nodes` is as CLUSTER, which it defaults to.
   */
  static async start(env = {}, { via = (url) => url, ca, nodes = CLUSTER } = {}) {
    const server = new Server();
    server.database = await createDatabase();
    server.ca = ca;
    server.dir = await mkdtemp(join(tmpdir(), 'clients-'));
    try {
      await server.#equip(nodes);
      server.env = {
        PATH: process.env.PATH,
        HOME: process.env.HOME,
        HOST: '127.0.0.1',
        PORT: String(server.ports[0]),
        DATA_DIR: join(server.dir, 'data'),
        DATABASE_URL: await via(server.database.url),
        ...(server.redis && { REDIS_URL: server.redis.url }),
        JWT_SECRET,
        CORS_ORIGIN: ORIGIN,
        RUST_LOG: 'info',
        ...UNLIMITED,
        ...env,
      };
      server.nodes = await Promise.all(server.ports.map((port, n) => server.#node(port, n)));
      await server.#migrate();
      await server.start();
    } catch (error) {
      await server.dispose();
      throw error;
    }
    return server;
  }

  /** A server for one test: disposed of when the test ends. */
  static async during(t, env, options) {
    const server = await Server.start(env, options);
    t.after(() => server.dispose());
    return server;
  }

  /** Ports, and what a cluster has beside its nodes. */
  async #equip(nodes) {
    this.ports = await Promise.all(Array.from({ length: Math.max(nodes, 1) }, freePort));
    if (nodes > 0) this.redis = await Redis.start(this.dir);
    if (nodes > 1) this.spread = await Spread.over(this.ports);
    this.port = this.spread?.port ?? this.ports[0];
    this.url = this.#at(this.port);
  }

  #at(port) {
    return `${this.ca ? 'https' : 'http'}://127.0.0.1:${port}`;
  }

  /** Nodes of one cluster may be on different machines, so they share no folder. */
  async #node(port, n) {
    const { ca, env } = this;
    const common = { url: this.#at(port), env, ca };
    if (!this.spread) return new Node({ ...common, dir: this.dir });
    const dir = join(this.dir, `node-${n}`);
    await mkdir(dir);
    const own = { PORT: String(port), DATA_DIR: join(dir, 'data') };
    // An address that is given is one process's.
    if (env.METRICS_ADDR && n > 0) own.METRICS_ADDR = `127.0.0.1:${await freePort()}`;
    return new Node({ ...common, dir, own });
  }

  async #migrate() {
    const { code, logs } = await run(['migrate'], { cwd: this.dir, env: this.env });
    assert.equal(code, 0, `migrate failed:\n${logs}`);
  }

  get logs() {
    return this.nodes.map((node) => node.logs).join('');
  }

  /** Starts the process (again): same port, database and data directory. */
  async start(env = {}) {
    if (this.redis && !this.redis.isRunning) await this.redis.start();
    await Promise.all(this.nodes.map((node) => node.start(env)));
  }

  tail() {
    return this.nodes.map((node) => node.tail()).join('\n--- another node:\n');
  }

  /** Tells the process something that should not end it. */
  notify(name) {
    for (const node of this.nodes) node.notify(name);
  }

  /**
   * Signals the process and waits for its end. After SIGKILL nothing is left of what a server has in memory: a cluster has that in
   * Redis, which is killed with it (what becomes of one node that is killed is for cluster.test.mjs).
   */
  async signal(name) {
    const [ends] = await Promise.all([
      Promise.all(this.nodes.map((node) => node.signal(name))),
      name === 'SIGKILL' && this.redis?.kill(),
    ]);
    return ends.find(({ code }) => code !== 0) ?? ends[0];
  }

  /** SIGTERM: it must end by itself, with exit code 0. */
  async stop() {
    await Promise.all(this.nodes.map((node) => node.stop()));
  }

  /** Stops what still runs, removes what it left, and reads its log for what must never stand there. */
  async dispose() {
    try {
      if (this.redis?.isRunning) this.redis.thaw();
      const ends = await Promise.allSettled(this.nodes.filter((node) => node.isRunning).map((node) => node.stop()));
      for (const { reason } of ends) if (reason) throw reason;
    } finally {
      for (const node of this.nodes) node.kill();
      this.spread?.close();
      await this.redis?.kill();
      await (await this.#admin)?.end();
      await administer(`drop database if exists ${this.database.name} with (force)`);
      await rm(this.dir, { recursive: true, force: true });
    }
    for (const { crash } of this.nodes) if (crash) assert.fail(crash);
    assert.doesNotMatch(this.logs, /panicked at/, 'the server panicked');
    for (const secret of this.#secrets) {
      const line = this.logs.split('\n').find((text) => text.includes(secret));
      assert.equal(line, undefined, `a secret stands in the log: ${line}`);
    }
  }

  /** Disposes of every server, also when one of them fails to end well; then reports the first failure. */
  static async dispose(...servers) {
    const ends = await Promise.allSettled(servers.map((server) => server?.dispose()));
    for (const { reason } of ends) if (reason) throw reason;
  }

  /** Rows, as an admin reads them. */
  async query(sql, values) {
    this.#admin ??= openDatabase(this.database.url);
    return (await (await this.#admin).query(sql, values)).rows;
  }

  /** The row of a call, once it has the given status (facts are written behind the signalling). */
  async row(callId, status) {
    let last;
    try {
      return await eventually(`call ${callId} to be ${status}`, async () => {
        [last] = await this.query('select * from calls where id = $1', [callId]);
        return last?.status === status ? last : undefined;
      });
    } catch (late) {
      throw new Error(`${late.message}; its row: ${JSON.stringify(last)}`, { cause: late });
    }
  }

  http(path, options) {
    return request(this.url + path, { ca: this.ca, ...options });
  }

  /** Requests that hash a password, one after the other: the server answers 503 to a crowd, and rightly. */
  #hash(path, json) {
    const turn = this.#hashing.then(() => this.http(path, { method: 'POST', json }));
    this.#hashing = turn.catch(() => {});
    return turn;
  }

  /** Tokens are looked for in the log when the server is disposed of. */
  #keep(account) {
    this.#secrets.add(account.token.split('.')[2]);
    this.#secrets.add(account.refreshToken);
    return account;
  }

  /** A new account with a name like `name`, logged in. */
  async register(name = 'user') {
    const username = `${name}-${randomBytes(5).toString('hex')}`;
    const password = `${STANDS_IN_EVERY_PASSWORD} ${username}`;
    const { status, body } = await this.#hash('/api/register', { username, password });
    assert.equal(status, 201, `register ${username}: ${JSON.stringify(body)}`);
    return this.#keep({ id: body.user.id, username, password, token: body.token, refreshToken: body.refreshToken });
  }

  /** Another session of the same account. */
  async login(user) {
    const { username, password } = user;
    const { status, body } = await this.#hash('/api/login', { username, password });
    assert.equal(status, 200, `login ${username}: ${JSON.stringify(body)}`);
    return this.#keep({ ...user, token: body.token, refreshToken: body.refreshToken });
  }

  /** The next pair of tokens of the same session. */
  async refresh({ refreshToken, ...user }) {
    const { status, body } = await this.http('/api/refresh', { method: 'POST', json: { refreshToken } });
    assert.equal(status, 200, `refresh ${user.username}: ${JSON.stringify(body)}`);
    return this.#keep({ ...user, token: body.token, refreshToken: body.refreshToken });
  }

  /** A client on its way; it leaves when the test ends. `auth` defaults to the user's token; `{}` is none. */
  connect(t, user, { url = this.url, auth = user && { token: user.token }, ...options } = {}) {
    // By this the load balancer knows a client that comes back.
    const query = this.spread && user && { client: user.id };
    const client = new Client(url, { label: user?.username, user, auth, ca: this.ca, ...(query && { query }), ...options });
    t.after(() => client.leave());
    return client;
  }

  /** A joined device of `user`. */
  async device(t, user, { join: extra, ...options } = {}) {
    const client = await this.connect(t, user, options).connected();
    await client.join(extra);
    return client;
  }

  /** New users by these names, each with one joined device. */
  async devices(t, transport, ...names) {
    const devices = [];
    for (const name of names) devices.push(await this.device(t, await this.register(name), { transport }));
    return devices;
  }
}
