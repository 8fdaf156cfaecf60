import { expect, test } from 'vitest';
import type { Call } from './call';
import type { ActiveCall } from './protocol';
import { BEN, benAnswers, HELD, openPage, type Page, settle, silence } from './testing';
import { answerTo, describe, type FakePeer } from './testing-peer';

const OFFER = describe('offer', 'ben-session', [
  { mid: '0', kind: 'audio', direction: 'sendrecv', streamId: 'ben-camera' },
]);

const active = (status: ActiveCall['status'], role: ActiveCall['role'] = 'caller'): ActiveCall => ({
  callId: 'c1',
  role,
  peer: BEN,
  callType: 'audio',
  status,
  startTime: 0,
});
const rings = () => ({ ok: true, callId: 'c1', status: 'ringing' });
const ended = (reason: string) => ({ phase: 'ended', reason });

async function dialled(): Promise<{ page: Page; call: Call; peer: FakePeer }> {
  const page = await openPage();
  page.socket.replies.call_user = rings;
  const call = page.client.calls.start(BEN, 'audio');
  await settle();
  const [peer] = page.peers;
  if (peer === undefined) throw new Error('there is no peer connection');
  return { page, call, peer };
}

async function connecting() {
  const dialling = await dialled();
  await benAnswers(dialling.page);
  return dialling;
}

async function connected() {
  const call = await connecting();
  call.peer.becomes('connected');
  await settle();
  return call;
}

async function incoming(page: Page): Promise<Call> {
  await page.socket.says('incoming_call', { callId: 'c1', from: BEN, callType: 'audio', offer: OFFER });
  const call = page.client.calls.current;
  if (call === null) throw new Error('nothing rings');
  return call;
}

test('a call whose acknowledgement is lost with the socket goes on when the server has it', async () => {
  const page = await openPage();
  page.socket.replies.call_user = silence;
  const call = page.client.calls.start(BEN, 'audio');
  await settle();
  page.peers[0]?.gathers({ candidate: 'one' });
  await page.socket.drops();
  expect(call.state.phase).toBe('calling');
  await page.socket.joins(active('ringing'));
  expect(call.state.phase).toBe('ringing');
  expect(page.socket.all('call_user')).toHaveLength(1);
  expect(page.socket.all('ice_candidate')).toHaveLength(1);
});

test('a call that is lost with the socket is dialled again, with the same offer', async () => {
  const page = await openPage();
  page.socket.replies.call_user = silence;
  const call = page.client.calls.start(BEN, 'audio');
  await settle();
  await page.socket.drops();
  page.socket.replies.call_user = rings;
  await page.socket.joins();
  const [first, second] = page.socket.all('call_user');
  expect(second).toEqual(first);
  expect(call.state.phase).toBe('ringing');
});

test('a call that ended while we were away ends here', async () => {
  const { page, call } = await connected();
  await page.socket.drops();
  expect(call.state.phase).toBe('reconnecting');
  await page.socket.joins();
  expect(call.state).toEqual(ended('connection_lost'));
  expect(page.media.live).toEqual([]);
});

test('an answer that is lost with the socket is sent again, and the candidates with it', async () => {
  const page = await openPage();
  const call = await incoming(page);
  page.socket.replies.accept_call = silence;
  page.socket.replies.ice_candidate = silence;
  void call.accept({ video: false });
  await settle();
  page.peers[0]?.gathers({ candidate: 'one' });
  await page.socket.drops();
  page.peers[0]?.gathers({ candidate: 'two' });
  await settle();
  expect(call.state.phase).toBe('accepting');
  delete page.socket.replies.accept_call;
  delete page.socket.replies.ice_candidate;
  await page.socket.joins(active('active', 'callee'));
  const [first, second] = page.socket.all('accept_call');
  expect(second).toEqual(first);
  expect(call.state.phase).toBe('connecting');
  const candidates = page.socket.all('ice_candidate') as { candidate: { candidate: string } }[];
  expect(candidates.map(({ candidate }) => candidate.candidate)).toEqual(['one', 'one', 'two']);
});

