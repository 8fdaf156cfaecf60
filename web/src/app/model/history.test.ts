import { expect, test } from 'vitest';
import type { CallRecord, CallStatus } from '../../client';
import { byDay, countNewer, EMPTY, isMissedBy, sift, withNewest, withOlder } from './history';

const me = 'me';
const HOUR = 3_600_000;
const NOW = new Date('2025-03-10T12:00:00').getTime();

function record(id: number, status: CallStatus = 'completed', from = 'them', to = me): CallRecord {
  return {
    id: String(id),
    from: { id: from, username: from },
    to: { id: to, username: to },
    callType: 'video',
    status,
    endReason: null,
    startTime: NOW - id * HOUR,
    answeredAt: null,
    endedAt: null,
    durationSeconds: null,
  };
}

/** Rows by number, the newest first. */
const rows = (...ids: number[]) => ids.map((id) => record(id));
const ids = ({ rows }: { rows: readonly CallRecord[] }) => rows.map(({ id }) => Number(id));

test('what others missed of me is not missed by me', () => {
  expect(isMissedBy(me, record(1, 'missed'))).toBe(true);
  expect(isMissedBy(me, record(1, 'missed', me, 'them'))).toBe(false);
  expect(isMissedBy(me, record(1, 'rejected'))).toBe(false);
});

test('the count is of rows that began after the last one seen', () => {
  const missed = rows(1, 2, 3);
  expect(countNewer(missed, 0)).toBe(3);
  expect(countNewer(missed, NOW - 2 * HOUR)).toBe(1);
  expect(countNewer(missed, NOW - HOUR)).toBe(0);
});

test('the newest page takes the place of the old beginning, and older pages stay', () => {
  const listing = { rows: rows(3, 4, 5, 6), next: 'after 6' };
  const fresh = withNewest(listing, { calls: rows(2, 3, 4), next: 'after 4' });
  expect(ids(fresh)).toEqual([2, 3, 4, 5, 6]);
  expect(fresh.next).toBe('after 6');
});

test('a newest page that does not join on begins the list anew', () => {
  const listing = { rows: rows(8, 9), next: null };
  const fresh = withNewest(listing, { calls: rows(1, 2), next: 'after 2' });
  expect(fresh).toEqual({ rows: rows(1, 2), next: 'after 2' });
  expect(withNewest(EMPTY, { calls: rows(1), next: 'after 1' })).toEqual({ rows: rows(1), next: 'after 1' });
});

test('a newest page that is the whole list is the list', () => {
  const listing = { rows: rows(3, 4, 5), next: null };
  expect(ids(withNewest(listing, { calls: rows(3, 4), next: null }))).toEqual([3, 4]);
  expect(withNewest(listing, { calls: [], next: null })).toEqual(EMPTY);
});

test('an older page goes beneath, no row twice', () => {
  const listing = { rows: rows(1, 2, 3), next: 'after 2' };
  const longer = withOlder(listing, { calls: rows(3, 4), next: null });
  expect(ids(longer)).toEqual([1, 2, 3, 4]);
  expect(longer.next).toBeNull();
});

test('rows stand under their day, in their order', () => {
  const days = byDay(rows(1, 12, 13, 40), NOW, 'en');
  expect(days.map(({ words, rows }) => [words, rows.map(({ id }) => id)])).toEqual([
    ['Today', ['1', '12']],
    ['Yesterday', ['13']],
    ['Saturday, March 8', ['40']],
  ]);
});

/** Pages of the server by their cursor; `asked` is what was fetched. */
function server(pages: CallRecord[][]) {
  const asked: (string | undefined)[] = [];
  const fetchPage = async (before?: string) => {
    asked.push(before);
    const at = Number(before ?? 0);
    return { calls: pages[at] ?? [], next: at + 1 < pages.length ? String(at + 1) : null };
  };
  return { asked, fetchPage };
}
const mine = (call: CallRecord) => isMissedBy(me, call);
const theirs = (id: number) => record(id, 'missed', me, 'them');

test('pages of nothing that is wanted are passed over', async () => {
  const { asked, fetchPage } = server([[theirs(1)], [theirs(2), record(3, 'missed')], [theirs(4)]]);
  const page = await sift(fetchPage, mine);
  expect(page.calls.map(({ id }) => id)).toEqual(['3']);
  expect(page.next).toBe('2');
  expect(asked).toEqual([undefined, '1']);
  expect(await sift(fetchPage, mine, '2')).toEqual({ calls: [], next: null });
});

test('a search that finds nothing stops after a few pages, and can be gone on with', async () => {
  const { asked, fetchPage } = server(Array.from({ length: 9 }, (_, id) => [theirs(id)]));
  expect(await sift(fetchPage, mine)).toEqual({ calls: [], next: '3' });
  expect(asked).toHaveLength(3);
  expect(await sift(fetchPage, mine, '8')).toEqual({ calls: [], next: null });
});
