// A Redis that keeps nothing on disk: what it has is gone when it is killed.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import net from 'node:net';
import { promisify } from 'node:util';
import { within } from './client.mjs';
import { eventually, freePort, launch } from './machine.mjs';

const START_MS = 10_000;

export class Redis {
  logs = '';
  #child;
  #ended;

  /** Numbers of databases would not do: what is published is heard in all of them. So each cluster has a Redis of its own. */
  static async start(dir) {
    const redis = new Redis();
    redis.dir = dir;
    redis.port = await freePort();
    await redis.start();
    return redis;
  }

  get url() {
    return `redis://127.0.0.1:${this.port}`;
  }

  get isRunning() {
    return this.#child !== undefined;
  }

  /** Starts it (again), empty, on the same port. */
  async start() {
    assert.equal(this.#child, undefined, 'Redis is running already');
    const settings = { port: this.port, bind: '127.0.0.1', save: '', appendonly: 'no', dir: this.dir, loglevel: 'warning' };
    const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);
    const { child, ended } = launch('redis-server', args, { log: (text) => { this.logs += text; } });
    this.#child = child;
    this.#ended = ended.then(() => { this.#child = undefined; });
    const state = await eventually('PONG', async () => {
      if (this.#child !== child) return 'ended';
      return (await this.#ping()).startsWith('+PONG') ? 'ready' : undefined;
    }, START_MS).catch((late) => late.message);
    assert.equal(state, 'ready', `redis-server did not start:\n${this.logs}`);
  }

  #ping() {
    return within(1_000, 'an answer of Redis', new Promise((done, fail) => {
      const socket = net.connect(this.port, '127.0.0.1');
      socket.on('error', fail);
      socket.once('data', (text) => {
        done(String(text));
        socket.destroy();
      });
      socket.write('PING\r\n');
    }));
  }

  /** What redis-cli prints, by lines. */
  async ask(...words) {
    const { stdout } = await promisify(execFile)('redis-cli', ['-p', String(this.port), ...words]);
    return stdout.split('\n').filter((line) => line !== '');
  }

  /** Stops answering while its connections stay open. */
  freeze() {
    this.#child.kill('SIGSTOP');
  }

  thaw() {
    this.#child.kill('SIGCONT');
  }

  async kill() {
    this.#child?.kill('SIGKILL');
    await this.#ended;
  }
}
