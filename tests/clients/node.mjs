// One process of the server.

import assert from 'node:assert/strict';
import { join, resolve } from 'node:path';
import { within } from './client.mjs';
import { eventually, launch, request } from './machine.mjs';

export const BINARY = resolve(process.env.SERVER_BIN ?? join(import.meta.dirname, '../../target/debug/video-call-server'));
const START_MS = 30_000;
const STOP_MS = 25_000;

export class Node {
  logs = '';
  /** Why the process ended, when nobody had told it to. */
  crash;
  #child;
  #ended;
  #told;

  /** `env` is what every start of it has in its environment, `own` what no start may change. */
  constructor({ url, dir, env, own = {}, ca }) {
    Object.assign(this, { url, dir, env, own, ca });
  }

  get isRunning() {
    return this.#child !== undefined;
  }

  /** Starts the process (again): same port, database and data directory. */
  async start(env = {}) {
    assert.equal(this.#child, undefined, 'the server is running already');
    const { child, ended } = launch(BINARY, [], {
      cwd: this.dir,
      env: { ...this.env, ...env, ...this.own },
      log: (text) => { this.logs += text; },
    });
    this.#child = child;
    this.#told = false;
    this.#ended = ended.then(({ code, signal }) => {
      this.#child = undefined;
      if (!this.#told) this.crash = `the server ended by itself (${signal ?? code}):\n${this.tail()}`;
      return { code, signal };
    });
    const state = await eventually('GET /health/ready to say 200', async () => {
      if (this.#child !== child) return 'ended';
      const { status } = await this.http('/health/ready', { ms: 2_000 });
      return status === 200 ? 'ready' : undefined;
    }, START_MS).catch((late) => late.message);
    assert.equal(state, 'ready', `the server did not start:\n${this.tail()}`);
  }

  tail() {
    return this.logs.split('\n').slice(-40).join('\n');
  }

  http(path, options) {
    return request(this.url + path, { ca: this.ca, ...options });
  }

  /** Tells the process something that should not end it. */
  notify(name) {
    assert.ok(this.#child, 'the server is not running');
    this.#child.kill(name);
  }

  /** Signals the process and waits for its end. */
  async signal(name) {
    assert.ok(this.#child, 'the server is not running');
    const ended = this.#ended;
    this.#told = true;
    this.#child.kill(name);
    return within(STOP_MS, `the server's end after ${name}`, ended);
  }

  /** SIGTERM: it must end by itself, with exit code 0. */
  async stop() {
    const end = await this.signal('SIGTERM');
    assert.deepEqual(end, { code: 0, signal: null }, `SIGTERM should end it with 0:\n${this.tail()}`);
  }

  /** Ends it, if it still runs, without asking. */
  kill() {
    this.#child?.kill('SIGKILL');
  }
}

/** Runs the binary to its end: for what an operator does on the command line. */
export async function run(args, { cwd, env, ms = START_MS }) {
  let logs = '';
  const { child, ended } = launch(BINARY, args, { cwd, env, log: (text) => { logs += text; } });
  try {
    return { ...await within(ms, `the end of ${BINARY} ${args.join(' ')}`, ended), logs };
  } finally {
    child.kill('SIGKILL');
  }
}
