// Runs the server as its operator does, each on a fresh database, and speaks to it from the outside only.
//
//   SERVER_BIN         the binary; default ../../target/debug/video-call-server
//   TEST_DATABASE_URL  a PostgreSQL where databases may be created; default postgres://postgres@127.0.0.1:5432/postgres

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { Client, PATIENCE, within } from './client.mjs';
import { SDP_MARK } from './wire.mjs';

export * from './client.mjs';
export * from './wire.mjs';

export const BINARY = resolve(process.env.SERVER_BIN ?? join(import.meta.dirname, '../../target/debug/video-call-server'));
const BASE_URL = process.env.TEST_DATABASE_URL ?? 'postgres://postgres@127.0.0.1:5432/postgres';
const START_MS = 30_000;
const STOP_MS = 25_000;
const STANDS_IN_EVERY_PASSWORD = 'never-to-be-logged';

export const JWT_SECRET = 'a secret of the client tests forty bytes long';
export const ORIGIN = 'http://localhost:5173';

const UNLIMITED = {
  LOGIN_RATE_PER_MINUTE: '0',
  API_RATE_PER_MINUTE: '0',
  EVENT_RATE_PER_SECOND: '0',
  CALL_RATE_PER_MINUTE: '0',
};

const running = new Set();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});
process.on('SIGTERM', () => process.exit(143));

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

/** A port that was free a moment ago. */
export async function freePort() {
  const probe = net.createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  await once(probe, 'close');
  return port;
}

/** Asks until `probe` gives something other than undefined, for what has no event to wait for (rows, readiness). */
export async function eventually(what, probe, ms = PATIENCE) {
  const deadline = Date.now() + ms;
  let last;
  do {
    try {
      const found = await probe();
      if (found !== undefined) return found;
      last = undefined;
    } catch (error) {
      last = error;
    }
    await delay(20);
  } while (Date.now() < deadline);
  throw new Error(`waited ${ms} ms for ${what}${last ? `; last: ${last.message}` : ''}`, { cause: last });
}

/** One request on a connection of its own. `body` is sent as it is, `json` as JSON; `options` (`ca`, `localAddress`) are Node's. */
export function request(url, { method = 'GET', headers = {}, token, json, body, ms = PATIENCE, ...options } = {}) {
  const payload = json === undefined ? body : JSON.stringify(json);
  const asked = new Promise((done, fail) => {
    const { request: open } = url.startsWith('https:') ? https : http;
    const call = open(url, {
      ...options,
      method,
      agent: false,
      headers: {
        ...(json === undefined ? {} : { 'content-type': 'application/json' }),
        ...(payload === undefined || headers['transfer-encoding'] ? {} : { 'content-length': Buffer.byteLength(payload) }),
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...headers,
      },
    });
    call.on('error', fail);
    call.on('upgrade', (response, socket) => {
      socket.destroy();
      done({ status: response.statusCode, headers: response.headers, text: '' });
    });
    call.on('response', (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (part) => { text += part; });
      response.on('error', fail);
      response.on('end', () => done({
        status: response.statusCode,
        headers: response.headers,
        text,
        get body() {
          return JSON.parse(text);
        },
      }));
    });
    call.end(payload);
  });
  return within(ms, `the answer to ${method} ${url}`, asked);
}

export class Server {
  logs = '';
  #child;
  #exited;
  /** Why the process ended, when nobody had told it to. */
  #crash;
  #told;
  #admin;
  #secrets = new Set([SDP_MARK, STANDS_IN_EVERY_PASSWORD]);
  #hashing = Promise.resolve();

  /**
   * A running server on a fresh database; `env` is laid over the defaults. `via` rewrites the database's URL (a cable), `ca` is
   * what its clients trust where `env` has it speak TLS.
   */
  static async start(env = {}, { via = (url) => url, ca } = {}) {
    const server = new Server();
    server.database = await createDatabase();
    server.port = await freePort();
    server.ca = ca;
    server.url = `${ca ? 'https' : 'http'}://127.0.0.1:${server.port}`;
    server.dir = await mkdtemp(join(tmpdir(), 'clients-'));
    server.env = {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      HOST: '127.0.0.1',
      PORT: String(server.port),
      DATA_DIR: join(server.dir, 'data'),
      DATABASE_URL: await via(server.database.url),
      JWT_SECRET,
      CORS_ORIGIN: ORIGIN,
      RUST_LOG: 'info',
      ...UNLIMITED,
      ...env,
    };
    try {
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

  async #migrate() {
    const { code, logs } = await run(['migrate'], { cwd: this.dir, env: this.env });
    assert.equal(code, 0, `migrate failed:\n${logs}`);
  }

  /** Starts the process (again): same port, database and data directory. */
  async start(env = {}) {
    assert.equal(this.#child, undefined, 'the server is running already');
    const child = spawn(BINARY, [], { cwd: this.dir, env: { ...this.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    running.add(child);
    this.#child = child;
    this.#told = false;
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => { this.logs += text; });
    }
    this.#exited = new Promise((done) => {
      const ended = (code, signal) => {
        running.delete(child);
        this.#child = undefined;
        if (!this.#told) this.#crash = `the server ended by itself (${signal ?? code}):\n${this.tail()}`;
        done({ code, signal });
      };
      child.on('error', (error) => {
        this.logs += error.message;
        ended(error.code, null);
      });
      child.on('close', ended);
    });
    const state = await eventually('GET /health/ready to say 200', async () => {
      if (this.#child !== child) return 'ended';
      const { status } = await request(`${this.url}/health/ready`, { ca: this.ca, ms: 2_000 });
      return status === 200 ? 'ready' : undefined;
    }, START_MS).catch((late) => late.message);
    assert.equal(state, 'ready', `the server did not start:\n${this.tail()}`);
  }

  tail() {
    return this.logs.split('\n').slice(-40).join('\n');
  }

  /** Tells the process something that should not end it. */
  notify(name) {
    assert.ok(this.#child, 'the server is not running');
    this.#child.kill(name);
  }

  /** Signals the process and waits for its end. */
  async signal(name) {
    assert.ok(this.#child, 'the server is not running');
    const exited = this.#exited;
    this.#told = true;
    this.#child.kill(name);
    return within(STOP_MS, `the server's end after ${name}`, exited);
  }

  /** SIGTERM: it must end by itself, with exit code 0. */
  async stop() {
    const end = await this.signal('SIGTERM');
    assert.deepEqual(end, { code: 0, signal: null }, `SIGTERM should end it with 0:\n${this.tail()}`);
  }

  /** Stops what still runs, removes what it left, and reads its log for what must never stand there. */
  async dispose() {
    try {
      if (this.#child) await this.stop();
    } finally {
      this.#child?.kill('SIGKILL');
      await (await this.#admin)?.end();
      await administer(`drop database if exists ${this.database.name} with (force)`);
      await rm(this.dir, { recursive: true, force: true });
    }
    if (this.#crash) assert.fail(this.#crash);
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
    const client = new Client(url, { label: user?.username, user, auth, ca: this.ca, ...options });
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

/** Runs the binary to its end: for what an operator does on the command line. */
export async function run(args, { cwd, env, ms = START_MS }) {
  const child = spawn(BINARY, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  running.add(child);
  let logs = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => { logs += text; });
  const ended = new Promise((done, fail) => {
    child.on('error', fail);
    child.on('close', (code, signal) => done({ code, signal, logs }));
  });
  try {
    return await within(ms, `the end of ${BINARY} ${args.join(' ')}`, ended);
  } finally {
    child.kill('SIGKILL');
    running.delete(child);
  }
}
