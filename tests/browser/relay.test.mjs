// Calls that can go by coturn alone, as between two networks that let nothing else through.

import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { connect, each, Stage, test } from './stage.mjs';
import { Relay } from './turn.mjs';

const SECRET = 'a secret that coturn and the server share';
const REFUSED = 'the relay (TURN) server refused';
/** The page gives a call 30 s to connect. */
const BEYOND_THE_END = 60_000;

let relay;
let stage;
before(async () => {
  relay = await Relay.start(SECRET);
  stage = await Stage.open({ ICE_TURN_URLS: relay.url, TURN_SECRET: SECRET });
});
after(async () => {
  await stage?.close();
  await relay?.stop();
});

/** Two people whose browsers use nothing but a relay. */
async function relayed(t, on, prepare = async () => {}) {
  const tabs = [];
  for (const name of ['alice', 'bob']) {
    const tab = await on.visitor(t, { forced: { iceTransportPolicy: 'relay' } });
    await prepare(tab);
    tabs.push(await tab.signUp(name));
  }
  return tabs;
}

test('a call goes by the relay, with credentials that the server gave for it', async (t) => {
  const [alice, bob] = await relayed(t, stage);
  const given = [alice, bob].map((tab) => tab.page.waitForResponse('**/api/ice-servers'));
  await connect(alice, bob);
  await each([alice, bob], async (tab) => {
    await tab.picturesMove();
    await tab.soundArrives();
    assert.equal((await tab.media()).pair.local, 'relay');
  });
  for (const [i, tab] of [alice, bob].entries()) {
    const { iceServers: [server] } = await (await given[i]).json();
    const [{ id }] = await stage.server.query('select id from users where username = $1', [tab.name]);
    assert.deepEqual([server.urls].flat(), [relay.url]);
    assert.equal(server.username.split(':')[1], id);
    await relay.logged(new RegExp(`user <${server.username}>: incoming packet ALLOCATE processed, success`));
  }
  await alice.press('Hang up');
  await each([alice, bob], (tab) => tab.isInNoCall());
});

test('a network that lets nothing through is told on both sides, and media comes back with it', async (t) => {
  const [alice, bob] = await relayed(t, stage);
  alice.tolerate(/Failed to load resource: net::ERR_/, /WebSocket connection to .* failed/);
  await connect(alice, bob);
  await each([alice, bob], (tab) => tab.picturesMove());
  relay.freeze();
  try {
    // Media first, then signalling as well.
    await each([alice, bob], (tab) => tab.sees('Reconnecting…'));
    await alice.profile.context.setOffline(true);
    await delay(5_000);
  } finally {
    relay.thaw();
  }
  await alice.profile.context.setOffline(false);
  await each([alice, bob], async (tab) => {
    await tab.isInCall();
    await tab.picturesMove();
    await tab.soundArrives();
    assert.equal((await tab.media()).pair.local, 'relay');
  });
  assert.equal((await stage.rows(alice, bob)).length, 1);
});

// 30 s each, of nothing but waiting.
describe('a relay that refuses', { concurrency: true }, () => {
  test('a relay that knows another secret ends the call, and both are told why', async (t) => {
    const mistaken = await Stage.during(t, { ICE_TURN_URLS: relay.url, TURN_SECRET: 'a secret that coturn does not know' });
    const [alice, bob] = await relayed(t, mistaken);
    await alice.calls(bob);
    await bob.accepts('video');
    await each([alice, bob], (tab) => tab.sees(REFUSED, BEYOND_THE_END));
    await each([alice, bob], (tab) => tab.isInNoCall());
  });

  test('credentials that have expired end the call, and both are told why', async (t) => {
    const brief = await Stage.during(t, { ICE_TURN_URLS: relay.url, TURN_SECRET: SECRET, TURN_TTL: '1s' });
    const lateCredentials = (tab) =>
      tab.page.route('**/api/ice-servers', async (route) => {
        const response = await route.fetch();
        const { iceServers: [{ username }] } = await response.json();
        // coturn counts in whole seconds.
        await delay((Number(username.split(':')[0]) + 2) * 1000 - Date.now());
        await route.fulfill({ response });
      });
    const [alice, bob] = await relayed(t, brief, lateCredentials);
    await alice.calls(bob);
    await bob.accepts('video');
    await each([alice, bob], (tab) => tab.sees(REFUSED, BEYOND_THE_END));
    await each([alice, bob], (tab) => tab.isInNoCall());
  });
});
