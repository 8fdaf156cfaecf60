import { expect, test } from 'vitest';
import { dayWords, duration } from './time';

const at = (text: string) => new Date(text).getTime();

test('a duration has hours where there are any, and is never negative', () => {
  expect([0, 59.9, 61, 3599, 3600, 36_061].map(duration)).toEqual([
    '00:00',
    '00:59',
    '01:01',
    '59:59',
    '1:00:00',
    '10:01:01',
  ]);
  // The clock was put back.
  expect(duration(-3)).toBe('00:00');
});

test('days are those of the calendar, not of 24 hours', () => {
  const now = at('2025-03-10T00:30:00');
  expect(dayWords(at('2025-03-10T00:00:00'), now, 'en')).toBe('Today');
  expect(dayWords(at('2025-03-09T23:59:59'), now, 'en')).toBe('Yesterday');
  expect(dayWords(at('2025-03-09T00:00:00'), now, 'en')).toBe('Yesterday');
  expect(dayWords(at('2025-03-08T23:59:59'), now, 'en')).toBe('Saturday, March 8');
});

test('yesterday may be in another month, and another year is named', () => {
  const now = at('2025-01-01T12:00:00');
  expect(dayWords(at('2024-12-31T12:00:00'), now, 'en')).toBe('Yesterday');
  expect(dayWords(at('2024-12-30T12:00:00'), now, 'en')).toBe('Monday, December 30, 2024');
});