test('an answer is sent again when the call still rings, too', async () => {
  const page = await openPage();
  const call = await incoming(page);
  page.socket.replies.accept_call = silence;
  void call.accept({ video: false });
  await settle();
  await page.socket.drops();
  delete page.socket.replies.accept_call;
  await page.socket.joins();
  await incoming(page);
  expect(page.client.calls.current).toBe(call);
  expect(page.socket.all('accept_call')).toHaveLength(2);
  expect(call.state.phase).toBe('connecting');
});

test('a call that was answered while we were away is negotiated by saying the offer again', async () => {
  const { page, call, peer } = await dialled();
  await page.socket.drops();
  await page.socket.joins(active('active'));
  expect(call.state.phase).toBe('connecting');
  expect(page.socket.all('renegotiate')).toEqual([{ callId: 'c1', description: peer.localDescription }]);
  // The server has kept the answer, or the peer gives it anew; whichever is first.
  await benAnswers(page);
  await page.socket.says('renegotiate', {
    callId: 'c1',
    from: BEN.id,
    description: answerTo(peer.localDescription, 'ben-session'),
  });
  expect(peer.signalingState).toBe('stable');
  peer.becomes('connected');
  expect(call.state.phase).toBe('connected');
  expect(page.errors).toEqual([]);
});

test('after an interruption an unanswered offer is said again, and what is sent', async () => {
  const { page, peer } = await connected();
  page.socket.replies.renegotiate = silence;
  peer.onnegotiationneeded?.();
  await settle();
  await page.socket.drops();
  const told = page.socket.all('media_state').length;
  await page.socket.joins(active('active'));
  const [first, second] = page.socket.all('renegotiate');
  expect(second).toEqual(first);
  expect(page.socket.all('media_state')).toHaveLength(told + 1);
});

test('a hang-up that could not be sent is sent at the next join, and the call not offered again', async () => {
  const { page, call } = await connected();
  await page.socket.drops();
  await call.hangUp();
  expect(page.socket.all('end_call')).toEqual([]);
  await page.socket.joins(active('active'));
  expect(page.socket.all('end_call')).toEqual([{ callId: 'c1' }]);
  expect(page.elsewhere).toEqual([]);
  expect(page.client.calls.current).toBeNull();
  // Said once.
  await page.socket.drops();
  await page.socket.joins(active('active'));
  expect(page.socket.all('end_call')).toHaveLength(1);
});

test('a call that was declined while offline does not ring again', async () => {
  const page = await openPage();
  const call = await incoming(page);
  await page.socket.drops();
  await call.reject();
  await page.socket.joins();
  await page.socket.says('incoming_call', { callId: 'c1', from: BEN, callType: 'audio', offer: OFFER });
  expect(page.client.calls.current).toBeNull();
  expect(page.socket.all('reject_call')).toEqual([{ callId: 'c1' }]);
});

test('a call that rings here rings again after an interruption', async () => {
  const page = await openPage();
  await incoming(page);
  await page.socket.drops();
  await page.socket.joins();
  const again = await incoming(page);
  expect(again.state.phase).toBe('incoming');
});

test('a peer who drops off and comes back is waited for', async () => {
  const { page, call } = await connected();
  await page.socket.says('peer_reconnecting', { callId: 'c1' });
  expect(call.state.phase).toBe('reconnecting');
  await page.clock.passes(29_000);
  await page.socket.says('peer_reconnected', { callId: 'c1' });
  await page.clock.passes(29_000);
  expect(call.state.phase).toBe('connected');
});

test('a link that is gone for 30 seconds ends the call, at the server too', async () => {
  const { page, call, peer } = await connected();
  peer.becomes('disconnected');
  await page.clock.passes(29_999);
  expect(call.state.phase).toBe('reconnecting');
  await page.clock.passes(1);
  expect(call.state).toEqual(ended('connection_lost'));
  expect(page.socket.all('end_call')).toEqual([{ callId: 'c1' }]);
});

