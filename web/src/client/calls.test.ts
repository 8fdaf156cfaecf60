import { expect, test } from 'vitest';
import type { Call } from './call';
import type { ActiveCall, CallType, Description, DialStatus } from './protocol';
import { ANN, BEN, benAnswers, HELD, json, openPage, type Page, refusal, settle, silence } from './testing';
import { answerTo, describe } from './testing-peer';

const OFFER = describe('offer', 'ben-session', [
  { mid: '0', kind: 'audio', direction: 'sendrecv', streamId: 'ben-camera' },
  { mid: '1', kind: 'video', direction: 'sendrecv', streamId: 'ben-camera' },
]);
const RINGS: ActiveCall = {
  callId: 'c1',
  role: 'caller',
  peer: BEN,
  callType: 'video',
  status: 'ringing',
  startTime: 0,
};

const acknowledges =
  (status: DialStatus, callId = 'c1') =>
  () => ({ ok: true, callId, status });

async function dial(page: Page, callType: CallType = 'video'): Promise<Call> {
  const call = page.client.calls.start(BEN, callType);
  await settle();
  return call;
}

async function ringing(): Promise<{ page: Page; call: Call }> {
  const page = await openPage();
  page.socket.replies.call_user = acknowledges('ringing');
  return { page, call: await dial(page) };
}

async function incoming(callType: CallType = 'video'): Promise<{ page: Page; call: Call }> {
  const page = await openPage();
  await page.socket.says('incoming_call', { callId: 'c1', from: BEN, callType, offer: OFFER });
  const call = page.client.calls.current;
  if (call === null) throw new Error('nothing rings');
  return { page, call };
}

const ended = (reason: string) => ({ phase: 'ended', reason });

test('a call is dialled with an offer, rings, is answered, and is connected when media flows', async () => {
  const page = await openPage();
  page.socket.replies.call_user = acknowledges('ringing');
  const phases: string[] = [];
  page.client.calls.on('current', (call) => call?.on('state', ({ phase }) => phases.push(phase)));
  const call = await dial(page);
  const [peer] = page.peers;
  expect(page.socket.all('call_user')).toEqual([
    { to: BEN.id, callType: 'video', offer: peer?.localDescription },
  ]);
  await benAnswers(page);
  await page.clock.passes(5_000);
  peer?.becomes('connected');
  expect([...new Set(phases)]).toEqual(['calling', 'ringing', 'connecting', 'connected']);
  expect(call.connectedAt).toBe(5_000);
  expect(page.media.asked).toEqual(['microphone+camera']);
  expect(page.socket.all('media_state').at(-1)).toEqual({
    callId: 'c1',
    audio: true,
    video: true,
    screen: false,
  });
});

test('an audio call leaves the camera alone', async () => {
  const page = await openPage();
  await dial(page, 'audio');
  expect(page.media.asked).toEqual(['microphone']);
});

test.each(['user_busy', 'user_offline'] as const)('a call ends at once as %s', async (status) => {
  const page = await openPage();
  page.socket.replies.call_user = acknowledges(status);
  const call = await dial(page);
  expect(call.state).toEqual(ended(status));
  expect(page.client.calls.current).toBeNull();
  expect(page.media.live).toEqual([]);
  expect(page.peers[0]?.closed).toBe(true);
});

test('a call that the peer declines ends, and releases the devices', async () => {
  const { page, call } = await ringing();
  await page.socket.says('call_rejected', { callId: 'c1' });
  expect(call.state).toEqual(ended('rejected'));
  expect(page.media.live).toEqual([]);
});

test('events of another call change nothing', async () => {
  const { page, call } = await ringing();
  await page.socket.says('call_ended', { callId: 'other', reason: 'hangup' });
  await page.socket.says('call_rejected', { callId: 'other' });
  await page.socket.says('call_accepted', { callId: 'other', answer: answerTo(null, 'ben-session') });
  page.hearsTab({ type: 'call_taken', callId: 'other' });
  expect(call.state.phase).toBe('ringing');
});

test('a refused call fails with the server’s code', async () => {
  const page = await openPage();
  page.socket.replies.call_user = refusal('rate_limited');
  const call = await dial(page);
  expect(call.state).toEqual(ended('failed'));
  expect(page.errors).toEqual(['rate_limited']);
});

