import { computed, effect, signal, untracked } from '@preact/signals';
import type { CallPage, CallQuery } from '../../client';
import { call } from './call';
import { client, connection, user } from './client';
import { countNewer, EMPTY, isLive, isMissedBy, type Listing, sift, withNewest, withOlder } from './history';
import { tellError } from './notice';

const PAGE = 20;
/** The server's has what others missed of us, too. */
const MISSED_PAGE = 100;
const FIRST_LOOK_AGAIN_MS = 1_000;
const LAST_LOOK_AGAIN_MS = 30_000;

export type View = 'all' | 'missed';

const LISTINGS = { all: signal<Listing>(EMPTY), missed: signal<Listing>(EMPTY) };
export const view = signal<View>('all');
export const listing = computed(() => LISTINGS[view.value].value);
/** Rows are being fetched: the first, or more. */
export const loading = signal(false);
/** When the newest missed call that this person has looked at began; epoch milliseconds. */
const seenAt = signal(0);
export const missedCount = computed(() => countNewer(LISTINGS.missed.value.rows, seenAt.value));

let lookAgain = 0;
let wait = FIRST_LOOK_AGAIN_MS;

export async function loadMore(): Promise<void> {
  const shown = LISTINGS[view.value];
  const { next } = shown.value;
  if (next === null || loading.value) return;
  await fetching(async () => {
    const page = await fetchPage(view.value, next);
    return () => {
      shown.value = withOlder(shown.value, page);
    };
  });
}

/** The newest of both listings. */
export async function refreshRecords(): Promise<void> {
  clearTimeout(lookAgain);
  await fetching(async () => {
    const all = await fetchPage('all');
    // Asked after it, so that what it shows as missed is there too, however late the row was written.
    const missed = await fetchPage('missed');
    return () => {
      LISTINGS.all.value = withNewest(LISTINGS.all.value, all);
      LISTINGS.missed.value = withNewest(LISTINGS.missed.value, missed);
      settle();
    };
  });
}

/** A row may lag behind the call, and a call may go on elsewhere: no event tells of either, so look again. */
function settle(): void {
  if (call.value !== null || !LISTINGS.all.value.rows.some(isLive)) {
    wait = FIRST_LOOK_AGAIN_MS;
    return;
  }
  lookAgain = window.setTimeout(() => void refreshRecords(), wait);
  wait = Math.min(wait * 2, LAST_LOOK_AGAIN_MS);
}

function fetchPage(which: View, before?: string): Promise<CallPage> {
  const userId = user.value?.id ?? '';
  const query: CallQuery = which === 'missed' ? { limit: MISSED_PAGE, status: 'missed' } : { limit: PAGE };
  return sift(
    (from) => client.history(from === undefined ? query : { ...query, before: from }),
    (record) => which === 'all' || isMissedBy(userId, record),
    before,
  );
}

/** Fetches, and shows what came unless another person has signed in meanwhile. */
async function fetching(task: () => Promise<() => void>): Promise<void> {
  const asked = user.value;
  if (asked === null) return;
  loading.value = true;
  try {
    const show = await task();
    if (user.value?.id === asked.id) show();
  } catch (error) {
    if (user.value?.id === asked.id) tellError(error);
  } finally {
    loading.value = false;
  }
}

// --- what was seen ---

const seenKey = (userId: string) => `video-call.missed-seen.${userId}`;

function readSeen(): void {
  const userId = user.value?.id;
  seenAt.value = userId === undefined ? 0 : Number(localStorage.getItem(seenKey(userId)) ?? 0);
}

/** Looking at the missed calls is having seen them. */
effect(() => {
  const userId = user.value?.id;
  const newest = LISTINGS.missed.value.rows[0]?.startTime ?? 0;
  if (userId === undefined || view.value !== 'missed' || newest <= seenAt.value) return;
  localStorage.setItem(seenKey(userId), String(newest));
  seenAt.value = newest;
});
// Another tab of this person has looked.
addEventListener('storage', readSeen);

// --- when to fetch ---

effect(() => {
  if (user.value === null) {
    clearTimeout(lookAgain);
    for (const each of Object.values(LISTINGS)) each.value = EMPTY;
    view.value = 'all';
  }
  readSeen();
});
effect(() => {
  if (connection.value === 'online' && call.value === null) void untracked(refreshRecords);
});
addEventListener('visibilitychange', () => {
  // Calls of this person's other devices tell this page nothing.
  if (document.visibilityState === 'visible' && connection.value === 'online') void refreshRecords();
});
