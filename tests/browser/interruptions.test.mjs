// What a call survives: a reload, a network that goes away, a server that does.

import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { connect, each, Stage, test } from './stage.mjs';

/** What Chromium itself says of a server that it does not reach. */
const UNREACHABLE = [/WebSocket connection to .* failed/, /Failed to load resource: net::ERR_/, /status of 503/];

let stage;
before(async () => { stage = await Stage.open(); });
after(() => stage?.close());

const bothMove = (...tabs) =>
  each(tabs, async (tab) => {
    await tab.isInCall();
    await tab.picturesMove();
    await tab.soundArrives();
  });

test('a page that is reloaded is in its call again', async (t) => {
  const [alice, bob] = await stage.people(t, 'alice', 'bob');
  await connect(alice, bob);
  await bothMove(alice, bob);
  await alice.page.reload();
  await bothMove(alice, bob);
  await bob.page.reload();
  await bothMove(alice, bob);
  await Promise.all([alice.page.reload(), bob.page.reload()]);
  await bothMove(alice, bob);
  await alice.press('Hang up');
  await each([alice, bob], (tab) => tab.isInNoCall());
  await stage.remembers([alice, /Outgoing, \d\d:\d\d/], [bob, /Incoming, \d\d:\d\d/], 'video completed hangup');
  assert.equal((await stage.rows(alice, bob)).length, 1);
});

test('a caller that reloads while it rings is in the call when it is answered', async (t) => {
  const [alice, bob] = await stage.people(t, 'alice', 'bob');
  await alice.calls(bob);
  await bob.rings();
  await alice.page.reload();
  await alice.sees('Ringing…');
  await bob.accepts('video');
  await bothMove(alice, bob);
});

test('a callee that reloads while it rings is rung again, and can answer', async (t) => {
  const [alice, bob] = await stage.people(t, 'alice', 'bob');
  await alice.calls(bob);
  await bob.rings();
  await bob.page.reload();
  await bob.rings();
  await alice.sees('Ringing…');
  await bob.accepts('video');
  await bothMove(alice, bob);
  assert.equal((await stage.rows(alice, bob)).length, 1);
});

test('what is muted stays muted over a reload of the peer', async (t) => {
  const [alice, bob] = await stage.people(t, 'alice', 'bob');
  await connect(alice, bob);
  await alice.press('Mute');
  await bob.sees(/Muted/);
  await bob.page.reload();
  await bob.isInCall();
  await bob.sees(/Muted/);
  await bob.silenceArrives();
  await bob.picturesMove();
});

test('a page that is reloaded sends no more than before', async (t) => {
  const [alice, bob] = await stage.people(t, 'alice', 'bob');
  await alice.calls(bob);
  await bob.accepts('audio');
  await each([alice, bob], (tab) => tab.isInCall());
  await alice.press('Mute');
  await bob.sees(/Muted/);
  await Promise.all([alice.page.reload(), bob.page.reload()]);
  await each([alice, bob], (tab) => tab.isInCall());
  await bob.picturesMove();
  await Promise.all([alice.button('Unmute').waitFor(), bob.button('Camera on').waitFor()]);
  await bob.sees(/Muted/);
  await bob.silenceArrives();
  await alice.soundArrives();
  await alice.getsNoPicture();
  await bob.captures('microphone');
});

test('a network that is off for five seconds is told on both sides, and the call goes on', async (t) => {
  const [alice, bob] = await stage.people(t, 'alice', 'bob');
  alice.tolerate(...UNREACHABLE);
  await connect(alice, bob);
  await bothMove(alice, bob);
  // Cuts the WebSocket and refuses new requests. The media of two pages on one machine it leaves alone: see relay.test.mjs.
  await alice.profile.context.setOffline(true);
  await each([alice, bob], (tab) => tab.sees('Reconnecting…'));
  await delay(5_000);
  await alice.profile.context.setOffline(false);
  await bothMove(alice, bob);
  // Both can still reach each other by way of the server.
  await alice.press('Mute');
  await bob.sees(/Muted/);
  await bob.press('Hang up');
  await each([alice, bob], (tab) => tab.isInNoCall());
  await stage.remembers([alice, /Outgoing/], [bob, /Incoming/], 'video completed hangup');
});

test('a server that is stopped ends the call with a word, and is found again when it is back', async (t) => {
  const mortal = await Stage.during(t);
  const [alice, bob] = await mortal.people(t, 'alice', 'bob');
  for (const tab of [alice, bob]) tab.tolerate(...UNREACHABLE);
  await connect(alice, bob);
  await Promise.all([
    mortal.server.stop(),
    ...[alice, bob].map(async (tab) => {
      await tab.sees('The server is restarting.');
      await tab.isInNoCall();
      await tab.sees('Connecting to the server…');
    }),
  ]);
  await mortal.server.start();
  for (const tab of [alice, bob]) await tab.seesNot('Connecting to the server…');
  await mortal.remembers([alice, /Outgoing/], [bob, /Incoming/], 'video completed server_shutdown');
  await connect(bob, alice);
  await bothMove(alice, bob);
});

test('a server that is killed takes the call with it: told on both sides when it is back', async (t) => {
  const mortal = await Stage.during(t);
  const [alice, bob] = await mortal.people(t, 'alice', 'bob');
  for (const tab of [alice, bob]) tab.tolerate(...UNREACHABLE);
  await connect(alice, bob);
  await bothMove(alice, bob);
  await mortal.server.signal('SIGKILL');
  await each([alice, bob], async (tab) => {
    await tab.sees('Reconnecting…');
    // Media needs no server.
    await tab.picturesMove();
  });
  await Promise.all([
    mortal.server.start(),
    ...[alice, bob].map(async (tab) => {
      await tab.sees('The connection was lost.');
      await tab.isInNoCall();
    }),
  ]);
  await mortal.remembers([alice, /Failed/], [bob, /Failed/], 'video failed server_restart');
  await connect(bob, alice);
  await bothMove(alice, bob);
});
