import { expect, test } from 'vitest';
import { Negotiator, type Predecessor } from './negotiator';
import type { Description } from './protocol';
import { sdpSession } from './sdp';
import { settle } from './testing';
import { answerTo, describe, FakePeer, FakeStream, FakeTrack, mediaOf } from './testing-peer';
import { exchange } from './testing-server';

function open(polite: boolean, predecessor?: Predecessor) {
  const peers: FakePeer[] = [];
  const sent: Description[] = [];
  const negotiator = new Negotiator({
    polite,
    ...(predecessor === undefined ? {} : { predecessor }),
    create: () => {
      const peer = new FakePeer();
      peers.push(peer);
      return peer as unknown as RTCPeerConnection;
    },
  });
  negotiator.on('description', (sentOne) => sent.push(sentOne));
  return { negotiator, peers, sent };
}

async function established(polite: boolean) {
  const opened = open(polite);
  await opened.negotiator.offer();
  await opened.negotiator.accepted(describe('answer', 'theirs'));
  opened.negotiator.goLive();
  return opened;
}

test('candidates wait for the remote description, and the second copy is dropped', async () => {
  const { negotiator, peers } = open(true);
  const candidate = { candidate: 'candidate:1', sdpMid: '0' };
  await negotiator.receiveCandidate(candidate);
  expect(peers[0]?.candidates).toEqual([]);
  await negotiator.answer(describe('offer', 'theirs'));
  await negotiator.receiveCandidate(candidate);
  expect(peers[0]?.candidates).toEqual([candidate]);
});

test('the polite side begins anew when offers cross, and heeds the peer only once that has replaced its own', async () => {
  const { negotiator, peers, sent } = await established(true);
  await negotiator.restartIce();
  await negotiator.receive(describe('offer', 'theirs'));
  expect(peers.map(({ closed }) => closed)).toEqual([true, false]);
  expect(sent.slice(1)).toEqual([peers[1]?.localDescription]);
  await negotiator.receive(describe('answer', 'theirs'));
  await negotiator.receive(describe('offer', 'theirs'));
  expect(peers[1]?.signalingState).toBe('have-local-offer');
  await negotiator.receive(describe('answer', 'replaced'));
  expect(peers).toHaveLength(2);
  expect(peers[1]?.remoteDescription).toEqual(describe('answer', 'replaced'));
});

test('the impolite side ignores an offer that crosses its own, and takes the answer', async () => {
  const { negotiator, peers, sent } = await established(false);
  await negotiator.restartIce();
  await negotiator.receive(describe('offer', 'theirs'));
  await negotiator.receive(describe('answer', 'theirs'));
  expect(sent.map(({ type }) => type)).toEqual(['offer']);
  expect(peers[0]?.signalingState).toBe('stable');
});

test('an offer of a new session replaces the peer connection, whoever is polite', async () => {
  const { negotiator, peers, sent } = await established(false);
  await negotiator.restartIce();
  await negotiator.receive(describe('offer', 'reloaded'));
  expect(peers.map(({ closed }) => closed)).toEqual([true, false]);
  expect(sent.at(-1)).toEqual(describe('answer', peers[1]?.session ?? ''));
});

test('a reloaded page ignores what the connection it left behind is offered', async () => {
  const { negotiator, peers, sent } = open(true, { peerSession: 'theirs' });
  await negotiator.goLiveAfresh();
  await negotiator.receive(describe('offer', 'theirs'));
  expect(sent.map(({ type }) => type)).toEqual(['offer']);
  await negotiator.receive(describe('answer', 'rebuilt'));
  expect(peers[0]?.signalingState).toBe('stable');
});

test('a reloaded page that does not know the connection it left behind takes no offer for its own’s answer', async () => {
  const { negotiator, peers, sent } = open(true, 'unknown');
  await negotiator.goLiveAfresh();
  await negotiator.receive(describe('offer', 'theirs'));
  const offer = peers[0]?.localDescription;
  expect(sent).toEqual([offer, offer]);
  await negotiator.receive(describe('answer', 'rebuilt'));
  await negotiator.receive(describe('offer', 'rebuilt'));
  expect(sent.map(({ type }) => type)).toEqual(['offer', 'offer', 'answer']);
});

