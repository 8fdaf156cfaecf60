// Calls as they go when nothing is in their way.

import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { connect, each, Stage, test } from './stage.mjs';

let stage;
before(async () => { stage = await Stage.open(); });
after(() => stage?.close());

test('a video call shows moving pictures and carries sound both ways, until one hangs up', async (t) => {
  const [alice, bob] = await stage.people(t, 'alice', 'bob');
  await connect(alice, bob);
  await each([alice, bob], async (tab) => {
    const [{ width, height }] = await tab.picturesMove();
    assert.ok(width >= 160 && height >= 120, `a picture of ${width}x${height}`);
    await tab.soundArrives();
  });
  await bob.press('Hang up');
  await each([alice, bob], async (tab) => {
    await tab.sees('Call ended.');
    await tab.isInNoCall();
  });
});

test('an audio call carries sound alone, and gets a picture when a camera is switched on', async (t) => {
  const [alice, bob] = await stage.people(t, 'alice', 'bob');
  await connect(alice, bob, 'Audio');
  await each([alice, bob], (tab) => tab.soundArrives());
  await each([alice, bob], (tab) => tab.getsNoPicture());
  const before = await bob.offers();
  await bob.press('Camera on');
  await alice.picturesMove();
  await bob.getsNoPicture();
  assert.equal(await bob.offers(), before + 1, 'the camera should have come by one new offer');
  await alice.press('Camera on');
  await each([alice, bob], (tab) => tab.picturesMove());
});

test('a video call answered with audio shows one picture', async (t) => {
  const [alice, bob] = await stage.people(t, 'alice', 'bob');
  await alice.calls(bob);
  await bob.accepts('audio');
  await each([alice, bob], (tab) => tab.isInCall());
  await bob.picturesMove();
  await each([alice, bob], (tab) => tab.soundArrives());
  await alice.getsNoPicture();
});

test('the peer sees and hears that the microphone or the camera is off', async (t) => {
  const [alice, bob] = await stage.people(t, 'alice', 'bob');
  await connect(alice, bob);
  await Promise.all([bob.picturesMove(), bob.soundArrives()]);

  await alice.press('Mute');
  await bob.sees(/Muted/);
  await bob.silenceArrives();
  await alice.press('Unmute');
  await bob.seesNot(/Muted/);
  await bob.soundArrives();

  await alice.press('Camera off');
  await bob.getsNoPicture();
  await alice.captures('microphone');
  await alice.picturesMove();
  await alice.press('Camera on');
  await bob.picturesMove();
  await alice.captures('microphone', 'camera');
});

test('a shared screen is a second picture, by a new offer, until it is stopped', async (t) => {
  const [alice, bob] = await stage.people(t, 'alice', 'bob');
  await connect(alice, bob);
  await each([alice, bob], (tab) => tab.picturesMove());
  const before = await alice.offers();

  await alice.press('Share screen');
  await alice.button('Stop sharing').waitFor();
  const pictures = await bob.picturesMove(2);
  // The fake screen is 1280x720, the fake camera 640x480.
  const wide = pictures.filter(({ width, height }) => Math.abs(width / height - 16 / 9) < 0.1);
  assert.equal(wide.length, 1, `one of the two should be the screen: ${JSON.stringify(pictures)}`);
  assert.equal(await alice.offers(), before + 1, 'sharing should be one new offer');
  await alice.picturesMove();
  await alice.captures('microphone', 'camera', 'screen');

  await alice.press('Stop sharing');
  await alice.button('Share screen').waitFor();
  await alice.captures('microphone', 'camera');
  const [left] = await bob.picturesMove();
  assert.ok(Math.abs(left.width / left.height - 4 / 3) < 0.1, `the camera should be left: ${JSON.stringify(left)}`);

  // Both at once, and the hang-up ends them.
  await Promise.all([alice.press('Share screen'), bob.press('Share screen')]);
  await each([alice, bob], (tab) => tab.picturesMove(2));
  await alice.press('Hang up');
  await each([alice, bob], (tab) => tab.isInNoCall());
});

test('a screen can be shared in an audio call', async (t) => {
  const [alice, bob] = await stage.people(t, 'alice', 'bob');
  await connect(alice, bob, 'Audio');
  await alice.press('Share screen');
  const [{ width, height }] = await bob.picturesMove();
  assert.ok(Math.abs(width / height - 16 / 9) < 0.1, `a screen of ${width}x${height}`);
  await alice.press('Stop sharing');
  await bob.getsNoPicture();
});

test('a call can be made, answered and ended by the keyboard alone', async (t) => {
  const [alice, bob] = await stage.people(t, 'alice', 'bob');
  await alice.tabsTo(`Video call to ${bob.name}`);
  await alice.page.keyboard.press('Enter');
  await bob.rings();
  await bob.tabsTo('Accept with video');
  await bob.page.keyboard.press('Enter');
  await each([alice, bob], (tab) => tab.isInCall());
  await each([alice, bob], (tab) => tab.picturesMove());
  await alice.tabsTo('Mute');
  await alice.page.keyboard.press('Space');
  await bob.sees(/Muted/);
  await alice.tabsTo('Hang up');
  await alice.page.keyboard.press('Enter');
  await each([alice, bob], (tab) => tab.isInNoCall());
});
