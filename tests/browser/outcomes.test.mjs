// How calls begin and end other than by an answer and a hang-up, and what the history says of each.

import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { connect, each, Stage, test } from './stage.mjs';

let stage;
before(async () => { stage = await Stage.open(); });
after(() => stage?.close());

test('a declined call ends on both sides', async (t) => {
  const [alice, bob] = await stage.people(t, 'alice', 'bob');
  await alice.calls(bob);
  await bob.press('Decline');
  await alice.sees('Call declined.');
  await each([alice, bob], (tab) => tab.isInNoCall());
  await stage.remembers([alice, /Declined/], [bob, /Declined/], 'video rejected rejected');
});

test('Escape, meant for what the ring came upon, neither declines a call nor leaves it', async (t) => {
  const [alice, bob] = await stage.people(t, 'alice', 'bob');
  await bob.press('Account');
  await alice.calls(bob, 'Audio');
  await bob.rings();
  for (let presses = 0; presses < 3; presses++) await bob.page.keyboard.press('Escape');
  await bob.accepts('audio');
  await each([alice, bob], (tab) => tab.isInCall());
  for (let presses = 0; presses < 3; presses++) await bob.page.keyboard.press('Escape');
  await bob.press('Mute');
  await alice.sees(/Muted/);
});

test('a call that its caller gives up rings no more, and was missed by nobody', async (t) => {
  const [alice, bob] = await stage.people(t, 'alice', 'bob');
  await alice.calls(bob, 'Audio');
  await bob.rings();
  await alice.press('Hang up');
  await bob.ringsNoMore();
  await each([alice, bob], (tab) => tab.isInNoCall());
  await stage.remembers([alice, /Cancelled/], [bob, /Cancelled/], 'audio cancelled cancelled');
});

test('a call that nobody answers ends by itself and is missed', async (t) => {
  const hasty = await Stage.during(t, { RING_TIMEOUT: '2s' });
  const [alice, bob] = await hasty.people(t, 'alice', 'bob');
  await alice.calls(bob);
  await bob.rings();
  await alice.sees('No answer.');
  await bob.ringsNoMore();
  await each([alice, bob], (tab) => tab.isInNoCall());
  await hasty.remembers([alice, /No answer/], [bob, /Missed/], 'video missed no_answer');
  await Promise.all([alice.hasMissed(0), bob.hasMissed(1)]);
});

test('who is offline is called from the history, and finds at the next visit what was missed', async (t) => {
  const [alice, bob] = await stage.people(t, 'alice', 'bob');
  await alice.calls(bob, 'Audio');
  await bob.press('Decline');
  await stage.remembers([alice, /Declined/], [bob, /Declined/], 'audio rejected rejected');
  await bob.page.close();
  const online = alice.page.getByRole('region', { name: 'Online now' });
  await online.getByRole('button', { name: `Video call to ${bob.name}` }).waitFor({ state: 'hidden' });

  await Promise.all([alice.calls(bob), alice.sees('They are offline. They will see a missed call.')]);
  await alice.isInNoCall();
  const later = await bob.another();
  await stage.remembers([alice, /No answer/], [later, /Missed/], 'video missed user_offline');
  await later.hasMissed(1);
});

test('who is in a call is busy to a third, and hears nothing of it until later', async (t) => {
  const [alice, bob, carol] = await stage.people(t, 'alice', 'bob', 'carol');
  await connect(alice, bob);
  await carol.calls(bob);
  await carol.sees('They are in another call.');
  await carol.isInNoCall();
  await each([alice, bob], (tab) => tab.picturesMove());
  await bob.press('Hang up');
  await each([alice, bob], (tab) => tab.isInNoCall());
  await stage.remembers([carol, /No answer/], [bob, /Missed/], 'video missed user_busy');
  await stage.remembers([alice, /Outgoing, 00:\d\d/], [bob, /Incoming, 00:\d\d/], 'video completed hangup');
});

test('two who call each other at once are in one call', async (t) => {
  const crossed = [];
  let bothDial;
  const one = async (name) => {
    const tab = await stage.visitor(t);
    tab.page.on('websocket', (socket) => socket.on('framereceived', ({ payload }) => {
      if (isGlare(String(payload))) crossed.push(name);
    }));
    // Asked for before dialling. The ring of the first to dial lies over the other's buttons, who must have clicked by then.
    await tab.page.route('**/api/ice-servers', async (route) => {
      await bothDial();
      await route.continue();
    });
    return tab.signUp(name);
  };
  const [alice, bob] = [await one('alice'), await one('bob')];
  for (let round = 1; round <= 5; round++) {
    bothDial = meeting(2);
    await Promise.all([alice.calls(bob), bob.calls(alice)]);
    await each([alice, bob], (tab) => tab.isInCall());
    await each([alice, bob], (tab) => tab.picturesMove());
    await (round % 2 === 0 ? alice : bob).press('Hang up');
    await each([alice, bob], (tab) => tab.isInNoCall());
    assert.equal(crossed.length, round, `one of the two is told of glare in each round: ${crossed}`);
    const rows = await stage.rows(alice, bob);
    assert.equal(rows.length, round, `one row a round: ${JSON.stringify(rows)}`);
  }
});

const isGlare = (frame) => frame.startsWith('42["call_status"') && frame.includes('"status":"glare"');

/** Keeps who comes until `count` have; those who come later pass at once. */
function meeting(count) {
  let missing = count;
  let open;
  const opened = new Promise((resolve) => { open = resolve; });
  return () => {
    missing -= 1;
    if (missing === 0) open();
    return opened;
  };
}

test('a call rings in every tab, and stops in the others when one answers or declines', async (t) => {
  const [alice, bob] = await stage.people(t, 'alice', 'bob');
  const other = await bob.another();
  await other.isInLobby();

  await alice.calls(bob);
  await each([bob, other], (tab) => tab.rings());
  await Promise.all([other.accepts('video'), bob.sees('Answered on another device.')]);
  await bob.ringsNoMore();
  await each([alice, other], (tab) => tab.isInCall());
  await each([alice, other], (tab) => tab.picturesMove());
  await bob.isInNoCall();
  await alice.press('Hang up');
  await each([alice, other], (tab) => tab.isInNoCall());

  await alice.calls(bob);
  await each([bob, other], (tab) => tab.rings());
  await Promise.all([
    bob.press('Decline'),
    other.sees('Declined on another device.'),
    alice.sees('Call declined.'),
  ]);
  await other.ringsNoMore();
});

test('the callee is connected also when media was faster than the acknowledgement of the answer', async (t) => {
  const [alice] = await stage.people(t, 'alice');
  const bob = await stage.visitor(t);
  const held = [];
  let release;
  await bob.page.routeWebSocket(/socket\.io/, (near) => {
    const far = near.connectToServer();
    let isHolding = false;
    near.onMessage((message) => {
      isHolding ||= String(message).includes('"accept_call"');
      far.send(message);
    });
    far.onMessage((message) => (isHolding ? held.push(message) : near.send(message)));
    release = () => {
      isHolding = false;
      for (const message of held.splice(0)) near.send(message);
    };
  });
  await bob.page.reload();
  await bob.signUp('bob');
  await alice.calls(bob);
  await bob.accepts('video');
  await alice.isConnected();
  await bob.mediaConnects();
  assert.ok(held.length > 0, 'the acknowledgement should have been held back');
  release();
  await bob.isConnected();
});
