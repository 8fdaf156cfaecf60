import { expect, test } from 'vitest';
import type { Call } from './call';
import { CallError } from './errors';
import type { ActiveCall, CallType, Description } from './protocol';
import { ANN, BEN, HELD, openPage, type Page, settle } from './testing';
import { describe, type FakePeer, type FakeTrack, mediaOf } from './testing-peer';
import { connect, exchange } from './testing-server';

const ACTIVE: ActiveCall = {
  callId: 'c1',
  role: 'caller',
  peer: BEN,
  callType: 'video',
  status: 'active',
  startTime: 0,
};

interface Side {
  readonly page: Page;
  readonly call: Call;
  readonly peer: FakePeer;
}

function side(page: Page): Side {
  const call = page.client.calls.current;
  const peer = page.peers.at(-1);
  if (call === null || peer === undefined) throw new Error('there is no call');
  return { page, call, peer };
}

/** Ann has called Ben, and they talk. */
async function talk(callType: CallType = 'video', benShows = true): Promise<{ ann: Side; ben: Side }> {
  const [annPage, benPage] = [await openPage({ user: ANN }), await openPage({ user: BEN })];
  connect([annPage, ANN], [benPage, BEN]);
  annPage.client.calls.start(BEN, callType);
  await exchange();
  await benPage.client.calls.current?.accept({ video: benShows && callType === 'video' });
  await exchange();
  const [ann, ben] = [side(annPage), side(benPage)];
  for (const { peer } of [ann, ben]) peer.becomes('connected');
  await exchange();
  return { ann, ben };
}

const kinds = (stream: MediaStream | null) => stream?.getTracks().map(({ kind }) => kind) ?? null;
const tracks = (stream: MediaStream | null) => stream?.getTracks() as unknown as FakeTrack[];
const told = ({ page }: Side) => page.socket.all('media_state').at(-1);
const said = ({ page }: Side) => page.socket.all('renegotiate') as { description: Description }[];

test('the peer’s microphone and camera come in one stream', async () => {
  const { ann, ben } = await talk();
  expect(kinds(ben.call.remoteStream)).toEqual(['audio', 'video']);
  expect(kinds(ann.call.remoteStream)).toEqual(['audio', 'video']);
  expect([ann.call.remoteScreen, ben.call.remoteScreen]).toEqual([null, null]);
  expect(said(ann).length + said(ben).length).toBe(0);
});

test('a muted microphone stays captured and sends silence; the peer is told', async () => {
  const { ann, ben } = await talk();
  ann.call.setMicrophone(false);
  await exchange();
  expect(ann.call.local.audio).toBe(false);
  expect(ann.peer.sending.map(({ kind, enabled }) => [kind, enabled])).toEqual([
    ['audio', false],
    ['video', true],
  ]);
  expect(ben.call.remoteMedia).toEqual({ audio: false, video: true, screen: false });
  ann.call.setMicrophone(true);
  await exchange();
  expect(ben.call.remoteMedia.audio).toBe(true);
  expect(ann.peer.sending[0]?.enabled).toBe(true);
});

test('a mute before the microphone is open holds', async () => {
  const page = await openPage();
  const call = page.client.calls.start(BEN, 'audio');
  call.setMicrophone(false);
  await settle();
  expect(page.media.captured[0]?.enabled).toBe(false);
  expect(call.local.audio).toBe(false);
});

test('a camera that is off is released, sends nothing, and needs no negotiation', async () => {
  const { ann, ben } = await talk();
  await ann.call.setCamera(false);
  await exchange();
  expect(ann.page.media.live.map(({ kind }) => kind)).toEqual(['audio']);
  expect(ann.peer.sending.map(({ kind }) => kind)).toEqual(['audio']);
  expect(ann.call.local).toMatchObject({ video: false, preview: null });
  expect(ben.call.remoteMedia.video).toBe(false);
  await ann.call.setCamera(true);
  await exchange();
  expect(ann.peer.sending.map(({ kind }) => kind)).toEqual(['audio', 'video']);
  expect(kinds(ann.call.local.preview)).toEqual(['audio', 'video']);
  expect(ben.call.remoteMedia.video).toBe(true);
  expect(ann.page.media.asked).toEqual(['microphone+camera', 'camera']);
  expect(said(ann)).toEqual([]);
});

