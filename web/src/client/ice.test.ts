import { expect, test } from 'vitest';
import { IceProvider } from './ice';
import type { IceServers } from './protocol';
import type { Session } from './session';
import { FakeClock, settle } from './testing';

function harness() {
  const clock = new FakeClock();
  const server = { asked: [] as number[], isDown: false, wait: async () => {} };
  const session = {
    authorized: async ({ path }: { path: string }): Promise<IceServers> => {
      expect(path).toBe('/api/ice-servers');
      server.asked.push(clock.now());
      await server.wait();
      if (server.isDown) throw new Error('down');
      return { iceServers: [{ urls: `turn:${server.asked.length}` }], ttl: 100 };
    },
  };
  const ice = new IceProvider(session as unknown as Session, clock);
  const renewed: unknown[] = [];
  ice.on('renewed', (servers) => renewed.push(servers));
  return { ice, clock, server, renewed };
}

test('servers are renewed when four fifths of their time are over, again and again', async () => {
  const { ice, clock, server, renewed } = harness();
  expect(await ice.servers()).toEqual([{ urls: 'turn:1' }]);
  await clock.passes(79_999);
  expect(server.asked).toEqual([0]);
  await clock.passes(80_001);
  expect(server.asked).toEqual([0, 80_000, 160_000]);
  expect(renewed).toEqual([[{ urls: 'turn:2' }], [{ urls: 'turn:3' }]]);
});

test('the newest servers are known to a peer connection that is made late', async () => {
  const { ice, clock } = harness();
  const fetched = await ice.servers();
  expect(ice.latest(fetched)).toBe(fetched);
  await clock.passes(80_000);
  expect(ice.latest(fetched)).toEqual([{ urls: 'turn:2' }]);
});

test('a renewal that fails is tried again at an even pace, until it succeeds', async () => {
  const { ice, clock, server, renewed } = harness();
  await ice.servers();
  server.isDown = true;
  await clock.passes(80_000 + 3 * 30_000);
  expect(server.asked).toEqual([0, 80_000, 110_000, 140_000, 170_000]);
  expect(renewed).toEqual([]);
  server.isDown = false;
  await clock.passes(30_000);
  expect(renewed).toHaveLength(1);
});

test('nothing is renewed when no call is left', async () => {
  const { ice, clock, server } = harness();
  await ice.servers();
  ice.rest();
  await clock.passes(500_000);
  expect(server.asked).toEqual([0]);
});

test.each([true, false])(
  'nothing is renewed for a call that ended while it was asked for (fails: %s)',
  async (fails) => {
    const { ice, clock, server } = harness();
    await ice.servers();
    let answer = () => {};
    server.wait = () =>
      new Promise((resolve) => {
        answer = resolve;
      });
    await clock.passes(80_000);
    server.isDown = fails;
    ice.rest();
    answer();
    await settle();
    await clock.passes(500_000);
    expect(server.asked).toEqual([0, 80_000]);
  },
);
