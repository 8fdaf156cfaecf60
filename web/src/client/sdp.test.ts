import { expect, test } from 'vitest';
import { sdpSession, sentMedia } from './sdp';

const lines = (...all: string[]) => all.map((line) => `${line}\r\n`).join('');
const SESSION = ['v=0', 'o=mozilla...THIS_IS_SDPARTA-99.0 4611732 2 IN IP4 0.0.0.0', 's=-', 't=0 0'];
const AUDIO = ['m=audio 9 UDP/TLS/RTP/SAVPF 111', 'a=mid:0'];
const VIDEO = ['m=video 9 UDP/TLS/RTP/SAVPF 96', 'a=mid:1'];

test('the session id is the second word of the origin', () => {
  expect(sdpSession(lines(...SESSION, ...AUDIO))).toBe('4611732');
  expect(sdpSession(lines('v=0', 's=-'))).toBeNull();
});

test('media are sent in the stream that their first msid names', () => {
  const sdp = lines(
    ...SESSION,
    ...AUDIO,
    'a=sendrecv',
    'a=msid:{one} a',
    ...VIDEO,
    'a=sendonly',
    'a=msid:two v',
    'a=msid:three v',
  );
  expect(sentMedia(sdp)).toEqual([
    { mid: '0', streamId: '{one}' },
    { mid: '1', streamId: 'two' },
  ]);
});

test.each(['a=recvonly', 'a=inactive'])('a medium that is %s is not sent', (direction) => {
  const sdp = lines(...SESSION, ...AUDIO, 'a=sendrecv', 'a=msid:one a', ...VIDEO, direction, 'a=msid:one v');
  expect(sentMedia(sdp)).toEqual([{ mid: '0', streamId: 'one' }]);
});

test('a medium without a direction is sent both ways, and one without a stream in none', () => {
  const sdp = lines(...SESSION, ...AUDIO, ...VIDEO, 'a=msid:- v');
  expect(sentMedia(sdp)).toEqual([
    { mid: '0', streamId: null },
    { mid: '1', streamId: null },
  ]);
});

test('port 0 refuses a medium, unless it is bundled with another', () => {
  const refused = ['m=video 0 UDP/TLS/RTP/SAVPF 96', 'a=mid:1', 'a=sendrecv'];
  expect(sentMedia(lines(...SESSION, ...refused))).toEqual([]);
  expect(sentMedia(lines(...SESSION, ...refused, 'a=bundle-only'))).toEqual([{ mid: '1', streamId: null }]);
});
