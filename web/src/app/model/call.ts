import { signal } from '@preact/signals';
import type { Call, CallType, EndReason, ErrorCode, Party } from '../../client';
import { client, elsewhere } from './client';
import { hasCamera } from './devices';
import { attempt, dismiss, type Notice, tell } from './notice';
import { endWords, errorWords } from './words';

export const call = signal<Call | null>(client.calls.current);
/** Counts what changed in the call, which is an object with state of its own. */
export const callVersion = signal(0);

/** Without the camera these are no obstacle to an audio call. */
const OF_CAMERA: ReadonlySet<ErrorCode> = new Set([
  'camera_not_found',
  'media_denied',
  'media_in_use',
  'media_failed',
]);

client.calls.on('current', (current) => {
  call.value = current;
  if (current === null) return;
  elsewhere.value = null;
  dismiss();
  watch(current);
});

function watch(current: Call): void {
  let failure: ErrorCode | null = null;
  const changed = () => {
    callVersion.value += 1;
  };
  current.on('state', (state) => {
    if (state.phase === 'ended') tell(endNotice(current, state.reason, failure));
    changed();
  });
  current.on('error', (error) => {
    failure = error.code;
    // A screen that was not chosen is mostly a change of mind.
    const tone = error.code === 'screen_not_shared' ? 'news' : 'problem';
    tell({ text: errorWords(error.code, error.retryAfterMs), tone });
  });
  for (const event of ['local', 'remoteStream', 'remoteScreen', 'remoteMedia'] as const)
    current.on(event, changed);
}

/** The cause where we know it, else the reason. */
function endNotice({ peer, callType }: Call, reason: EndReason, failure: ErrorCode | null): Notice {
  if (reason === 'failed' && failure !== null) {
    const retry = { label: 'Call by audio', run: () => startCall(peer, 'audio') };
    const action = callType === 'video' && OF_CAMERA.has(failure) ? retry : undefined;
    return { text: errorWords(failure), tone: 'problem', action };
  }
  if (reason === 'connection_lost' && failure === 'turn_refused')
    return { text: errorWords(failure), tone: 'problem' };
  return { text: endWords(reason), tone: reason === 'failed' ? 'problem' : 'news' };
}

export function startCall(peer: Party, callType: CallType): void {
  void attempt(() => client.calls.start(peer, callType));
}

/** Answers; a camera that is asked for but not there does not cost the call. */
export function accept(current: Call, wants: { video: boolean }): void {
  const video = wants.video && hasCamera.value;
  if (wants.video && !video) tell({ text: 'No camera was found. You answered with audio.', tone: 'news' });
  void current.accept({ video });
}
