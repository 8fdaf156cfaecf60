import type { RemoteTrack } from './negotiator';
import type { MediaSource } from './platform';

/** The peer's tracks in streams to show: microphone and camera in one, the screen in another. */
export class RemoteStreams {
  readonly #emptyStream: MediaSource['emptyStream'];
  #main: MediaStream | null = null;
  #screen: MediaStream | null = null;

  constructor(emptyStream: MediaSource['emptyStream']) {
    this.#emptyStream = emptyStream;
  }

  get main(): MediaStream | null {
    return this.#main;
  }

  get screen(): MediaStream | null {
    return this.#screen;
  }

  /** Takes `tracks` in place of those before, and tells which stream is another or has other tracks now. */
  update(tracks: readonly RemoteTrack[]): { main: boolean; screen: boolean } {
    const screens = tracks.filter((track) => isScreen(track, tracks));
    const others = tracks.filter((track) => !screens.includes(track));
    const main = this.#fill(this.#main, others);
    const screen = this.#fill(this.#screen, screens);
    this.#main = main.stream;
    this.#screen = screen.stream;
    return { main: main.changed, screen: screen.changed };
  }

  #fill(
    before: MediaStream | null,
    wanted: readonly RemoteTrack[],
  ): { stream: MediaStream | null; changed: boolean } {
    if (wanted.length === 0) return { stream: null, changed: before !== null };
    const stream = before ?? this.#emptyStream();
    const had = stream.getTracks();
    const gone = had.filter((track) => !wanted.some((other) => other.track === track));
    const added = wanted.filter(({ track }) => !had.includes(track));
    for (const track of gone) stream.removeTrack(track);
    for (const { track } of added) stream.addTrack(track);
    return { stream, changed: gone.length + added.length > 0 };
  }
}

/**
 * A screen comes in another stream than the microphone. A client that names no streams has no way to send a screen beside
 * its camera, so without names a picture is the camera's.
 */
function isScreen({ track, streamId }: RemoteTrack, all: readonly RemoteTrack[]): boolean {
  if (track.kind !== 'video' || streamId === null) return false;
  const microphone = all.find((other) => other.track.kind === 'audio')?.streamId ?? streamId;
  return streamId !== microphone;
}
