// Machines without a camera, and people who do not let the page use what they have.

import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { each, launch, Stage, test } from './stage.mjs';

let stage;
const browsers = {};
before(async () => {
  stage = await Stage.open();
  browsers.denying = await launch('--use-fake-ui-for-media-stream=deny');
  browsers.cameraless = await launch('--use-fake-device-for-media-stream=device-count=0');
});
after(async () => {
  await Promise.all(Object.values(browsers).map((browser) => browser.close()));
  await stage?.close();
});

async function pair(t, browser) {
  const [alice] = await stage.people(t, 'alice');
  const bob = await (await stage.visitor(t, { browser })).signUp('bob');
  return [alice, bob];
}

test('who denies the microphone is told how to allow it, and nobody is rung', async (t) => {
  const [alice, bob] = await pair(t, browsers.denying);
  await bob.calls(alice, 'Audio');
  await bob.sees('Access to camera or microphone was denied.');
  await bob.isInNoCall();
  assert.deepEqual(await stage.rows(alice, bob), []);
  // The server has heard all that Bob's page had to say before he rings.
  await alice.calls(bob, 'Audio');
  await bob.rings();
  assert.deepEqual((await stage.rows(alice, bob)).map(({ caller }) => caller), [alice.name]);
});

test('a call to one who denies the microphone is over for both', async (t) => {
  const [alice, bob] = await pair(t, browsers.denying);
  await alice.calls(bob);
  await bob.accepts('video');
  await Promise.all([
    bob.sees('Access to camera or microphone was denied.'),
    alice.sees('Call declined.'),
  ]);
  await each([alice, bob], (tab) => tab.isInNoCall());
  await stage.remembers([alice, /Declined/], [bob, /Declined/], 'video rejected rejected');
});

test('without a camera a video call becomes an audio call by one more press', async (t) => {
  const [alice, bob] = await pair(t, browsers.cameraless);
  await bob.calls(alice);
  await bob.sees('No camera was found. You can make an audio call.');
  await bob.isInNoCall();
  await bob.press('Call by audio');
  await alice.accepts('audio');
  await each([alice, bob], async (tab) => {
    await tab.isInCall();
    await tab.soundArrives();
  });
  await bob.press('Camera on');
  await bob.sees('No camera was found.');
  await alice.press('Camera on');
  await bob.picturesMove();
  await alice.getsNoPicture();
});

test('without a camera a video call is answered with sound, and shows the picture of the caller', async (t) => {
  const [alice, bob] = await pair(t, browsers.cameraless);
  await alice.calls(bob);
  await bob.accepts('video');
  await each([alice, bob], async (tab) => {
    await tab.isInCall();
    await tab.soundArrives();
  });
  await bob.picturesMove();
  await alice.getsNoPicture();
});
