// docs/postman_collection.json, run by newman as Postman would: everything in it passes, and it has every operation.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import newman from 'newman';
import { Server } from '../clients/harness.mjs';

const collection = JSON.parse(readFileSync(join(import.meta.dirname, '../../docs/postman_collection.json'), 'utf8'));

let server;
before(async () => { server = await Server.start(); });
after(() => Server.dispose(server));

/** One run of the whole collection; what it has to say. */
const run = () => new Promise((done, fail) => {
  const options = { collection, envVar: [{ key: 'baseUrl', value: server.url }], reporters: [] };
  newman.run(options, (error, summary) => (error ? fail(error) : done(summary.run)));
});

/** The requests of a folder and of those in it, as `method path`, with `{}` for what varies. */
const requests = (items) => items.flatMap(({ item, request }) => (item ? requests(item) : [`${request.method} /${request.url.path.join('/')}`]));

// A second run finds what the first one left.
for (const time of ['first', 'second']) {
  test(`the collection passes, the ${time} time`, async () => {
    const { failures, stats } = await run();
    assert.deepEqual(failures.map(({ source, error }) => `${source?.name}: ${error.message}`), []);
    const { requests: { total }, assertions } = stats;
    assert.equal(total, requests(collection.item).length);
    assert.ok(assertions.total >= 2 * total, `${assertions.total} assertions in ${total} requests`);
  });
}

test('every operation of the API is in the collection', async () => {
  const { paths } = (await server.http('/openapi.json')).body;
  const inIt = new Set(requests(collection.item).map((request) => request.replace(/[0-9a-f]{8}-[0-9a-f-]{27}$/, '{id}')));
  const known = Object.entries(paths).flatMap(([path, methods]) => Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`));
  assert.deepEqual(known.filter((operation) => !inIt.has(operation)), ['GET /docs'], 'a page, for people');
});