test('nobody is called, and nothing captured, while the socket is away', async () => {
  const page = await openPage();
  await page.socket.drops();
  const call = await dial(page);
  expect(call.state).toEqual(ended('failed'));
  expect(page.errors).toEqual(['offline']);
  expect(page.media.asked).toEqual([]);
});

test('there is one call at a time', async () => {
  const { page } = await ringing();
  expect(() => page.client.calls.start(BEN, 'audio')).toThrow(
    expect.objectContaining({ code: 'invalid_state' }),
  );
});

test('candidates wait for the call’s id, then go in order', async () => {
  const page = await openPage();
  let acknowledge: (reply: unknown) => void = () => {};
  page.socket.replies.call_user = () =>
    new Promise((resolve) => {
      acknowledge = resolve;
    });
  await dial(page);
  page.peers[0]?.gathers({ candidate: 'one' });
  page.peers[0]?.gathers({ candidate: 'two' });
  expect(page.socket.all('ice_candidate')).toEqual([]);
  acknowledge(acknowledges('ringing')());
  await settle();
  page.peers[0]?.gathers({ candidate: 'three' });
  expect(page.socket.all('ice_candidate')).toEqual(
    ['one', 'two', 'three'].map((candidate) => ({ to: BEN.id, callId: 'c1', candidate: { candidate } })),
  );
});

test('a call given up before its acknowledgement is ended when that comes', async () => {
  const page = await openPage();
  let acknowledge: (reply: unknown) => void = () => {};
  page.socket.replies.call_user = () =>
    new Promise((resolve) => {
      acknowledge = resolve;
    });
  const call = await dial(page);
  await call.hangUp();
  expect(call.state).toEqual(ended('cancelled'));
  expect(page.socket.all('end_call')).toEqual([]);
  acknowledge(acknowledges('ringing')());
  await settle();
  expect(page.socket.all('end_call')).toEqual([{ callId: 'c1' }]);
});

test('a call given up while permission is asked for calls nobody and releases what it gets', async () => {
  const page = await openPage();
  let allow = () => {};
  page.media.prompt = () =>
    new Promise((resolve) => {
      allow = resolve;
    });
  const call = await dial(page);
  await call.hangUp();
  allow();
  await settle();
  expect(page.socket.all('call_user')).toEqual([]);
  expect(page.media.captured).toHaveLength(2);
  expect(page.media.live).toEqual([]);
  expect(page.peers).toEqual([]);
});

test('devices that open after the call has failed are released', async () => {
  const page = await openPage({ fetch: async () => json(503, { code: 'unavailable', error: 'busy' }) });
  let allow = () => {};
  page.media.prompt = () =>
    new Promise((resolve) => {
      allow = resolve;
    });
  const call = await dial(page);
  expect(call.state).toEqual(ended('failed'));
  expect(page.errors).toEqual(['unavailable']);
  allow();
  await settle();
  expect(page.media.captured).toHaveLength(2);
  expect(page.media.live).toEqual([]);
});

test('a hang-up says cancelled while it rings, hangup afterwards, and tells the server', async () => {
  const { page, call } = await ringing();
  await call.hangUp();
  expect(call.state).toEqual(ended('cancelled'));
  expect(page.socket.all('end_call')).toEqual([{ callId: 'c1' }]);

  const second = await ringing();
  await benAnswers(second.page);
  await second.call.hangUp();
  expect(second.call.state).toEqual(ended('hangup'));
});

test('a call that rings is accepted with an answer', async () => {
  const { page, call } = await incoming();
  expect(page.media.asked).toEqual([]);
  await call.accept({ video: true });
  expect(page.peers[0]?.remoteDescription).toEqual(OFFER);
  expect(page.socket.all('accept_call')).toEqual([{ callId: 'c1', answer: page.peers[0]?.localDescription }]);
  expect(call.state.phase).toBe('connecting');
  expect(page.media.asked).toEqual(['microphone+camera']);
});

