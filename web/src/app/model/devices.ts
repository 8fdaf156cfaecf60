import { signal } from '@preact/signals';

/** Whether this machine has a camera. Browsers tell so much before any permission is given. */
export const hasCamera = signal(true);

// Only secure origins have it; without, a call fails with words of its own.
const devices: MediaDevices | undefined = navigator.mediaDevices;

async function look(): Promise<void> {
  const found = await devices?.enumerateDevices();
  hasCamera.value = found?.some(({ kind }) => kind === 'videoinput') ?? true;
}

devices?.addEventListener('devicechange', () => void look());
void look();