test('an audio call gets a picture by a renegotiation, in the microphone’s stream', async () => {
  const { ann, ben } = await talk('audio');
  expect(ben.call.remoteMedia.video).toBe(false);
  await ben.call.setCamera(true);
  await exchange();
  expect(kinds(ann.call.remoteStream)).toEqual(['audio', 'video']);
  expect(ann.call.remoteScreen).toBeNull();
  expect(ann.call.remoteMedia.video).toBe(true);
  expect(said(ben).map(({ description }) => mediaOf(description))).toEqual([
    ['audio sendrecv', 'video sendrecv'],
  ]);
});

test.each([true, false])(
  'a camera that is switched while the devices open is as it was asked for (on: %s)',
  async (on) => {
    const page = await openPage();
    page.socket.replies.call_user = () => ({ ok: true, callId: 'c1', status: 'ringing' });
    let allow = () => {};
    page.media.prompt = () =>
      new Promise((resolve) => {
        allow = resolve;
      });
    const call = page.client.calls.start(BEN, on ? 'audio' : 'video');
    await settle();
    await call.setCamera(on);
    page.media.prompt = async () => {};
    allow();
    await settle();
    expect(call.local.video).toBe(on);
    expect(page.peers[0]?.sending.map(({ kind }) => kind)).toEqual(on ? ['audio', 'video'] : ['audio']);
    expect(page.media.live).toHaveLength(on ? 2 : 1);
  },
);

test('a camera that is switched off while it starts stays off', async () => {
  const { ann } = await talk('audio');
  let allow = () => {};
  ann.page.media.prompt = () =>
    new Promise((resolve) => {
      allow = resolve;
    });
  const starts = ann.call.setCamera(true);
  void ann.call.setCamera(true);
  await ann.call.setCamera(false);
  allow();
  await starts;
  expect(ann.page.media.asked).toEqual(['microphone', 'camera']);
  expect(ann.page.media.live.map(({ kind }) => kind)).toEqual(['audio']);
  expect(ann.call.local.video).toBe(false);
});

test('a camera that is unplugged is off', async () => {
  const { ann, ben } = await talk();
  ann.page.media.live.find(({ kind }) => kind === 'video')?.ends();
  await exchange();
  expect(ann.call.local.video).toBe(false);
  expect(ben.call.remoteMedia.video).toBe(false);
});

test('a denied camera leaves the call as it is, and says so', async () => {
  const { ann } = await talk('audio');
  ann.page.media.prompt = async () => {
    throw new CallError('media_denied', 'no');
  };
  await ann.call.setCamera(true);
  expect(ann.page.errors).toEqual(['media_denied']);
  expect(ann.call.state.phase).toBe('connected');
  expect(ann.call.local.video).toBe(false);
});

test('a screen is shared beside the camera, and goes when sharing stops', async () => {
  const { ann, ben } = await talk();
  const screens: (MediaStream | null)[] = [];
  ben.call.on('remoteScreen', (stream) => screens.push(stream));
  const camera = ben.call.remoteStream;
  await ann.call.shareScreen();
  await exchange();
  expect(ann.call.local).toMatchObject({ video: true, screen: true });
  expect(kinds(ann.call.local.screenPreview)).toEqual(['video']);
  expect(kinds(ben.call.remoteScreen)).toEqual(['video']);
  expect(ben.call.remoteStream).toBe(camera);
  expect(kinds(camera)).toEqual(['audio', 'video']);
  expect(tracks(camera)).not.toContain(tracks(ben.call.remoteScreen)[0]);
  expect(ben.call.remoteMedia).toEqual({ audio: true, video: true, screen: true });
  await ann.call.stopSharing();
  await exchange();
  expect(ben.call.remoteScreen).toBeNull();
  expect(kinds(ben.call.remoteStream)).toEqual(['audio', 'video']);
  expect(ben.call.remoteMedia.screen).toBe(false);
  expect(ann.call.local.screenPreview).toBeNull();
  expect(ann.page.media.live).toHaveLength(2);
  expect(screens).toEqual([expect.anything(), null]);
});