test('of two pages that were reloaded at the same time the polite one answers', async () => {
  const polite = open(true, { peerSession: 'old' });
  await polite.negotiator.goLiveAfresh();
  await polite.negotiator.receive(describe('offer', 'anew'));
  expect(polite.peers.map(({ closed }) => closed)).toEqual([true, false]);
  expect(polite.sent.at(-1)).toEqual(describe('answer', polite.peers[1]?.session ?? ''));

  const impolite = open(false, { peerSession: 'old' });
  await impolite.negotiator.goLiveAfresh();
  await impolite.negotiator.receive(describe('offer', 'anew'));
  expect(impolite.sent.map(({ type }) => type)).toEqual(['offer', 'offer']);
  await impolite.negotiator.receive(describe('answer', 'anew'));
  expect(impolite.peers[0]?.signalingState).toBe('stable');
});

test('nothing is done after the end', async () => {
  const { negotiator, peers, sent } = await established(true);
  await negotiator.restartIce();
  negotiator.close();
  await negotiator.receive(describe('offer', 'theirs'));
  await negotiator.receive(describe('offer', 'reloaded'));
  await negotiator.send('camera', new FakeTrack('video') as never, new FakeStream() as never);
  expect(peers.map(({ closed }) => closed)).toEqual([true]);
  expect(sent).toHaveLength(1);
});

test('what changed before the call was answered is negotiated once it is', async () => {
  const { negotiator, peers, sent } = open(false);
  const stream = new FakeStream();
  const send = (source: 'microphone' | 'screen', kind: 'audio' | 'video') =>
    negotiator.send(source, new FakeTrack(kind) as never, stream as never);
  await send('microphone', 'audio');
  const offer = await negotiator.offer();
  await send('screen', 'video');
  await settle();
  await negotiator.accepted(answerTo(offer, 'theirs'));
  await settle();
  expect(sent).toEqual([]);
  negotiator.goLive();
  await settle();
  expect(sent).toEqual([peers[0]?.localDescription]);
  expect(sent.map(mediaOf)).toEqual([['audio sendrecv', 'video sendrecv']]);
});

test('nothing is negotiated again for what the first offer had', async () => {
  const { negotiator, sent } = open(false);
  await negotiator.send('microphone', new FakeTrack('audio') as never, new FakeStream() as never);
  await settle();
  await negotiator.accepted(answerTo(await negotiator.offer(), 'theirs'));
  negotiator.goLive();
  await settle();
  expect(sent).toEqual([]);
});

test('an offer that has no answer yet is sent again after signalling was interrupted', async () => {
  const { negotiator, sent } = await established(false);
  await negotiator.restartIce();
  await negotiator.resync();
  expect(sent).toHaveLength(2);
  expect(sent[1]).toEqual(sent[0]);
});

const known: Predecessor = { peerSession: 'old' };

test.each<[Predecessor, Predecessor]>([
  ['unknown', 'unknown'],
  [known, 'unknown'],
  ['unknown', known],
  [known, known],
])('two pages that begin anew (%o, %o) come together, whichever is first', async (impolite, polite) => {
  for (const first of ['impolite', 'polite', 'both'] as const) {
    const pages = { impolite: open(false, impolite), polite: open(true, polite) };
    // What a page says before the other has taken the call over is lost.
    const here = { impolite: false, polite: false };
    const link = (from: 'impolite' | 'polite', to: 'impolite' | 'polite') =>
      pages[from].negotiator.on('description', async (description) => {
        await settle();
        if (here[to]) await pages[to].negotiator.receive(description);
      });
    link('impolite', 'polite');
    link('polite', 'impolite');
    const begins = async (side: 'impolite' | 'polite') => {
      here[side] = true;
      await pages[side].negotiator.goLiveAfresh();
    };
    if (first === 'both') {
      await Promise.all([begins('impolite'), begins('polite')]);
    } else {
      await begins(first);
      await exchange();
      await begins(first === 'impolite' ? 'polite' : 'impolite');
    }
    await exchange();
    const [a, b] = [pages.impolite.peers.at(-1), pages.polite.peers.at(-1)];
    expect([a?.signalingState, b?.signalingState]).toEqual(['stable', 'stable']);
    expect(sdpSession(a?.remoteDescription?.sdp ?? '')).toBe(b?.session);
    expect(sdpSession(b?.remoteDescription?.sdp ?? '')).toBe(a?.session);
  }
});
