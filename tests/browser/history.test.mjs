// What the lobby tells of earlier calls: more than a page of them, and those that were missed.

import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { eventually, Stage, test } from './stage.mjs';

let stage;
before(async () => { stage = await Stage.open(); });
after(() => stage?.close());

const recent = (tab) => tab.page.getByRole('region', { name: 'Recent calls' }).getByRole('listitem');

test('older calls come by "Show more", each once, until there are no more', async (t) => {
  const [alice, bob] = await stage.people(t, 'alice', 'bob');
  // 45 calls of different lengths, so that each can be told from the others: 1 s, 2 s, …
  await stage.server.query(
    `insert into calls (id, node_id, caller_id, callee_id, call_type, status, end_reason, started_at, answered_at, ended_at)
     select gen_random_uuid(), gen_random_uuid(), a.id, b.id, 'audio', 'completed', 'hangup', begun, begun, begun + n * interval '1 s'
     from users a, users b, generate_series(1, 45) n, lateral (select now() - n * interval '10 min' as begun) as times
     where a.username = $1 and b.username = $2`,
    [alice.name, bob.name],
  );
  await bob.page.reload();
  const shows = async (count) => {
    const texts = await eventually(`${count} calls to be listed`, async () => {
      const found = await recent(bob).allInnerTexts();
      return found.length === count ? found : undefined;
    }, 30_000);
    const lengths = texts.map((text) => /Incoming, (\d\d:\d\d)/.exec(text)?.[1]);
    const expected = Array.from({ length: count }, (_, i) => `00:${String(i + 1).padStart(2, '0')}`);
    assert.deepEqual(lengths, expected);
  };
  await shows(20);
  await bob.press('Show more');
  await shows(40);
  await bob.press('Show more');
  await shows(45);
  await bob.button('Show more').waitFor({ state: 'hidden' });
});

test('a call that is written as missed while the page looks at its history is counted', async (t) => {
  const [alice, bob] = await stage.people(t, 'alice', 'bob');
  let isWritten = false;
  await bob.page.route('**/api/calls?**', async (route) => {
    if (!isWritten) {
      // What the server says to whoever asks for missed calls before the answer with all of them.
      if (new URL(route.request().url()).searchParams.get('status') === 'missed') {
        return route.fulfill({ json: { calls: [], next: null } });
      }
      await stage.server.query(
        `insert into calls (id, node_id, caller_id, callee_id, call_type, status, end_reason, started_at, ended_at)
         select gen_random_uuid(), gen_random_uuid(), a.id, b.id, 'audio', 'missed', 'no_answer', now(), now()
         from users a, users b where a.username = $1 and b.username = $2`,
        [alice.name, bob.name],
      );
      isWritten = true;
    }
    return route.continue();
  });
  await bob.page.reload();
  await bob.recentlyHad(alice, /Missed/);
  await bob.hasMissed(1);
});

test('missed calls are counted until they are looked at, and can be listed by themselves', async (t) => {
  const [alice, bob] = await stage.people(t, 'alice', 'bob');
  // Two that Bob missed, one that Alice did, and one that was answered.
  await stage.server.query(
    `insert into calls (id, node_id, caller_id, callee_id, call_type, status, end_reason, started_at, answered_at, ended_at)
     select gen_random_uuid(), gen_random_uuid(), caller.id, callee.id, 'audio', past.status, past.reason,
            begun, case past.status when 'completed' then begun end, begun + interval '1 min'
     from (values ($1, $2, 'missed', 'no_answer', 50), ($1, $2, 'missed', 'user_busy', 40),
                  ($2, $1, 'missed', 'user_offline', 30), ($1, $2, 'completed', 'hangup', 20)) past(caller, callee, status, reason, ago)
     join users caller on caller.username = past.caller
     join users callee on callee.username = past.callee,
     lateral (select now() - past.ago * interval '1 min' as begun) as times`,
    [alice.name, bob.name],
  );
  const lists = (...words) => eventually(`${words.join('; ')} to be listed`, async () => {
    const texts = await recent(bob).allInnerTexts();
    assert.deepEqual(texts.map((text) => /Incoming, 01:00|No answer|Missed/.exec(text)?.[0]), words);
    return true;
  }, 30_000);

  await bob.page.reload();
  await bob.hasMissed(2);
  await lists('Incoming, 01:00', 'No answer', 'Missed', 'Missed');
  await bob.press(/^Missed/);
  await lists('Missed', 'Missed');
  await bob.hasMissed(0);
  await bob.press('All');
  await lists('Incoming, 01:00', 'No answer', 'Missed', 'Missed');
  await bob.page.reload();
  await lists('Incoming, 01:00', 'No answer', 'Missed', 'Missed');
  await bob.hasMissed(0);
});