test('sharing with the camera off sends the screen alone, and nothing afterwards', async () => {
  const { ann, ben } = await talk();
  await ann.call.setCamera(false);
  await ann.call.shareScreen();
  await exchange();
  expect(told(ann)).toMatchObject({ video: false, screen: true });
  expect(ann.peer.sending.map(({ kind }) => kind)).toEqual(['audio', 'video']);
  await ann.call.stopSharing();
  await exchange();
  expect(ann.peer.sending.map(({ kind }) => kind)).toEqual(['audio']);
  expect(told(ann)).toMatchObject({ video: false, screen: false });
  expect(ben.call.remoteScreen).toBeNull();
});

test('a screen is told from a camera that comes after it', async () => {
  const { ann, ben } = await talk('video', false);
  await ben.call.shareScreen();
  await exchange();
  expect(kinds(ann.call.remoteStream)).toEqual(['audio']);
  expect(kinds(ann.call.remoteScreen)).toEqual(['video']);
  await ben.call.setCamera(true);
  await exchange();
  expect(kinds(ann.call.remoteStream)).toEqual(['audio', 'video']);
  expect(kinds(ann.call.remoteScreen)).toEqual(['video']);
});

test('sharing again and again takes the same place in the session', async () => {
  const { ann, ben } = await talk();
  for (let round = 0; round < 3; round += 1) {
    await ann.call.shareScreen();
    await exchange();
    expect(kinds(ben.call.remoteScreen)).toEqual(['video']);
    await ann.call.stopSharing();
    await exchange();
    expect(ben.call.remoteScreen).toBeNull();
  }
  expect(mediaOf(said(ann).at(-1)?.description ?? { type: 'offer', sdp: '' })).toHaveLength(3);
});

test('sharing that stops before it was negotiated gives its place to the camera, which can share again', async () => {
  const { ann, ben } = await talk('audio');
  const share = ann.call.shareScreen();
  await share;
  await ann.call.stopSharing();
  await ann.call.setCamera(true);
  await exchange();
  expect(kinds(ben.call.remoteStream)).toEqual(['audio', 'video']);
  await ann.call.shareScreen();
  await exchange();
  expect(kinds(ben.call.remoteStream)).toEqual(['audio', 'video']);
  expect(kinds(ben.call.remoteScreen)).toEqual(['video']);
  expect(ann.peer.sending.map(({ kind }) => kind)).toEqual(['audio', 'video', 'video']);
});

test('the browser’s own way to stop sharing is heard', async () => {
  const { ann, ben } = await talk();
  await ann.call.shareScreen();
  await exchange();
  ann.page.media.captured.at(-1)?.ends();
  await exchange();
  expect(ann.call.local.screen).toBe(false);
  expect(ben.call.remoteScreen).toBeNull();
});

test('one choice of a screen is asked for at a time, and declining it is no failure of the call', async () => {
  const { ann } = await talk();
  let decline = () => {};
  ann.page.media.prompt = () =>
    new Promise((_, reject) => {
      decline = () => reject(new CallError('screen_not_shared', 'no'));
    });
  const first = ann.call.shareScreen();
  await ann.call.shareScreen();
  decline();
  await first;
  expect(ann.page.media.asked.filter((what) => what === 'screen')).toHaveLength(1);
  expect(ann.page.errors).toEqual(['screen_not_shared']);
  expect(ann.call.state.phase).toBe('connected');
});

test('a screen that is chosen after the call has ended is released', async () => {
  const { ann } = await talk();
  let choose = () => {};
  ann.page.media.prompt = () =>
    new Promise((resolve) => {
      choose = resolve;
    });
  const share = ann.call.shareScreen();
  await ann.call.hangUp();
  choose();
  await share;
  expect(ann.page.media.live).toEqual([]);
});

test('both share at the same moment: the offers cross, and both see both', async () => {
  const { ann, ben } = await talk();
  await Promise.all([ann.call.shareScreen(), ben.call.shareScreen()]);
  await exchange();
  const firsts = [ann, ben].map((one) => said(one)[0]?.description.type);
  expect(firsts).toEqual(['offer', 'offer']);
  for (const { call } of [ann, ben]) {
    expect(kinds(call.remoteStream)).toEqual(['audio', 'video']);
    expect(kinds(call.remoteScreen)).toEqual(['video']);
  }
  await Promise.all([ann.call.stopSharing(), ben.call.stopSharing()]);
  await exchange();
  for (const { call, page } of [ann, ben]) {
    expect(call.remoteScreen).toBeNull();
    expect(page.peers.at(-1)?.signalingState).toBe('stable');
  }
});

