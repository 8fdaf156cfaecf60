// Who is here, told in three ways.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { NOBODY, RFC3339_MS, Server, TRANSPORTS, eventually } from './harness.mjs';

let server;
before(async () => { server = await Server.start(); });
after(() => Server.dispose(server));

const has = ({ id }) => (users) => users.some((row) => row.id === id);
const lacks = (user) => (users) => !has(user)(users);
const goesOnline = ({ id }) => (delta) => delta.online?.some((user) => user.id === id);
const goesOffline = ({ id }) => (delta) => delta.offline?.includes(id);

const online = async (token) => (await server.http('/api/online-users', { token })).body;
const byId = (rows) => [...rows].sort((a, b) => (a.id < b.id ? -1 : 1));

for (const transport of TRANSPORTS) {
  describe(`presence over ${transport}`, () => {
    test('full: the whole list at join and at every change', async (t) => {
      const alice = await server.device(t, await server.register('alice'), { transport });
      assert.ok(has(alice)(alice.joined.onlineUsers), 'oneself is in it');
      const bob = await server.device(t, await server.register('bob'), { transport, join: { presence: 'full' } });
      assert.ok(has(alice)(bob.joined.onlineUsers) && has(bob)(bob.joined.onlineUsers));
      const list = await alice.until('users_updated', has(bob));
      assert.deepEqual(list.find((row) => row.id === bob.id), {
        id: bob.id, username: bob.user.username, isOnline: true, socketId: bob.joined.socketId,
      });
      bob.leave();
      await alice.until('users_updated', lacks(bob));
      assert.deepEqual(alice.heard('presence_delta'), []);
    });

    test('full: many who come at once are all in the list in the end', async (t) => {
      const alice = await server.device(t, await server.register('alice'), { transport });
      const crowd = [];
      for (let n = 0; n < 20; n += 1) crowd.push(await server.register('crowd'));
      const devices = await Promise.all(crowd.map((user) => server.device(t, user, { transport, join: { presence: 'none' } })));
      await alice.until('users_updated', (users) => crowd.every((user) => has(user)(users)));
      for (const device of devices) device.leave();
      await alice.until('users_updated', (users) => crowd.every((user) => lacks(user)(users)));
    });

    test('onlineUsers, users_updated and /api/online-users agree', async (t) => {
      const [alice, bob] = await server.devices(t, transport, 'alice', 'bob');
      const told = await alice.until('users_updated', has(bob));
      const ours = (rows) => byId(rows.filter((row) => [alice.id, bob.id].includes(row.id)));
      assert.deepEqual(ours(bob.joined.onlineUsers), ours(await online(alice.user.token)));
      assert.deepEqual(ours(told), ours(await online(alice.user.token)));
    });

    test('delta: the whole list once, then only who came and who went', async (t) => {
      const [bob] = await server.devices(t, transport, 'bob');
      const alice = await server.device(t, await server.register('alice'), { transport, join: { presence: 'delta' } });
      assert.ok(has(bob)(alice.joined.onlineUsers) && has(alice)(alice.joined.onlineUsers));
      const carol = await server.device(t, await server.register('carol'), { transport });
      const came = await alice.once('presence_delta', goesOnline(carol));
      const row = came.online.find((user) => user.id === carol.id);
      assert.deepEqual([row.username, row.isOnline], [carol.user.username, true]);
      assert.ok(!came.offline.includes(carol.id));
      carol.leave();
      const went = await alice.once('presence_delta', goesOffline(carol));
      assert.ok(!has(carol)(went.online));
      assert.deepEqual(alice.heard('users_updated'), []);
      assert.ok(alice.heard('presence_delta').every((delta) => !delta.offline.includes(bob.id)), 'bob never went');
    });

    test('delta: a second device of the same user is neither a coming nor, when it goes, a going', async (t) => {
      const [bob] = await server.devices(t, transport, 'bob');
      const alice = await server.device(t, await server.register('alice'), { transport, join: { presence: 'delta' } });
      const tablet = await server.device(t, bob.user, { transport });
      tablet.leave();
      const carol = await server.device(t, await server.register('carol'), { transport });
      await alice.once('presence_delta', goesOnline(carol));
      assert.ok(alice.heard('presence_delta').every((delta) => !delta.offline.includes(bob.id)), 'bob never went');
      bob.leave();
      await alice.once('presence_delta', goesOffline(bob));
    });

    test('none: nothing but who is watched, and their state at once', async (t) => {
      const bob = await server.register('bob');
      const carol = await server.register('carol');
      const [dora] = await server.devices(t, transport, 'dora');
      const alice = await server.device(t, await server.register('alice'), { transport, join: { presence: 'none' } });
      assert.deepEqual(alice.joined.onlineUsers, []);
      const { users } = await alice.ok('watch_users', { ids: [bob.id, dora.id] });
      assert.deepEqual(byId(users), byId([{ id: bob.id, isOnline: false }, { id: dora.id, isOnline: true }]));

      const unwatched = await server.device(t, carol, { transport });
      const watched = await server.device(t, bob, { transport });
      await alice.once('presence_delta', goesOnline(bob));
      const unasked = alice.heard('presence_delta').flatMap((delta) => [...delta.online.map((user) => user.id), ...delta.offline])
        .filter((id) => ![bob.id, dora.id].includes(id));
      assert.deepEqual(unasked, [], 'nothing of those who are not watched');

      // The new set replaces the old one.
      assert.deepEqual((await alice.ok('watch_users', { ids: [carol.id] })).users, [{ id: carol.id, isOnline: true }]);
      watched.leave();
      unwatched.leave();
      await alice.once('presence_delta', goesOffline(carol));
      const everything = alice.heard('presence_delta');
      assert.ok(everything.every((d) => lacks(carol)(d.online) && !d.offline.includes(bob.id)), JSON.stringify(everything));
      assert.deepEqual(alice.heard('users_updated'), []);
    });

    test('none: at most 500 ids are watched, and they must be ids', async (t) => {
      const alice = await server.device(t, await server.register('alice'), { transport, join: { presence: 'none' } });
      await alice.ok('watch_users', { ids: [] });
      await alice.ok('watch_users', { ids: Array(500).fill(NOBODY) });
      for (const ids of [Array(501).fill(NOBODY), ['nobody'], [1], 'all', null, { 0: NOBODY }]) {
        await alice.refused('validation_failed', 'watch_users', { ids });
      }
    });

    test('an unknown presence mode is refused', async (t) => {
      const user = await server.register();
      const client = await server.connect(t, user, { transport }).connected();
      await client.refused('validation_failed', 'join', { id: user.id, username: user.username, presence: 'everything' });
    });

    test('one row a user with the newest socket, offline after the last device', async (t) => {
      const watcher = await server.device(t, await server.register('watcher'), { transport });
      const phone = await server.device(t, await server.register('alice'), { transport });
      const tablet = await server.device(t, phone.user, { transport });
      assert.notEqual(phone.joined.socketId, tablet.joined.socketId);
      await watcher.until('users_updated', has(phone));
      const before = watcher.heard('users_updated').length;
      const rowsOf = async () => (await online(watcher.user.token)).filter((row) => row.id === phone.id);
      const shown = (device) => eventually(`the one row to show ${device.label}`, async () => {
        const rows = await rowsOf();
        return rows.length === 1 && rows[0].socketId === device.joined.socketId ? rows[0] : undefined;
      });
      await shown(tablet);
      tablet.leave();
      await shown(phone);
      await watcher.roundTrip();
      assert.ok(watcher.heard('users_updated').slice(before).every(has(phone)), 'still online by the other device');
      phone.leave();
      await watcher.until('users_updated', lacks(phone));
      assert.deepEqual(await rowsOf(), []);
    });

    test('being seen last is shown by the API once a user has gone', async (t) => {
      const [alice, bob] = await server.devices(t, transport, 'alice', 'bob');
      await alice.until('users_updated', has(bob));
      const me = async () => (await server.http('/api/me', { token: bob.user.token })).body;
      assert.equal((await me()).isOnline, true);
      bob.leave();
      await alice.until('users_updated', lacks(bob));
      const gone = await eventually('lastSeen', async () => {
        const user = await me();
        return user.lastSeen ? user : undefined;
      });
      assert.equal(gone.isOnline, false);
      assert.match(gone.lastSeen, RFC3339_MS);
      assert.ok(Math.abs(Date.now() - Date.parse(gone.lastSeen)) < 60_000);
    });

    test('the id of a connection that others see is not the one that steers it', async (t) => {
      const [alice, bob] = await server.devices(t, transport, 'alice', 'bob');
      await alice.until('users_updated', has(bob));
      const seen = JSON.stringify([alice.joined, alice.events.map((e) => e.args), bob.joined, await online(bob.user.token)]);
      for (const client of [alice, bob]) {
        assert.ok(client.engineId && client.socket.id);
        assert.ok(!seen.includes(client.engineId), 'the transport session id is a secret');
        assert.ok(!seen.includes(client.socket.id), 'the socket id is a secret');
      }
      for (const { joined } of [alice, bob]) {
        const poll = await server.http(`/socket.io/?EIO=4&transport=polling&sid=${joined.socketId}`);
        assert.equal(poll.status, 400, 'nobody polls by it');
        const push = await server.http(`/socket.io/?EIO=4&transport=polling&sid=${joined.socketId}`, { method: 'POST', body: '41' });
        assert.equal(push.status, 400, 'nobody speaks by it');
      }
      await alice.roundTrip();
      await bob.roundTrip();
    });
  });
}

test('/health counts users once, however many devices they have', async (t) => {
  const fresh = await Server.during(t);
  const [alice] = await fresh.devices(t, 'websocket', 'alice', 'bob');
  await fresh.device(t, alice.user, { transport: 'polling' });
  assert.equal((await fresh.http('/health')).body.activeUsers, 2);
});
