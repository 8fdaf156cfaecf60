import { expect, test } from 'vitest';
import type { CallRecord } from '../../client';
import {
  avatarTone,
  errorWords,
  fieldProblems,
  lossWords,
  phaseWords,
  recordWords,
  titleWords,
} from './words';

test('the title says who calls before anything else', () => {
  expect(titleWords({ phase: 'incoming', peer: 'ann' }, 3)).toBe('ann is calling');
  expect(titleWords({ phase: 'connected', peer: 'ann' }, 3)).toBe('Call with ann');
  expect(titleWords(null, 3)).toBe('(3) Calls');
  expect(titleWords(null, 0)).toBe('Calls');
});

test.each(['calling', 'ringing', 'incoming', 'accepting'] as const)(
  'a call that is %s says when the server is away',
  (phase) => {
    expect(phaseWords({ phase, server: false })).toBe('Reconnecting…');
    expect(phaseWords({ phase, server: true })).not.toBe('Reconnecting…');
  },
);

test('a refusal for too many tries says how long, when the server does', () => {
  expect(errorWords('rate_limited')).toBe('Too many tries. Please wait a moment.');
  expect(errorWords('rate_limited', 300)).toBe('Too many tries. Please wait a second.');
  expect(errorWords('rate_limited', 5_100)).toBe('Too many tries. Please wait 6 seconds.');
  expect(errorWords('unavailable', 5_100)).toBe(errorWords('unavailable'));
});

test('the details of the server become sentences at their fields', () => {
  expect(fieldProblems([{ field: 'username', message: 'must be 3 to 32 characters long' }])).toEqual({
    username: 'Must be 3 to 32 characters long.',
  });
});

test('a loss is told of the side that is gone, our own first', () => {
  expect(lossWords({ media: 'down', server: false, peer: false }, 'ann')).toMatch(/server/);
  expect(lossWords({ media: 'down', server: true, peer: false }, 'ann')).toBe('ann lost the connection.');
  expect(lossWords({ media: 'down', server: true, peer: true }, 'ann')).toMatch(/picture or sound/);
});

test('a name has one of the six colours of the style sheet', () => {
  const tones = new Set(Array.from({ length: 200 }, (_, index) => avatarTone(`user-${index}`)));
  expect([...tones].sort()).toEqual([0, 1, 2, 3, 4, 5]);
  expect(avatarTone('ann')).toBe(avatarTone('ann'));
});

const record = (status: CallRecord['status'], durationSeconds: number | null = null): CallRecord => ({
  id: 'c1',
  from: { id: 'a', username: 'ann' },
  to: { id: null, username: null },
  callType: 'video',
  status,
  endReason: null,
  startTime: 0,
  answeredAt: null,
  endedAt: null,
  durationSeconds,
});

test.each([
  ['completed', true, 'Outgoing, 01:15'],
  ['completed', false, 'Incoming, 01:15'],
  ['missed', true, 'No answer'],
  ['missed', false, 'Missed'],
  ['ringing', true, 'Ringing'],
  ['active', true, 'In progress'],
  ['rejected', false, 'Declined'],
  ['cancelled', true, 'Cancelled'],
  ['failed', true, 'Failed'],
] as const)('a call that is %s (mine: %s) reads: %s', (status, mine, words) => {
  expect(recordWords(record(status, 75), mine)).toBe(words);
});

test('a completed call whose length is not known is told as of none', () => {
  expect(recordWords(record('completed'), true)).toBe('Outgoing, 00:00');
});