test('a peer who shares and reloads: its screen goes, ours comes to the new page', async () => {
  const { ann, ben } = await talk();
  for (const { call } of [ann, ben]) {
    await call.shareScreen();
    await exchange();
  }
  const reloaded = await openPage({
    user: BEN,
    held: { ...HELD, peerSession: ben.call.peerSession },
    activeCall: { ...ACTIVE, role: 'callee', peer: ANN },
  });
  connect([ann.page, ANN], [reloaded, BEN]);
  // What the page said before it was connected to Ann's.
  const [offer] = reloaded.socket.all('renegotiate') as { description: Description }[];
  if (offer === undefined) throw new Error('the page offered nothing');
  await ann.page.socket.says('renegotiate', { callId: 'c1', from: BEN.id, description: offer.description });
  await exchange();
  expect(ann.page.peers).toHaveLength(2);
  expect(kinds(ann.call.remoteStream)).toEqual(['audio', 'video']);
  expect(ann.call.remoteScreen).toBeNull();
  const call = reloaded.client.calls.current;
  expect(kinds(call?.remoteStream ?? null)).toEqual(['audio', 'video']);
  expect(kinds(call?.remoteScreen ?? null)).toEqual(['video']);
});

test('an ICE restart leaves the screen where it is', async () => {
  const { ann, ben } = await talk();
  await ann.call.shareScreen();
  await exchange();
  const [camera, screen] = [ben.call.remoteStream, ben.call.remoteScreen];
  ann.peer.becomes('failed');
  await exchange();
  expect(said(ann).at(-1)?.description.type).toBe('offer');
  expect(ann.peer.signalingState).toBe('stable');
  expect(ben.call.remoteStream).toBe(camera);
  expect(ben.call.remoteScreen).toBe(screen);
  expect(kinds(screen)).toEqual(['video']);
});

test.each([
  ['-', '-'],
  ['-', 'camera'],
  ['microphone', '-'],
])(
  'the picture of a client that names streams not at all, or not all of them, is its camera’s',
  async (...streams) => {
    const page = await openPage();
    const [audio, video] = streams;
    const offer = describe('offer', 'theirs', [
      { mid: '0', kind: 'audio', direction: 'sendrecv', streamId: audio },
      { mid: '1', kind: 'video', direction: 'sendrecv', streamId: video },
    ]);
    await page.socket.says('incoming_call', { callId: 'c1', from: BEN, callType: 'video', offer });
    await page.client.calls.current?.accept({ video: false });
    expect(kinds(page.client.calls.current?.remoteStream ?? null)).toEqual(['audio', 'video']);
    expect(page.client.calls.current?.remoteScreen).toBeNull();
  },
);

test('the end of the call releases microphone, camera and screen', async () => {
  const { ann, ben } = await talk();
  await ann.call.shareScreen();
  await exchange();
  await ben.call.hangUp();
  await exchange();
  expect(ann.call.state).toEqual({ phase: 'ended', reason: 'hangup' });
  expect([...ann.page.media.live, ...ben.page.media.live]).toEqual([]);
  expect([ann.peer.closed, ben.peer.closed]).toEqual([true, true]);
});

test('what the peer sends is known from what it says', async () => {
  const { ann } = await talk();
  const heard: unknown[] = [];
  ann.call.on('remoteMedia', (state) => heard.push(state));
  await ann.page.socket.says('media_state', { callId: 'c1', from: BEN.id, audio: true, video: false });
  expect(heard).toEqual([{ audio: true, video: false, screen: false }]);
});

/** Another program has the camera. */
const cameraFails = (page: Page) => {
  page.media.prompt = async (asked) => {
    if (asked.includes('camera')) throw new CallError('media_in_use', 'no');
  };
};

