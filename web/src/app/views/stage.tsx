import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import type { Call } from '../../client';
import { Avatar } from '../components/avatar';
import { lossWords } from '../model/words';

/** The peer fills the stage, or the screen that the peer shares; everything else is a tile in the corner. */
export function Stage({ call }: { call: Call }) {
  const { peer, local, remoteMedia, remoteScreen, state } = call;
  const { phase } = state;
  const waiting = phase === 'calling' || phase === 'ringing';
  return (
    <div class={`stage ${waiting ? 'waiting' : ''}`}>
      <Picture
        stream={call.remoteStream}
        label={`Picture of ${peer.username}`}
        shown={remoteMedia.video && call.remoteStream !== null}
        place={remoteScreen === null ? 'main' : 'tile'}
        caption={remoteScreen === null ? undefined : peer.username}
        instead={peer.username}
      />
      {remoteScreen !== null && (
        <Picture stream={remoteScreen} label={`Screen of ${peer.username}`} place="main screen" muted />
      )}
      {local.screenPreview !== null && (
        <Picture
          stream={local.screenPreview}
          label="Your screen"
          place="tile screen"
          caption="Your screen"
          muted
        />
      )}
      {local.preview !== null && (
        <Picture stream={local.preview} label="Your picture" place="tile mirrored" caption="You" muted />
      )}
      {(phase === 'preparing' || phase === 'accepting') && (
        <p class="overlay">
          If your browser asks, allow it to use the microphone{call.callType === 'video' && ' and the camera'}
          .
        </p>
      )}
      {phase === 'reconnecting' && (
        <p class="overlay dim">
          <span class="spinner" />
          {lossWords(state.link, peer.username)}
        </p>
      )}
    </div>
  );
}

interface PictureProps {
  readonly stream: MediaStream | null;
  readonly label: string;
  readonly place: string;
  readonly shown?: boolean;
  readonly muted?: boolean;
  readonly caption?: string | undefined;
  /** Whose avatar stands beneath, seen while there is no picture. */
  readonly instead?: string;
}

/** The element stays in place when it shows nothing: it plays the sound as well. */
function Picture({ stream, label, place, shown = true, muted = false, caption, instead }: PictureProps) {
  const video = useRef<HTMLVideoElement>(null);
  const upright = useSignal(false);
  useEffect(() => {
    if (video.current !== null) video.current.srcObject = stream;
  }, [stream]);
  return (
    <figure class={`${place} ${upright.value ? 'upright' : ''}`}>
      {instead !== undefined && <Avatar name={instead} />}
      <video
        ref={video}
        autoplay
        playsInline
        muted={muted}
        class={shown ? '' : 'blank'}
        aria-label={label}
        onResize={({ currentTarget: { videoWidth, videoHeight } }) => {
          upright.value = videoHeight > videoWidth;
        }}
      />
      {caption && <figcaption>{caption}</figcaption>}
    </figure>
  );
}
