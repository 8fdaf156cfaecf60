import { expect, test } from 'vitest';
import { Connection } from './connection';
import { CallError } from './errors';
import type { Session } from './session';
import { FakeClock, FakeSocket, refusal, silence } from './testing';

const noReply = () => Promise.reject(new Error('operation has timed out'));

function harness(resume: string | null = null) {
  const socket = new FakeSocket();
  const clock = new FakeClock();
  const done: string[] = [];
  const session = {
    user: { id: 'u1', username: 'ann' },
    currentToken: 't',
    isTokenExpired: false,
    on: () => () => {},
    refresh: async () => done.push('refresh'),
    end: (reason: string) => done.push(`end ${reason}`),
    authorized: async (): Promise<unknown> => done.push('me'),
  };
  const connection = new Connection({
    url: '',
    presence: 'delta',
    socket: () => socket,
    session: session as unknown as Session,
    clock,
    resume: () => resume,
  });
  connection.start();
  return { socket, connection, clock, done, session };
}

test('joins as the signed-in user and asks for the call of this page', async () => {
  const { socket } = harness('c1');
  await socket.hears('connect');
  expect(socket.sent).toEqual([['join', { id: 'u1', username: 'ann', presence: 'delta', resume: 'c1' }]]);
});

test('sends nothing before it has joined', async () => {
  const { socket, connection } = harness();
  await expect(connection.request('end_call', { callId: 'c1' })).rejects.toThrow(CallError);
  await socket.hears('join_success', { onlineUsers: [], socketId: 's' });
  await connection.request('end_call', { callId: 'c1' });
  expect(socket.sent.map(([event]) => event)).toEqual(['end_call']);
});

test('a connection refused for an expired token is tried again with a fresh one', async () => {
  const { socket, clock, done } = harness();
  await socket.hears('connect_error', new Error('token_expired'));
  await clock.passes(0);
  expect(done).toEqual(['refresh']);
  expect(socket.connects).toBe(2);
});

test('a connection refused for a revoked session signs out', async () => {
  const { socket, done } = harness();
  await socket.hears('connect_error', new Error('session_revoked'));
  expect(done).toEqual(['end session_revoked']);
  expect(socket.connects).toBe(1);
});

test('does not come back by itself when the server has cut it for cause', async () => {
  const { socket, connection, done } = harness();
  await socket.hears('join_success', { onlineUsers: [], socketId: 's' });
  await socket.isCut();
  expect(done).toEqual(['me']);
  expect(connection.state).toBe('cut');
  expect(socket.connects).toBe(1);
});

test('is not online any more while it asks why the server has cut it', async () => {
  const { socket, connection, session } = harness();
  await socket.hears('join_success', { onlineUsers: [], socketId: 's' });
  session.authorized = silence;
  await socket.isCut();
  expect(connection.state).toBe('reconnecting');
  await expect(connection.request('end_call', { callId: 'c1' })).rejects.toMatchObject({ code: 'offline' });
});

test('comes back when it could not ask why the server has cut it', async () => {
  const { socket, connection, clock, session } = harness();
  await socket.hears('join_success', { onlineUsers: [], socketId: 's' });
  session.authorized = () => Promise.reject(new CallError('network', 'no route'));
  await socket.isCut();
  expect(connection.state).toBe('reconnecting');
  await clock.passes(2_000);
  expect(socket.connects).toBe(2);
});

test('a fresh token that is refused, too, is refreshed at longer and longer intervals', async () => {
  const { socket, clock, done } = harness();
  const refusedAfter = async (wait: number) => {
    const refused = socket.connects;
    await socket.hears('connect_error', new Error('unauthorized'));
    await clock.passes(wait - 1);
    expect(socket.connects).toBe(refused);
    await clock.passes(1);
    expect(socket.connects).toBe(refused + 1);
  };
  await socket.hears('connect_error', new Error('unauthorized'));
  await clock.passes(0);
  expect(socket.connects).toBe(2);
  for (const wait of [2_000, 4_000, 8_000, 16_000, 30_000, 30_000]) await refusedAfter(wait);
  expect(done).toHaveLength(7);
  await socket.hears('join_success', { onlineUsers: [], socketId: 's' });
  await socket.hears('connect_error', new Error('token_expired'));
  await clock.passes(0);
  expect(socket.connects).toBe(9);
});

test('comes back when the server has cut it before it could join', async () => {
  const { socket, connection, clock } = harness();
  await socket.isCut();
  expect(connection.state).toBe('reconnecting');
  await clock.passes(2_000);
  expect(socket.connects).toBe(2);
});

test('a connection that is cut before every join is tried at longer and longer intervals, until one succeeds', async () => {
  const { socket, clock } = harness();
  const cutAndBackAfter = async (wait: number) => {
    const before = socket.connects;
    await socket.isCut();
    await clock.passes(wait - 1);
    expect(socket.connects).toBe(before);
    await clock.passes(1);
    expect(socket.connects).toBe(before + 1);
  };
  for (const wait of [2_000, 4_000, 8_000, 16_000, 30_000, 30_000]) await cutAndBackAfter(wait);
  await socket.hears('join_success', { onlineUsers: [], socketId: 's' });
  await socket.drops();
  await socket.isCut();
  await clock.passes(2_000);
  expect(socket.connects).toBe(8);
});

test('a join that is not acknowledged in time is tried again on another transport, without leaving a call', async () => {
  const { socket, clock } = harness('c1');
  socket.replies.join = noReply;
  socket.connected = true;
  await socket.hears('connect');
  await clock.passes(2_000);
  expect(socket.departures).toBe(0);
  expect(socket.closings).toBe(1);
});

test('a join that succeeds late is not tried again', async () => {
  const { socket, connection, clock } = harness('c1');
  socket.replies.join = noReply;
  socket.connected = true;
  await socket.hears('connect');
  await socket.hears('join_success', { onlineUsers: [], socketId: 's' });
  await clock.passes(60_000);
  expect([socket.closings, socket.departures]).toEqual([0, 0]);
  expect(connection.state).toBe('online');
});

test('a refused join is tried again on a new handshake, for which a reconnection in between will do', async () => {
  const { socket, clock } = harness();
  socket.replies.join = refusal('unavailable');
  socket.connected = true;
  await socket.hears('connect');
  await socket.drops();
  delete socket.replies.join;
  socket.connected = true;
  await socket.hears('connect');
  await clock.passes(60_000);
  expect([socket.closings, socket.departures]).toEqual([0, 0]);
});

test('comes back with a fresh token when the server has cut it for an expired one', async () => {
  const { socket, clock, done, session } = harness();
  session.isTokenExpired = true;
  await socket.isCut();
  await clock.passes(0);
  expect(done).toEqual(['refresh']);
  expect(socket.connects).toBe(2);
});

test('a token that is about to expire is refreshed', async () => {
  const { socket, done } = harness();
  await socket.hears('token_expiring', { expiresInSeconds: 60 });
  expect(done).toEqual(['refresh']);
});
