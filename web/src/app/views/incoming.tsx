import type { RefObject } from 'preact';
import type { Call } from '../../client';
import { Avatar } from '../components/avatar';
import { CameraIcon, HangUpIcon, PhoneIcon } from '../components/icons';
import { accept } from '../model/call';
import { hasCamera } from '../model/devices';
import { isServerAway, phaseWords } from '../model/words';

export function Incoming({ call, heading }: { call: Call; heading: RefObject<HTMLHeadingElement | null> }) {
  const { username } = call.peer;
  const video = call.callType === 'video';
  return (
    <>
      <Avatar name={username} />
      <h2 ref={heading} tabIndex={-1}>
        {username}
      </h2>
      <p role="status" class="quiet">
        {video ? 'Video' : 'Audio'} call: {username} is calling you
        {isServerAway(call.state) && `. ${phaseWords(call.state)}`}
      </p>
      {video && !hasCamera.value && <p class="quiet">No camera was found here; you can answer with audio.</p>}
      <div class="controls">
        <button type="button" class="danger" onClick={() => call.reject()}>
          <HangUpIcon />
          Decline
        </button>
        <button type="button" class={video ? '' : 'go'} onClick={() => accept(call, { video: false })}>
          <PhoneIcon />
          Accept with audio
        </button>
        {video && (
          <button type="button" class="go" onClick={() => accept(call, { video: true })}>
            <CameraIcon />
            Accept with video
          </button>
        )}
      </div>
    </>
  );
}