test('a video call is accepted without a picture of one’s own', async () => {
  const { page, call } = await incoming();
  await call.accept({ video: false });
  expect(page.media.asked).toEqual(['microphone']);
  expect(call.local).toMatchObject({ audio: true, video: false });
});

test('candidates that come before the call is accepted are not lost', async () => {
  const { page, call } = await incoming();
  await page.socket.says('ice_candidate', { callId: 'c1', from: BEN.id, candidate: { candidate: 'early' } });
  await call.accept({ video: false });
  expect(page.peers[0]?.candidates).toEqual([{ candidate: 'early' }]);
});

test('a call that rings is rejected without asking for devices', async () => {
  const { page, call } = await incoming();
  await call.reject();
  expect(call.state).toEqual(ended('rejected'));
  expect(page.socket.all('reject_call')).toEqual([{ callId: 'c1' }]);
  expect(page.media.asked).toEqual([]);
});

test.each(['cancelled', 'no_answer', 'answered_elsewhere', 'rejected_elsewhere'] as const)(
  'a call that rings ends by itself as %s',
  async (reason) => {
    const { page, call } = await incoming();
    await page.socket.says('call_ended', { callId: 'c1', reason });
    expect(call.state).toEqual(ended(reason));
  },
);

test('a call that another device answered at the same moment is left to it', async () => {
  const { page, call } = await incoming();
  page.socket.replies.accept_call = refusal('invalid_state');
  await call.accept({ video: false });
  expect(call.state).toEqual(ended('answered_elsewhere'));
  expect(page.socket.all('end_call')).toEqual([]);
  expect(page.media.live).toEqual([]);
});

test('denied devices end the call that needs them, at the peer too', async () => {
  const { page, call } = await incoming();
  page.media.prompt = async () => {
    throw Object.assign(new Error('no'), { name: 'NotAllowedError' });
  };
  await call.accept({ video: true });
  expect(call.state).toEqual(ended('failed'));
  expect(page.socket.all('end_call')).toEqual([{ callId: 'c1' }]);
});

test('calling someone who rings here answers them', async () => {
  const { page, call } = await incoming();
  expect(page.client.calls.start(BEN, 'audio')).toBe(call);
  await settle();
  expect(page.socket.all('call_user')).toEqual([]);
  expect(page.socket.all('accept_call')).toHaveLength(1);
  expect(page.media.asked).toEqual(['microphone']);
});

test.each(['call first', 'word of the glare first'])(
  'when two calls cross the later one answers the earlier: the peer’s %s',
  async (order) => {
    const page = await openPage();
    page.socket.replies.call_user = acknowledges('glare', 'theirs');
    const theirs = { callId: 'theirs', from: BEN, callType: 'video' as const, offer: OFFER };
    const call = page.client.calls.start(BEN, 'video');
    if (order === 'call first') await page.socket.says('incoming_call', theirs);
    else await settle();
    await page.socket.says('call_status', { callId: 'theirs', status: 'glare' });
    if (order !== 'call first') await page.socket.says('incoming_call', theirs);
    expect(page.client.calls.current).toBe(call);
    expect(call.role).toBe('callee');
    expect(page.socket.all('accept_call')).toEqual([
      { callId: 'theirs', answer: page.peers[1]?.localDescription },
    ]);
    expect(page.peers.map(({ closed }) => closed)).toEqual([true, false]);
    expect(call.state.phase).toBe('connecting');
    // The devices are open already.
    expect(page.media.asked).toEqual(['microphone+camera']);
  },
);

test('what is shared already goes into the peer’s call, when that is taken in place of ours', async () => {
  const page = await openPage();
  page.socket.replies.call_user = acknowledges('glare', 'theirs');
  const call = await dial(page);
  await call.shareScreen();
  await page.socket.says('incoming_call', { callId: 'theirs', from: BEN, callType: 'video', offer: OFFER });
  await page.socket.says('call_status', { callId: 'theirs', status: 'glare' });
  expect(page.peers[1]?.sending).toEqual(page.media.live);
  expect(page.media.live.map(({ kind }) => kind)).toEqual(['audio', 'video', 'video']);
});