test('a call whose media never comes up ends after 30 seconds, counted once', async () => {
  const { page, call, peer } = await connecting();
  await page.clock.passes(20_000);
  peer.becomes('failed');
  await settle();
  await page.clock.passes(9_999);
  expect(call.state.phase).toBe('reconnecting');
  await page.clock.passes(1);
  expect(call.state).toEqual(ended('connection_lost'));
  expect(page.errors).toEqual([]);
});

test('a call that connects late stays', async () => {
  const { page, call, peer } = await connecting();
  await page.clock.passes(20_000);
  peer.becomes('failed');
  await settle();
  peer.becomes('connected');
  await page.clock.passes(60_000);
  expect(call.state.phase).toBe('connected');
});

test('a lost link is restarted when the peer is back, who did not hear of it', async () => {
  const { page, peer } = await connected();
  await page.socket.says('peer_reconnecting', { callId: 'c1' });
  peer.becomes('disconnected');
  const told = page.socket.all('media_state').length;
  await page.socket.says('peer_reconnected', { callId: 'c1' });
  expect(peer.restarts).toBe(1);
  expect(page.socket.all('media_state')).toHaveLength(told + 1);
});

test('a resumed call that the peer never answers ends after 30 seconds', async () => {
  const page = await openPage({ held: HELD, activeCall: active('active') });
  const call = page.client.calls.current;
  await page.clock.passes(30_000);
  expect(call?.state).toEqual(ended('connection_lost'));
});

test('a TURN server’s refusal is told when it was the end of the call', async () => {
  const { page, peer } = await connecting();
  peer.onicecandidateerror?.({ errorCode: 401 });
  await page.clock.passes(29_999);
  expect(page.errors).toEqual([]);
  await page.clock.passes(1);
  expect(page.errors).toEqual(['turn_refused']);
});

test('a TURN server’s refusal is told to the one who gave up second, too', async () => {
  const { page, call, peer } = await connecting();
  peer.onicecandidateerror?.({ errorCode: 401 });
  await page.clock.passes(29_999);
  await page.socket.says('call_ended', { callId: 'c1', reason: 'hangup' });
  expect(page.errors).toEqual(['turn_refused']);
  expect(call.state).toEqual(ended('connection_lost'));
});

test.each<[string, (peer: FakePeer) => void]>([
  ['connects all the same', (peer) => peer.becomes('connected')],
  ['another TURN server serves us', (peer) => peer.gathers({ candidate: 'r', type: 'relay' })],
])('a TURN server’s refusal is not told when the call %s', async (_, saves) => {
  const { page, call, peer } = await connecting();
  peer.onicecandidateerror?.({ errorCode: 441 });
  saves(peer);
  await page.socket.says('peer_reconnecting', { callId: 'c1' });
  await page.clock.passes(30_000);
  expect(call.state).toEqual(ended('connection_lost'));
  expect(page.errors).toEqual([]);
});

test('a TURN server that cannot be reached is no refusal', async () => {
  const { page, peer } = await connecting();
  peer.onicecandidateerror?.({ errorCode: 701 });
  await page.clock.passes(30_000);
  expect(page.errors).toEqual([]);
});

test('a failed link restarts ICE at once, an interrupted one after a while', async () => {
  const { page, peer } = await connected();
  peer.becomes('disconnected');
  await page.clock.passes(3_999);
  expect(peer.restarts).toBe(0);
  await page.clock.passes(1);
  expect(peer.restarts).toBe(1);
  peer.becomes('failed');
  await settle();
  expect(peer.restarts).toBe(2);
});

test('a link that mends itself is left alone', async () => {
  const { page, call, peer } = await connected();
  const told = page.socket.sent.length;
  peer.becomes('disconnected');
  await page.clock.passes(3_000);
  peer.becomes('connected');
  await page.clock.passes(60_000);
  expect(peer.restarts).toBe(0);
  expect(page.socket.sent).toHaveLength(told);
  expect(call.state.phase).toBe('connected');
});

