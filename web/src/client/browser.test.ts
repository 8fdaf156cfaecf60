import { afterEach, expect, test, vi } from 'vitest';
import { browserPlatform } from './browser';

/** A browser whose devices fail as `failure` says. */
function browser(failure: string, devices: readonly string[] = []) {
  const fail = async () => {
    throw new DOMException('no', failure);
  };
  vi.stubGlobal('navigator', {
    mediaDevices: {
      getUserMedia: fail,
      getDisplayMedia: fail,
      enumerateDevices: async () => devices.map((kind) => ({ kind })),
    },
  });
  vi.stubGlobal('BroadcastChannel', class {});
  return browserPlatform().media;
}

afterEach(() => vi.unstubAllGlobals());

const BOTH = { audio: true, video: true };

test.each([
  ['NotAllowedError', 'media_denied'],
  ['SecurityError', 'media_denied'],
  ['NotReadableError', 'media_in_use'],
  ['AbortError', 'media_in_use'],
  ['TypeError', 'media_failed'],
])('%s of a microphone or camera is %s', async (failure, code) => {
  await expect(browser(failure).capture(BOTH)).rejects.toMatchObject({ name: 'CallError', code });
});

test.each([
  ['microphone_not_found', BOTH, ['videoinput', 'audiooutput']],
  ['microphone_not_found', BOTH, []],
  ['camera_not_found', BOTH, ['audioinput']],
  ['camera_not_found', { audio: false, video: true }, []],
])('%s is told when %o is wanted and there is %o', async (code, wants, devices) => {
  for (const failure of ['NotFoundError', 'OverconstrainedError']) {
    await expect(browser(failure, devices).capture(wants)).rejects.toMatchObject({ code });
  }
});

test.each(['NotAllowedError', 'NotFoundError', 'AbortError'])(
  'a screen that fails by %s is not shared, whatever the reason',
  async (failure) => {
    await expect(browser(failure).captureScreen()).rejects.toMatchObject({ code: 'screen_not_shared' });
  },
);

test('the browser’s own error is kept as the cause', async () => {
  await expect(browser('NotAllowedError').capture(BOTH)).rejects.toMatchObject({
    cause: expect.objectContaining({ name: 'NotAllowedError' }),
  });
});

test('an insecure page has no devices', async () => {
  const media = browser('');
  vi.stubGlobal('navigator', {});
  await expect(media.capture(BOTH)).rejects.toMatchObject({ code: 'media_unsupported' });
  await expect(media.captureScreen()).rejects.toMatchObject({ code: 'media_unsupported' });
});

test('a stored session that cannot be read is none', () => {
  browser('');
  vi.stubGlobal('localStorage', { getItem: () => '{broken' });
  vi.stubGlobal('sessionStorage', { getItem: () => null });
  expect(browserPlatform().sessionStore.read()).toBeNull();
  expect(browserPlatform().tabStore.read()).toBeNull();
});
