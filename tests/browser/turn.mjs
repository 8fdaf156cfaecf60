// Debian's coturn on loopback, with a secret shared with the server; default /usr/bin/turnserver, or TURNSERVER.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually, freePort } from '../clients/harness.mjs';

const TURNSERVER = process.env.TURNSERVER ?? '/usr/bin/turnserver';

export class Relay {
  logs = '';
  #child;
  #dir;

  static async start(secret) {
    assert.ok(existsSync(TURNSERVER), `there is no coturn at ${TURNSERVER}: apt install coturn, or set TURNSERVER`);
    const relay = new Relay();
    relay.#dir = await mkdtemp(join(tmpdir(), 'relay-'));
    relay.port = await freePort();
    relay.url = `turn:127.0.0.1:${relay.port}?transport=udp`;
    relay.#child = spawn(
      TURNSERVER,
      [
        '-n',
        '--use-auth-secret', `--static-auth-secret=${secret}`, '--realm=tests', '--fingerprint',
        '--listening-ip=127.0.0.1', '--relay-ip=127.0.0.1', `--listening-port=${relay.port}`,
        // Both browsers are on this machine, which a relay in production must keep out of.
        '--allow-loopback-peers', '--cli-password=unused', '--no-cli',
        '--no-tls', '--no-dtls', '--log-file=stdout', '--verbose', '--simple-log',
        `--pidfile=${join(relay.#dir, 'pid')}`, `--userdb=${join(relay.#dir, 'db')}`,
      ],
      { cwd: relay.#dir, stdio: ['ignore', 'pipe', 'pipe'] },
    );
    for (const stream of [relay.#child.stdout, relay.#child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => { relay.logs += text; });
    }
    process.on('exit', () => relay.#child.kill('SIGKILL'));
    await relay.logged(/listener opened on: 127\.0\.0\.1/);
    return relay;
  }

  /** Waits until its log has a line like `pattern`. */
  logged(pattern) {
    return eventually(`coturn to log ${pattern}`, () => {
      if (this.#child.exitCode !== null) throw new Error(`it ended:\n${this.logs}`);
      return pattern.test(this.logs) || undefined;
    });
  }

  /** How many allocations it has granted. */
  get allocations() {
    return this.logs.match(/ALLOCATE processed, success/g)?.length ?? 0;
  }

  /** Passes nothing on, and tells nobody, until `thaw`. */
  freeze() {
    this.#child.kill('SIGSTOP');
  }

  thaw() {
    this.#child.kill('SIGCONT');
  }

  async stop() {
    const ended = once(this.#child, 'close');
    this.#child.kill('SIGKILL');
    await ended;
    await rm(this.#dir, { recursive: true, force: true });
  }
}