test('a camera that cannot be switched on is not asked for by the next page', async () => {
  const { ann } = await talk('audio');
  cameraFails(ann.page);
  await ann.call.setCamera(true);
  ann.call.setMicrophone(false);
  expect(ann.page.errors).toEqual(['media_in_use']);
  expect(ann.page.tab.held?.wanted).toEqual({ audio: false, video: false });
  expect(ann.call.state.phase).toBe('connected');
});

test('a camera that fails as we answer, or in a page loaded anew, costs the picture and not the call', async () => {
  const rung = await openPage();
  cameraFails(rung);
  const offer = describe('offer', 'theirs');
  await rung.socket.says('incoming_call', { callId: 'c1', from: BEN, callType: 'video', offer });
  await rung.client.calls.current?.accept({ video: true });
  expect(rung.socket.all('accept_call')).toHaveLength(1);

  const reloaded = await openPage({ held: HELD, prompt: rung.media.prompt, activeCall: ACTIVE });
  expect(reloaded.socket.all('renegotiate')).toHaveLength(1);

  for (const page of [rung, reloaded]) {
    expect(page.media.asked).toEqual(['microphone+camera', 'microphone']);
    expect(page.errors).toEqual(['media_in_use']);
    expect(page.client.calls.current?.local).toMatchObject({ audio: true, video: false });
    expect(page.tab.held?.wanted.video).toBe(false);
  }
});

test('a camera that fails as we call is what the call fails for', async () => {
  const page = await openPage();
  cameraFails(page);
  const call = page.client.calls.start(BEN, 'video');
  await settle();
  expect(call.state).toEqual({ phase: 'ended', reason: 'failed' });
  expect(page.media.asked).toEqual(['microphone+camera']);
});

test('a camera that is switched on while the devices open, and fails, does not cost the call', async () => {
  const page = await openPage();
  let allow = () => {};
  page.media.prompt = () =>
    new Promise((resolve) => {
      allow = resolve;
    });
  const call = page.client.calls.start(BEN, 'audio');
  await settle();
  await call.setCamera(true);
  cameraFails(page);
  allow();
  await settle();
  expect(page.errors).toEqual(['media_in_use']);
  expect(page.socket.all('call_user')).toHaveLength(1);
});

test('a microphone that is pulled out is replaced by another, muted if it was', async () => {
  const { ann, ben } = await talk('audio');
  ann.call.setMicrophone(false);
  ann.page.media.captured[0]?.ends();
  await exchange();
  expect(ann.page.media.live.map(({ kind, enabled }) => [kind, enabled])).toEqual([['audio', false]]);
  expect(ann.peer.sending).toEqual(ann.page.media.live);
  ann.call.setMicrophone(true);
  await exchange();
  expect(ann.peer.sending.map(({ enabled }) => enabled)).toEqual([true]);
  expect(ben.call.remoteMedia.audio).toBe(true);
  expect(said(ann)).toEqual([]);
  expect(ann.page.errors).toEqual([]);
});

test('a microphone that is pulled out, and there is no other, is off and said to be; unmuting tries again', async () => {
  const { ann, ben } = await talk();
  ann.page.media.prompt = () => Promise.reject(new CallError('microphone_not_found', 'no'));
  tracks(ann.call.local.preview)[0]?.ends();
  await exchange();
  expect(ann.page.errors).toEqual(['microphone_not_found']);
  expect(ann.call.local).toMatchObject({ audio: false, video: true });
  expect(ben.call.remoteMedia).toMatchObject({ audio: false, video: true });
  expect(ann.page.tab.held?.wanted).toEqual({ audio: false, video: true });
  ann.page.media.prompt = async () => {};
  ann.call.setMicrophone(true);
  await exchange();
  expect(ben.call.remoteMedia.audio).toBe(true);
  expect(ann.peer.sending.map(({ kind, readyState }) => [kind, readyState])).toEqual([
    ['audio', 'live'],
    ['video', 'live'],
  ]);
});

test('a microphone that comes after the call has ended is released', async () => {
  const { ann } = await talk('audio');
  let allow = () => {};
  ann.page.media.prompt = () =>
    new Promise((resolve) => {
      allow = resolve;
    });
  ann.page.media.captured[0]?.ends();
  await ann.call.hangUp();
  allow();
  await exchange();
  expect(ann.page.media.asked).toEqual(['microphone', 'microphone']);
  expect(ann.page.media.live).toEqual([]);
});
