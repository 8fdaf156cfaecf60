import type { Party } from '../../client';
import { startCall } from '../model/call';
import { connection } from '../model/client';
import { CameraIcon, PhoneIcon } from './icons';

export function CallButtons({ peer }: { peer: Party }) {
  const off = connection.value !== 'online';
  const audio = `Audio call to ${peer.username}`;
  const video = `Video call to ${peer.username}`;
  return (
    <span class="actions">
      <button
        type="button"
        class="round"
        disabled={off}
        aria-label={audio}
        title={audio}
        onClick={() => startCall(peer, 'audio')}
      >
        <PhoneIcon />
      </button>
      <button
        type="button"
        class="round primary"
        disabled={off}
        aria-label={video}
        title={video}
        onClick={() => startCall(peer, 'video')}
      >
        <CameraIcon />
      </button>
    </span>
  );
}
