// Programs that an operator runs beside the server, each in a folder of its own and gone with the test.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

export const ROOT = resolve(import.meta.dirname, '../..');

/** A file of the repository. */
export const read = (path) => readFileSync(join(ROOT, path), 'utf8');

/** For what a `before` begins: a hook that is added in a hook ends with that. What is deferred is done last first. */
export function ending(after) {
  const steps = [];
  after(async () => {
    for (const step of steps.reverse()) await step();
  });
  return (step) => steps.push(step);
}

/** A folder for one suite or test; `defer` is how it hears of the end. */
export async function scratch(defer, name) {
  const dir = await mkdtemp(join(tmpdir(), `${name}-`));
  defer(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

/** Runs a program to its end; what it printed. A program that is not there, or fails, fails the test. */
export function output(program, args, options = {}) {
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: 'utf8', ...options });
  assert.ifError(error);
  assert.equal(status, options.status ?? 0, `${program} ${args.join(' ')}:\n${stdout}${stderr}`);
  return stdout + stderr;
}

const running = new Set();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** A program that runs until the end of the suite or test. */
export class Program {
  logs = '';
  #child;

  constructor(defer, program, args, options = {}) {
    this.#child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
    running.add(this.#child);
    this.ended = once(this.#child, 'close').then(([code]) => code).finally(() => running.delete(this.#child));
    // Whoever waits for something else of it sees in the log why it ended.
    this.ended.catch((error) => { this.logs += error.message; });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => { this.logs += text; });
    }
    defer(async () => {
      // A kill would leave children of its own behind.
      this.#child.kill('SIGTERM');
      const patience = setTimeout(() => this.#child.kill('SIGKILL'), 5_000);
      await this.ended.catch(() => {});
      clearTimeout(patience);
    });
  }

  get pid() {
    return this.#child.pid;
  }

  get hasEnded() {
    return !running.has(this.#child);
  }

  signal(name) {
    this.#child.kill(name);
  }
}
