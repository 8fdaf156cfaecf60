// Pictures of the page for people to look at, in screenshots/, and how long an answer takes to become a picture.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { each, Stage, test } from './stage.mjs';

const FOLDER = join(import.meta.dirname, 'screenshots');
const LOOKS = {
  wide: {},
  dark: { colorScheme: 'dark' },
  phone: { viewport: { width: 360, height: 740 }, hasTouch: true },
};

let stage;
before(async () => { stage = await Stage.open(); });
after(() => stage?.close());

for (const [look, options] of Object.entries(LOOKS)) {
  test(`screenshots: ${look}`, async (t) => {
    const shoot = async (tab, what) => {
      const overflow = await tab.page.evaluate(
        () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
      );
      assert.ok(overflow <= 0, `"${what}" is ${overflow}px wider than its window`);
      await tab.page.screenshot({ path: join(FOLDER, `${look}-${what}.png`) });
    };
    const [bob] = await stage.people(t, 'bob');
    const alice = await stage.visitor(t, options);
    await shoot(alice, 'login');
    await alice.signUp('alice');
    await alice.button(`Video call to ${bob.name}`).waitFor();
    await bob.calls(alice);
    await alice.rings();
    await shoot(alice, 'ringing');
    await alice.accepts('video');
    await each([alice, bob], (tab) => tab.isInCall());
    await alice.picturesMove();
    await shoot(alice, 'call');
    await bob.press('Share screen');
    await alice.picturesMove(2);
    await shoot(alice, 'screen');
    await alice.press('Hang up');
    await alice.recentlyHad(bob, /Incoming, \d\d:\d\d/);
    await shoot(alice, 'lobby');
  });
}

test('how long it is from the press of Accept to the first picture', async (t) => {
  const [alice, bob] = await stage.people(t, 'alice', 'bob');
  const times = [[], []];
  for (let round = 0; round < 5; round++) {
    await alice.calls(bob);
    const pressed = await bob.watchesPress('Accept with video');
    const pictures = await each([bob, alice], (tab) => tab.watchesPicture());
    await bob.accepts('video');
    for (const [i, decoded] of pictures.entries()) times[i].push(Math.round((await decoded()) - (await pressed())));
    await alice.press('Hang up');
    await each([alice, bob], (tab) => tab.isInNoCall());
  }
  for (const [i, side] of ['answering', 'calling'].entries()) {
    const sorted = times[i].toSorted((a, b) => a - b);
    t.diagnostic(`Accept to first picture, on the ${side} side: median ${sorted[2]} ms of ${sorted.join(', ')}`);
  }
});
