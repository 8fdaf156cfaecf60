// /docs in Chromium: it draws the whole API, loads nothing from elsewhere, breaks no rule of its policy, and tries requests with a token.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { Server } from '../clients/harness.mjs';
import { launch, test } from './stage.mjs';

let server;
let browser;
before(async () => {
  server = await Server.start();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.dispose();
});

/** The page, with what it asked of others and what it complained of. */
async function open(t) {
  const context = await browser.newContext();
  t.after(() => context.close());
  const [foreign, complaints] = [[], []];
  // There is no network but the server.
  await context.route((url) => url.origin !== server.url && url.protocol !== 'data:', (route) => {
    foreign.push(route.request().url());
    return route.abort();
  });
  const page = await context.newPage();
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(error.message));
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) => console.error(`policy: ${violatedDirective} ${blockedURI}`));
  });
  const assertQuiet = () => assert.deepEqual({ foreign, complaints }, { foreign: [], complaints: [] });
  await page.goto(`${server.url}/docs`);
  return { page, assertQuiet };
}

/** Opens an operation, sends it, and gives what the page shows of the answer. */
async function send(page, operationId, fill = () => {}) {
  const block = page.locator('.opblock', { has: page.locator('.opblock-summary-operation-id', { hasText: new RegExp(`^${operationId}$`) }) });
  await block.locator('.opblock-summary-control').click();
  await fill(block);
  await block.getByRole('button', { name: 'Execute' }).click();
  const shown = block.locator('.live-responses-table .response').first();
  await shown.waitFor();
  const status = await shown.locator('.response-col_status').innerText();
  return { status: Number.parseInt(status, 10), text: await shown.innerText() };
}

test('the page shows every operation, and tries them with a token', async (t) => {
  const { page, assertQuiet } = await open(t);
  await page.locator('.opblock').first().waitFor();
  const { paths } = (await server.http('/openapi.json')).body;
  const operations = Object.values(paths).flatMap((methods) => Object.values(methods)).map(({ operationId }) => operationId);
  const shown = await page.locator('.opblock-summary-operation-id').allInnerTexts();
  assert.deepEqual(shown.map((id) => id.trim()).toSorted(), operations.toSorted());
  await page.screenshot({ path: join(import.meta.dirname, 'screenshots', 'docs.png') });

  const user = await server.register('reader');
  const json = { username: user.username, password: user.password };
  const login = await send(page, 'login', (block) => block.locator('textarea').fill(JSON.stringify(json)));
  assert.equal(login.status, 200, login.text);
  await page.locator('.auth-wrapper .authorize').first().click();
  await page.locator('.auth-container input').fill(user.token);
  await page.locator('.auth-container button[type=submit]').click();
  await page.locator('.btn-done').click();
  const me = await send(page, 'me');
  assert.equal(me.status, 200, me.text);
  assert.match(me.text, new RegExp(user.username));
  await page.screenshot({ path: join(import.meta.dirname, 'screenshots', 'docs-tried.png'), fullPage: false });
  assertQuiet();
});
