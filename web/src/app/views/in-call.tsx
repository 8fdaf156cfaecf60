import type { RefObject } from 'preact';
import type { Call } from '../../client';
import {
  CameraIcon,
  CameraOffIcon,
  HangUpIcon,
  MicIcon,
  MicOffIcon,
  ScreenIcon,
  ScreenOffIcon,
} from '../components/icons';
import { phaseWords } from '../model/words';
import { Meter } from './meter';
import { Stage } from './stage';

export function InCall({ call, heading }: { call: Call; heading: RefObject<HTMLHeadingElement | null> }) {
  const { peer, local, remoteMedia, state } = call;
  const connected = state.phase === 'connected';
  return (
    <>
      <header class="facts">
        <h2 ref={heading} tabIndex={-1}>
          {peer.username}
        </h2>
        <p role="status">
          {/* The running clock says it to the eye. */}
          <span class={connected ? 'hidden' : ''}>{phaseWords(state)}</span>
          {!remoteMedia.audio && <span class="chip">Muted</span>}
          {remoteMedia.screen && <span class="chip">Sharing the screen</span>}
          {local.screen && <span class="chip">You share your screen</span>}
        </p>
        {call.connectedAt !== null && <Meter call={call} since={call.connectedAt} />}
      </header>
      <Stage call={call} />
      <Controls call={call} />
    </>
  );
}

/** The words say what a click does, so none of these is a pressed button as well; colour shows what is off. */
function Controls({ call }: { call: Call }) {
  const { local } = call;
  return (
    <div class="controls">
      <button type="button" class={local.audio ? '' : 'off'} onClick={() => call.setMicrophone(!local.audio)}>
        {local.audio ? <MicIcon /> : <MicOffIcon />}
        {local.audio ? 'Mute' : 'Unmute'}
      </button>
      <button type="button" class={local.video ? '' : 'off'} onClick={() => call.setCamera(!local.video)}>
        {local.video ? <CameraIcon /> : <CameraOffIcon />}
        {local.video ? 'Camera off' : 'Camera on'}
      </button>
      <button
        type="button"
        class={local.screen ? 'on' : ''}
        onClick={() => (local.screen ? call.stopSharing() : call.shareScreen())}
      >
        {local.screen ? <ScreenOffIcon /> : <ScreenIcon />}
        {local.screen ? 'Stop sharing' : 'Share screen'}
      </button>
      <button type="button" class="danger" onClick={() => call.hangUp()}>
        <HangUpIcon />
        Hang up
      </button>
    </div>
  );
}