test('nothing of our own call is said in the peer’s, which took its place', async () => {
  let fetched = 0;
  const page = await openPage({
    fetch: () => {
      fetched += 1;
      return fetched === 1 ? Promise.resolve(json(200, { iceServers: [], ttl: 3600 })) : silence();
    },
  });
  page.socket.replies.call_user = acknowledges('glare', 'theirs');
  await dial(page);
  page.peers[0]?.gathers({ candidate: 'ours' });
  await page.socket.says('incoming_call', { callId: 'theirs', from: BEN, callType: 'video', offer: OFFER });
  await page.socket.says('call_status', { callId: 'theirs', status: 'glare' });
  expect(page.client.calls.current?.state.phase).toBe('accepting');
  await page.socket.drops();
  await page.socket.joins();
  expect(page.socket.all('accept_call')).toEqual([]);
  expect(page.socket.all('ice_candidate')).toEqual([]);
});

test('candidates of our own call do not go into the peer’s', async () => {
  const page = await openPage();
  page.socket.replies.call_user = acknowledges('glare', 'theirs');
  await dial(page);
  page.peers[0]?.gathers({ candidate: 'ours' });
  await page.socket.says('incoming_call', { callId: 'theirs', from: BEN, callType: 'video', offer: OFFER });
  await page.socket.says('call_status', { callId: 'theirs', status: 'glare' });
  page.peers[1]?.gathers({ candidate: 'theirs' });
  expect(page.socket.all('ice_candidate')).toEqual([
    { to: BEN.id, callId: 'theirs', candidate: { candidate: 'theirs' } },
  ]);
});

test('when two calls cross the earlier one goes on', async () => {
  const { page, call } = await ringing();
  await page.socket.says('call_status', { callId: 'c1', status: 'ringing' });
  await benAnswers(page);
  expect(call.role).toBe('caller');
  expect(call.state.phase).toBe('connecting');
  expect(page.peers).toHaveLength(1);
});

test('the peer’s call rings when our own, which crossed it, is given up', async () => {
  const page = await openPage();
  page.media.prompt = silence;
  const call = await dial(page);
  await page.socket.says('incoming_call', { callId: 'theirs', from: BEN, callType: 'video', offer: OFFER });
  expect(page.client.calls.current).toBe(call);
  await call.hangUp();
  expect(page.client.calls.current).toMatchObject({ id: 'theirs', state: { phase: 'incoming' } });
});

test('a call of the peer’s that is over does not ring afterwards', async () => {
  const page = await openPage();
  page.media.prompt = silence;
  const call = await dial(page);
  await page.socket.says('incoming_call', { callId: 'theirs', from: BEN, callType: 'video', offer: OFFER });
  await page.socket.says('call_ended', { callId: 'theirs', reason: 'cancelled' });
  await call.hangUp();
  expect(page.client.calls.current).toBeNull();
});

test('a page remembers the call that it is in, not one that rings, and forgets it at the end', async () => {
  const { page, call } = await incoming();
  expect(page.tab.held).toBeNull();
  await call.accept({ video: false });
  expect(page.tab.held).toEqual({
    callId: 'c1',
    peerSession: 'ben-session',
    wanted: { audio: true, video: false },
    connectedAt: null,
  });
  call.setMicrophone(false);
  expect(page.tab.held?.wanted).toEqual({ audio: false, video: false });
  expect(page.client.calls.resumable).toBe('c1');
  await page.socket.says('call_ended', { callId: 'c1', reason: 'hangup' });
  expect(page.tab.held).toBeNull();
});

test('a reloaded page asks for its call at the join, and goes on with a new offer', async () => {
  const page = await openPage({
    held: { ...HELD, peerSession: 'ben-session' },
    activeCall: { ...RINGS, status: 'active' },
  });
  expect(page.socket.all('join')).toEqual([{ ...ANN, presence: 'delta', resume: 'c1' }]);
  const call = page.client.calls.current;
  expect(call?.state.phase).toBe('reconnecting');
  expect(page.socket.all('renegotiate')).toEqual([
    { callId: 'c1', description: page.peers[0]?.localDescription },
  ]);
  // What the peer still says to the page before.
  await page.socket.says('renegotiate', { callId: 'c1', from: BEN.id, description: OFFER });
  expect(page.peers[0]?.signalingState).toBe('have-local-offer');
  const answer = describe('answer', 'ben-anew');
  await page.socket.says('renegotiate', { callId: 'c1', from: BEN.id, description: answer });
  page.peers[0]?.becomes('connected');
  expect(call?.state.phase).toBe('connected');
  expect(page.posted).toEqual([{ type: 'call_taken', callId: 'c1' }]);
});

