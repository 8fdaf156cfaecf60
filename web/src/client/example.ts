import { browserPlatform, createClient } from './index';

/** The README's example, compiled: signs in, answers every call with audio, and calls whoever comes online. */
export async function example(serverUrl: string, remote: HTMLVideoElement): Promise<void> {
  const client = createClient({ serverUrl, platform: browserPlatform() });
  client.calls.on('incoming', (call) => void call.accept({ video: false }));
  client.calls.on('current', (call) => {
    call?.on('remoteStream', (stream) => {
      remote.srcObject = stream;
    });
  });
  const me = client.session.user ?? (await client.session.login('alice', 'correct horse'));
  client.presence.on('change', (online) => {
    const peer = [...online.values()].find(({ id }) => id !== me.id);
    if (peer !== undefined && client.calls.current === null) client.calls.start(peer, 'video');
  });
}
