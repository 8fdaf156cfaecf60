// A server, a browser, and people in it. The server and what checks on it are those of tests/clients.
//
//   SERVER_BIN, TEST_DATABASE_URL   as in tests/clients
//   WEB_ROOT                        the built page; default ../../web/dist
//   CHROMIUM                        the browser; default /usr/bin/chromium

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { test as run } from 'node:test';
import { chromium } from 'playwright-core';
import { BINARY, eventually, Server } from '../clients/harness.mjs';
import { Tab } from './tab.mjs';

export { eventually };
export * from './tab.mjs';

const WEB_ROOT = resolve(process.env.WEB_ROOT ?? join(import.meta.dirname, '../../web/dist'));
const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
/** Many waits of `PATIENCE` each; the runner's own `--test-timeout` is of a whole file. */
const LIMIT = 180_000;
/** The fake user interface grants every question, and shares a screen of its own; the fake microphone beeps. */
const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-background-networking',
  '--use-fake-ui-for-media-stream',
  '--use-fake-device-for-media-stream',
  // Where a machine has no other network.
  '--allow-loopback-in-peer-connection',
];

export const test = (name, body) => run(name, { timeout: LIMIT }, body);

function equip() {
  assert.ok(existsSync(BINARY), `there is no server at ${BINARY}: cargo build, or set SERVER_BIN`);
  assert.ok(existsSync(join(WEB_ROOT, 'index.html')), `there is no page in ${WEB_ROOT}: make web`);
  assert.ok(existsSync(CHROMIUM), `there is no Chromium at ${CHROMIUM}: apt install chromium, or set CHROMIUM`);
}

export function launch(...flags) {
  return chromium.launch({ executablePath: CHROMIUM, args: [...FLAGS, ...flags] });
}

export class Stage {
  /** A server with `env`, and a Chromium with `flags` beside the usual. */
  static async open(env = {}, flags = []) {
    equip();
    const stage = new Stage();
    stage.server = await Server.start({ WEB_ROOT, ...env });
    try {
      stage.browser = await launch(...flags);
    } catch (error) {
      await stage.server.dispose();
      throw error;
    }
    return stage;
  }

  /** A stage for one test. */
  static async during(t, env, flags) {
    const stage = await Stage.open(env, flags);
    t.after(() => stage.close());
    return stage;
  }

  async close() {
    await this.browser?.close();
    await this.server?.dispose();
  }

  /** People by these names, each in a browser profile of their own, signed up. */
  async people(t, ...names) {
    const tabs = [];
    for (const name of names) tabs.push(await (await this.visitor(t)).signUp(name));
    return tabs;
  }

  /**
   * Somebody new, in a fresh profile, before the page as it greets strangers.
   * @param forced what is laid over the configuration of every peer connection; `options` are of the profile
   */
  async visitor(t, { browser = this.browser, forced = {}, ...options } = {}) {
    const { url } = this.server;
    const context = await browser.newContext(options);
    await context.addInitScript((configuration) => { window.forced = configuration; }, forced);
    await context.addInitScript({ path: join(import.meta.dirname, 'probe.js') });
    const tab = await Tab.open(context, { url });
    t.after(async () => {
      await context.close();
      tab.profile.complaints.assertNone();
    });
    return tab;
  }

  /** The calls of these two, oldest first. */
  rows(one, other) {
    return this.server.query(
      `select caller, callee, call_type, status, end_reason from call_history
       where array[caller, callee] <@ array[$1, $2] order by started_at, id`,
      [one.name, other.name],
    );
  }

  /**
   * The newest call of two people reads as given on the page of each, and as `row` ("type status reason") in SQL.
   * @param caller `[tab, words]`
   * @param callee `[tab, words]`
   */
  async remembers([caller, dialled], [callee, received], row) {
    await caller.recentlyHad(callee, dialled);
    await callee.recentlyHad(caller, received);
    await eventually(`the row "${row}"`, async () => {
      const last = (await this.rows(caller, callee)).at(-1);
      assert.deepEqual(last, {
        caller: caller.name,
        callee: callee.name,
        ...Object.fromEntries(['call_type', 'status', 'end_reason'].map((column, i) => [column, row.split(' ')[i]])),
      });
      return true;
    });
  }
}