test('a page that was reloaded while it rang captures when the peer answers, and offers anew', async () => {
  const page = await openPage({ held: HELD, activeCall: RINGS });
  expect(page.client.calls.current?.state.phase).toBe('ringing');
  expect(page.media.asked).toEqual([]);
  await benAnswers(page);
  expect(page.media.asked).toEqual(['microphone+camera']);
  expect(page.peers[0]?.remoteDescription).toBeNull();
  expect(page.socket.all('renegotiate')).toEqual([
    { callId: 'c1', description: page.peers[0]?.localDescription },
  ]);
});

test('a reloaded page sends no more than the page before', async () => {
  const page = await openPage({
    held: { ...HELD, wanted: { audio: false, video: false } },
    activeCall: { ...RINGS, status: 'active' },
  });
  expect(page.media.asked).toEqual(['microphone']);
  expect(page.client.calls.current?.local).toMatchObject({ audio: false, video: false });
  expect(page.tab.held?.wanted).toEqual({ audio: false, video: false });
});

test('two pages reloaded at once: the callee answers the offer that came while it was still getting ready', async () => {
  let serve = (_: Response) => {};
  const page = await openPage({
    held: { ...HELD, peerSession: 'ben-session' },
    activeCall: { ...RINGS, role: 'callee', status: 'active' },
    fetch: () => new Promise((resolve) => (serve = resolve)),
  });
  await page.socket.says('renegotiate', {
    callId: 'c1',
    from: BEN.id,
    description: describe('offer', 'ben-anew'),
  });
  serve(json(200, { iceServers: [], ttl: 3600 }));
  await settle();
  const said = page.socket.all('renegotiate') as { description: Description }[];
  expect(said.map(({ description }) => description.type)).toEqual(['offer', 'answer']);
  expect(page.peers.at(-1)?.signalingState).toBe('stable');
});

test('the answer to the page before is not given to the new peer connection', async () => {
  const page = await openPage({
    held: HELD,
    activeCall: { ...RINGS, status: 'active' },
  });
  await benAnswers(page);
  expect(page.peers).toHaveLength(1);
  expect(page.peers[0]?.remoteDescription).toBeNull();
  expect(page.socket.all('renegotiate')).toHaveLength(1);
});

test('a page that has no call left forgets it', async () => {
  const page = await openPage({ held: HELD });
  expect(page.client.calls.current).toBeNull();
  expect(page.tab.held).toBeNull();
});

test('a call that this page did not hold is offered, and continued only on demand', async () => {
  const active: ActiveCall = { ...RINGS, status: 'active' };
  const page = await openPage({ activeCall: active });
  expect(page.elsewhere).toEqual([active]);
  expect(page.client.calls.current).toBeNull();
  const call = page.client.calls.takeOver(active);
  await settle();
  expect(page.posted).toEqual([{ type: 'call_taken', callId: 'c1' }]);
  expect(page.client.calls.current).toBe(call);
  // Nobody has asked for the camera in this page.
  expect(page.media.asked).toEqual(['microphone']);
  expect(page.socket.all('renegotiate')).toHaveLength(1);
});

test('a call of another page is ended from here', async () => {
  const active: ActiveCall = { ...RINGS, status: 'active' };
  const page = await openPage({ activeCall: active });
  await page.client.calls.endElsewhere(active);
  expect(page.socket.all('end_call')).toEqual([{ callId: 'c1' }]);
  page.socket.replies.end_call = refusal('not_found');
  await page.client.calls.endElsewhere(active);
  page.socket.replies.end_call = refusal('rate_limited');
  await expect(page.client.calls.endElsewhere(active)).rejects.toMatchObject({ code: 'rate_limited' });
});

