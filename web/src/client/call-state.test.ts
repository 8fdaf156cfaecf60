import { expect, test } from 'vitest';
import { advance, type CallState, type CallStep, waiting } from './call-state';

const run = (start: CallState, ...steps: CallStep[]) => steps.reduce(advance, start);

test('an outgoing call goes from preparing to connected', () => {
  const steps: CallStep[] = [{ type: 'dialled' }, { type: 'rings' }, { type: 'answered' }];
  expect(run({ phase: 'preparing' }, ...steps).phase).toBe('connecting');
  expect(run({ phase: 'preparing' }, ...steps, { type: 'link', link: { media: 'up' } }).phase).toBe(
    'connected',
  );
});

test('a call that crosses the peer’s is accepted while it is being made', () => {
  expect(run(waiting('calling'), { type: 'accept' }, { type: 'answered' }).phase).toBe('connecting');
});

test.each([{ server: false }, { peer: false }, { media: 'down' as const }])('reconnects while %o', (link) => {
  const lost = run(
    waiting('accepting'),
    { type: 'answered' },
    { type: 'link', link: { media: 'up' } },
    { type: 'link', link },
  );
  expect(lost.phase).toBe('reconnecting');
  const back = advance(lost, { type: 'link', link: { server: true, peer: true, media: 'up' } });
  expect(back.phase).toBe('connected');
});

test('nothing follows the end', () => {
  const over = run(waiting('incoming'), { type: 'end', reason: 'cancelled' });
  expect(run(over, { type: 'accept' }, { type: 'answered' }, { type: 'end', reason: 'hangup' })).toBe(over);
});
