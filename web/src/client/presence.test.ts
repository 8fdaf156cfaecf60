import { expect, test } from 'vitest';
import { Connection } from './connection';
import { Presence } from './presence';
import type { OnlineUser, Party, PresenceMode } from './protocol';
import type { Session } from './session';
import { ANN, BEN, FakeClock, FakeSocket } from './testing';

const CAT: Party = { id: 'cat-id', username: 'cat' };
const online = (...users: Party[]): OnlineUser[] => users.map((user) => ({ ...user, isOnline: true }));

function harness(mode: PresenceMode) {
  const socket = new FakeSocket();
  const session = {
    user: ANN,
    currentToken: 't',
    isTokenExpired: false,
    on: () => () => {},
    authorized: async () => ({}),
  };
  const connection = new Connection({
    url: '',
    presence: mode,
    socket: () => socket,
    session: session as unknown as Session,
    clock: new FakeClock(),
    resume: () => null,
  });
  const presence = new Presence(connection, mode);
  connection.start();
  const names = () => [...presence.online.values()].map(({ username }) => username);
  const changes: number[] = [];
  presence.on('change', ({ size }) => changes.push(size));
  const joins = async (...users: Party[]) => {
    socket.connected = true;
    await socket.says('join_success', { message: '', onlineUsers: online(...users), socketId: 's' });
  };
  return { socket, connection, presence, names, changes, joins };
}

test('in delta mode the list of the join is changed by what comes and goes', async () => {
  const { socket, names, changes, joins } = harness('delta');
  await joins(ANN, BEN);
  await socket.says('presence_delta', { online: [CAT], offline: [BEN.id, 'nobody'] });
  expect(names()).toEqual(['ann', 'cat']);
  await socket.says('presence_delta', { online: online(CAT), offline: [CAT.id] });
  expect(names()).toEqual(['ann', 'cat']);
  expect(changes).toEqual([2, 2, 2]);
});

test('each change is a map of its own, of ids and names alone', async () => {
  const { socket, presence, joins } = harness('delta');
  await joins(BEN);
  const before = presence.online;
  await socket.says('presence_delta', { online: [], offline: [BEN.id] });
  expect([...before.values()]).toEqual([BEN]);
  expect(presence.online.size).toBe(0);
});

test('in full mode every list replaces the one before', async () => {
  const { socket, names, joins } = harness('full');
  await joins(ANN);
  await socket.says('users_updated', online(BEN, CAT));
  expect(names()).toEqual(['ben', 'cat']);
});

test('after an interruption the list is the server’s, and stays as it was until then', async () => {
  const { socket, names, joins } = harness('delta');
  await joins(ANN, BEN);
  await socket.drops();
  expect(names()).toEqual(['ann', 'ben']);
  await joins(ANN, CAT);
  expect(names()).toEqual(['ann', 'cat']);
});

test.each(['stopped', 'cut'] as const)('nobody is online once the connection is %s', async (state) => {
  const { socket, connection, names, joins } = harness('delta');
  await joins(ANN, BEN);
  if (state === 'stopped') connection.stop();
  else await socket.hears('disconnect', 'io server disconnect');
  expect(connection.state).toBe(state);
  expect(names()).toEqual([]);
});

test('in none mode only those who are watched are known, and by the names that were given', async () => {
  const { socket, presence, names, joins } = harness('none');
  await joins();
  socket.replies.watch_users = () => ({
    ok: true,
    users: [
      { id: BEN.id, isOnline: true },
      { id: CAT.id, isOnline: false },
    ],
  });
  await presence.watch([BEN, CAT]);
  expect(socket.all('watch_users')).toEqual([{ ids: [BEN.id, CAT.id] }]);
  expect(names()).toEqual(['ben']);
  await socket.says('presence_delta', { online: [CAT], offline: [BEN.id] });
  expect(names()).toEqual(['cat']);
});

test('in none mode the watch is set again after an interruption, also one that failed', async () => {
  const { socket, presence, names, joins } = harness('none');
  await expect(presence.watch([BEN])).rejects.toMatchObject({ code: 'offline' });
  socket.replies.watch_users = () => ({ ok: true, users: [{ id: BEN.id, isOnline: true }] });
  await joins();
  expect(socket.all('watch_users')).toEqual([{ ids: [BEN.id] }]);
  expect(names()).toEqual(['ben']);
  await socket.drops();
  await joins();
  expect(socket.all('watch_users')).toHaveLength(2);
});

test('where nobody is watched nothing is asked', async () => {
  const { socket, joins } = harness('none');
  await joins();
  expect(socket.all('watch_users')).toEqual([]);
});

test('only none mode watches', async () => {
  const { socket, presence, joins } = harness('delta');
  await joins(ANN);
  await presence.watch([BEN]);
  expect(socket.all('watch_users')).toEqual([]);
});