test('a call that another tab takes over ends here without a word to the server', async () => {
  const { page, call } = await ringing();
  page.hearsTab({ type: 'call_taken', callId: 'c1' });
  expect(call.state).toEqual(ended('moved'));
  expect(page.socket.all('end_call')).toEqual([]);
  expect(page.media.live).toEqual([]);
});

// The server says the one to a device that has no part in the call, the other when the call is long over.
test.each(['invalid_state', 'not_found'])(
  'a call that the server does not count as ours any more (%s) has moved',
  async (code) => {
    const { page, call } = await ringing();
    await benAnswers(page);
    page.socket.replies.media_state = refusal(code);
    call.setMicrophone(false);
    await settle();
    expect(call.state).toEqual(ended('moved'));
    expect(page.errors).toEqual([]);
  },
);

test('a refusal of what was said just before the call ended is no news', async () => {
  const { page, call } = await ringing();
  await benAnswers(page);
  let refuse = (_: unknown) => {};
  page.socket.replies.media_state = () => new Promise((resolve) => (refuse = resolve));
  call.setMicrophone(false);
  await page.socket.says('call_ended', { callId: 'c1', reason: 'hangup' });
  refuse(refusal('rate_limited')());
  await settle();
  expect(call.state).toEqual(ended('hangup'));
  expect(page.errors).toEqual([]);
});

test.each(['invalid_state', 'not_found'])(
  'a call that is declined as it ends (%s) was declined, and is not declined again',
  async (code) => {
    const { page, call } = await incoming();
    page.socket.replies.reject_call = refusal(code);
    await call.reject();
    expect(page.errors).toEqual([]);
    expect(call.state).toEqual(ended('rejected'));
    await page.socket.says('incoming_call', { callId: 'c1', from: BEN, callType: 'video', offer: OFFER });
    expect(page.socket.all('reject_call')).toHaveLength(1);
  },
);

async function dialTimesOut(): Promise<Page> {
  const page = await openPage();
  page.socket.replies.call_user = () => Promise.reject(new Error('operation has timed out'));
  const call = await dial(page);
  expect(call.state).toEqual(ended('failed'));
  expect(page.socket.all('end_call')).toEqual([]);
  return page;
}

test('a call that rings or is answered after we gave up waiting for its id is ended', async () => {
  const rings = await dialTimesOut();
  await rings.socket.says('call_status', { callId: 'late', status: 'ringing' });
  expect(rings.socket.all('end_call')).toEqual([{ callId: 'late' }]);

  const answered = await dialTimesOut();
  await answered.socket.says('call_accepted', { callId: 'late', answer: describe('answer', 'ben-session') });
  expect(answered.socket.all('end_call')).toEqual([{ callId: 'late' }]);
});

test('a call that turns up at the next join, after we gave up waiting for its id, is ended', async () => {
  const page = await dialTimesOut();
  await page.socket.drops();
  await page.socket.joins({ ...RINGS, callId: 'late' });
  expect(page.socket.all('end_call')).toEqual([{ callId: 'late' }]);
  expect(page.elsewhere).toEqual([]);
});

test('a call of another page is not taken for one that we gave up', async () => {
  const page = await dialTimesOut();
  await page.socket.drops();
  await page.socket.joins();
  await page.socket.says('call_accepted', { callId: 'other', answer: describe('answer', 'ben-session') });

  const refused = await openPage();
  refused.socket.replies.call_user = refusal('rate_limited');
  await dial(refused);
  await refused.socket.says('call_accepted', { callId: 'other', answer: describe('answer', 'ben-session') });
  expect([page, refused].map(({ socket }) => socket.all('end_call'))).toEqual([[], []]);
});

test('a reloaded page counts the time of the call from its beginning', async () => {
  const { page } = await ringing();
  await benAnswers(page);
  await page.clock.passes(5_000);
  page.peers[0]?.becomes('connected');
  expect(page.tab.held?.connectedAt).toBe(5_000);
  const reloaded = await openPage({
    ...(page.tab.held === null ? {} : { held: page.tab.held }),
    activeCall: { ...RINGS, status: 'active' },
  });
  await reloaded.clock.passes(9_000);
  reloaded.peers[0]?.becomes('connected');
  expect(reloaded.client.calls.current?.connectedAt).toBe(5_000);
});
