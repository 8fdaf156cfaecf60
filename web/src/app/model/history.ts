import type { CallPage, CallRecord } from '../../client';
import { dayWords } from './time';

/** Rows that are loaded, newest first, and where the next page begins. */
export interface Listing {
  readonly rows: readonly CallRecord[];
  readonly next: string | null;
}

/** Before the first page has come. */
export const EMPTY: Listing = { rows: [], next: null };

/** The server's `missed` is also what others missed of us. */
export function isMissedBy(userId: string, record: CallRecord): boolean {
  return record.status === 'missed' && record.to.id === userId;
}

/** Fetches in a row for one page. */
const LOOKS = 3;

/**
 * A page of those calls that `keep` keeps. One of nothing is no answer, so the next ones are looked through, but not
 * without end: then there is nothing yet, and `next` to go on from.
 */
export async function sift(
  fetchPage: (before?: string) => Promise<CallPage>,
  keep: (record: CallRecord) => boolean,
  before?: string,
): Promise<CallPage> {
  let page: CallPage = { calls: [], next: before ?? null };
  for (let look = 0; look < LOOKS && page.calls.length === 0; look += 1) {
    const { calls, next } = await fetchPage(page.next ?? undefined);
    page = { calls: calls.filter(keep), next };
    if (next === null) break;
  }
  return page;
}

export function isLive({ status }: CallRecord): boolean {
  return status === 'ringing' || status === 'active';
}

/** How many rows began after `seenAt`. */
export function countNewer(rows: readonly CallRecord[], seenAt: number): number {
  return rows.filter(({ startTime }) => startTime > seenAt).length;
}

/** The newest page in place of the old beginning of `listing`; older pages stay where they join on. */
export function withNewest(listing: Listing, page: CallPage): Listing {
  const last = page.calls.at(-1);
  const joint = listing.rows.findIndex(({ id }) => id === last?.id);
  if (page.next === null || joint < 0) return { rows: page.calls, next: page.next };
  return { rows: [...page.calls, ...listing.rows.slice(joint + 1)], next: listing.next };
}

/** `page` beneath what is there. */
export function withOlder(listing: Listing, page: CallPage): Listing {
  const known = new Set(listing.rows.map(({ id }) => id));
  return { rows: [...listing.rows, ...page.calls.filter(({ id }) => !known.has(id))], next: page.next };
}

export interface Day {
  readonly words: string;
  readonly rows: readonly CallRecord[];
}

/** Rows under the day on which they began, in their order. */
export function byDay(rows: readonly CallRecord[], now: number, locale?: string): readonly Day[] {
  const days: { words: string; rows: CallRecord[] }[] = [];
  for (const row of rows) {
    const words = dayWords(row.startTime, now, locale);
    const day = days.at(-1);
    if (day?.words === words) day.rows.push(row);
    else days.push({ words, rows: [row] });
  }
  return days;
}