test('the answering side restarts later, so that two restarts seldom cross', async () => {
  const page = await openPage();
  const call = await incoming(page);
  await call.accept({ video: false });
  const [peer] = page.peers;
  peer?.becomes('connected');
  peer?.becomes('disconnected');
  await page.clock.passes(5_999);
  expect(peer?.restarts).toBe(0);
  await page.clock.passes(1);
  expect(peer?.restarts).toBe(1);
});

test('a lost link is restarted when our socket is back, not before', async () => {
  const { page, peer } = await connected();
  await page.socket.drops();
  peer.becomes('failed');
  await settle();
  expect(peer.restarts).toBe(0);
  await page.socket.joins(active('active'));
  expect(peer.restarts).toBe(1);
});

test('renewed TURN credentials reach the peer connection, and those that replace it', async () => {
  let fetched = 0;
  const page = await openPage({
    fetch: async () => {
      fetched += 1;
      const body = { iceServers: [{ urls: `turn:${fetched}` }], ttl: 100 };
      return new Response(JSON.stringify(body));
    },
  });
  page.socket.replies.call_user = rings;
  page.client.calls.start(BEN, 'audio');
  await settle();
  await benAnswers(page);
  page.peers[0]?.becomes('connected');
  await page.clock.passes(80_000);
  expect(page.peers[0]?.configurations.at(-1)).toEqual({ iceServers: [{ urls: 'turn:2' }] });
  const reloaded = { ...OFFER, sdp: OFFER.sdp.replace('ben-session', 'ben-anew') };
  await page.socket.says('renegotiate', { callId: 'c1', from: BEN.id, description: reloaded });
  expect(page.peers[1]?.configurations).toEqual([{ iceServers: [{ urls: 'turn:2' }] }]);
  await page.client.calls.current?.hangUp();
  await page.clock.passes(500_000);
  expect(fetched).toBe(2);
});

test('signing out ends the call', async () => {
  const { page, call } = await connected();
  page.client.session.end('logout');
  expect(call.state.phase).toBe('ended');
  expect(page.media.live).toEqual([]);
});

test('a call that rings at the peer is given up when the server stays away, and the server told later', async () => {
  const { page, call } = await dialled();
  await page.socket.drops();
  expect(call.state).toEqual({ phase: 'ringing', server: false });
  await page.clock.passes(29_999);
  expect(call.state.phase).toBe('ringing');
  await page.clock.passes(1);
  expect(call.state).toEqual(ended('connection_lost'));
  expect(page.media.live).toEqual([]);
  await page.socket.joins(active('ringing'));
  expect(page.socket.all('end_call')).toEqual([{ callId: 'c1' }]);
});

test('a call that rings here stops when the server stays away, without being declined', async () => {
  const page = await openPage();
  const call = await incoming(page);
  await page.socket.drops();
  await page.clock.passes(30_000);
  expect(call.state).toEqual(ended('connection_lost'));
  await page.socket.joins();
  expect((await incoming(page)).state.phase).toBe('incoming');
  expect(page.socket.all('end_call')).toEqual([]);
});

test.each(['call_user', 'accept_call'] as const)(
  'a call whose %s was lost is given up when the server stays away, and releases the devices',
  async (lost) => {
    const page = await openPage();
    page.socket.replies[lost] = silence;
    if (lost === 'call_user') page.client.calls.start(BEN, 'audio');
    else void (await incoming(page)).accept({ video: false });
    await settle();
    const call = page.client.calls.current;
    await page.socket.drops();
    await page.clock.passes(30_000);
    expect(call?.state).toEqual(ended('connection_lost'));
    expect(page.media.live).toEqual([]);
  },
);

test('a call that rings is not given up once the server is back', async () => {
  const { page, call } = await dialled();
  await page.socket.drops();
  await page.clock.passes(29_000);
  await page.socket.joins(active('ringing'));
  expect(call.state).toEqual({ phase: 'ringing', server: true });
  await page.clock.passes(29_000);
  expect(call.state.phase).toBe('ringing');
});
