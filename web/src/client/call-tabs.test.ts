import { expect, test } from 'vitest';
import type { ActiveCall } from './protocol';
import { BEN, openPage, type Page, settle, silence } from './testing';
import { describe } from './testing-peer';

/** Pages of one session: what each may ask for, and what it leaves to the others. */

const OFFER = describe('offer', 'ben-session', [
  { mid: '0', kind: 'audio', direction: 'sendrecv', streamId: 'ben-camera' },
]);
const ANSWERED: ActiveCall = {
  callId: 'c1',
  role: 'callee',
  peer: BEN,
  callType: 'audio',
  status: 'active',
  startTime: 0,
};

async function rung(): Promise<Page> {
  const page = await openPage();
  await page.socket.says('incoming_call', { callId: 'c1', from: BEN, callType: 'audio', offer: OFFER });
  return page;
}

const lastJoin = (page: Page) => page.socket.all('join').at(-1) as { resume?: string };

test('a page that merely rings does not ask for the call at its next join', async () => {
  const page = await rung();
  await page.socket.drops();
  await page.socket.joins();
  expect(lastJoin(page)).not.toHaveProperty('resume');
});

test('a page that has not said its answer yet does not ask for the call, which another may have answered', async () => {
  const page = await rung();
  page.media.prompt = silence;
  void page.client.calls.current?.accept({ video: false });
  await settle();
  await page.socket.drops();
  await page.socket.joins();
  expect(lastJoin(page)).not.toHaveProperty('resume');
});

test('a page whose answer may have been lost asks for the call', async () => {
  const page = await rung();
  page.socket.replies.accept_call = silence;
  void page.client.calls.current?.accept({ video: false });
  await settle();
  await page.socket.drops();
  await page.socket.joins(ANSWERED);
  expect(lastJoin(page).resume).toBe('c1');
});

test('a call that rang here and was answered in another page meanwhile is left to it', async () => {
  const page = await rung();
  const call = page.client.calls.current;
  await page.socket.drops();
  await page.socket.joins(ANSWERED);
  expect(call?.state).toEqual({ phase: 'ended', reason: 'answered_elsewhere' });
  expect(page.elsewhere).toEqual([ANSWERED]);
  await page.clock.passes(60_000);
  expect(page.socket.all('end_call')).toEqual([]);
});
