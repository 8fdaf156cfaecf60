import { Emitter } from './emitter';
import { type CallError, toCallError } from './errors';
import type { Negotiator } from './negotiator';
import type { MediaSource, WantedMedia } from './platform';
import type { MediaState } from './protocol';

/** What we send, and streams to show it in. */
export interface LocalMedia extends Required<MediaState> {
  /** The camera; null while it is off. */
  readonly preview: MediaStream | null;
  /** The screen that is shared, if one is. */
  readonly screenPreview: MediaStream | null;
}

/** `required`: without it there is no call. `optional`: a failure costs the picture alone. */
export type CameraUse = 'off' | 'optional' | 'required';

export interface CaptureEvents {
  change: LocalMedia;
  /** A device failed, without which the call goes on. */
  error: CallError;
}

/**
 * Our own microphone, camera and screen in one call. Microphone and camera share a stream, the screen has its own: by
 * that the peer tells which is which. A microphone that is off sends silence; a camera that is off is released, and its
 * light with it.
 */
export class Capture extends Emitter<CaptureEvents> {
  readonly #source: MediaSource;
  #wanted: WantedMedia;
  #devices: MediaStream | null = null;
  /** One for the whole call, so that sharing again names no new stream to the peer. */
  #screen: MediaStream | null = null;
  #negotiator: Negotiator | null = null;
  #cameraStarts = false;
  #microphoneStarts = false;
  #choosesScreen = false;
  #closed = false;

  constructor(source: MediaSource, wanted: WantedMedia = { audio: true, video: false }) {
    super();
    this.#source = source;
    this.#wanted = wanted;
  }

  /** What the user asked for last, also before it is there. */
  get wanted(): WantedMedia {
    return this.#wanted;
  }

  get local(): LocalMedia {
    const audio = this.#microphone?.enabled ?? false;
    const video = this.#camera !== undefined;
    const screen = this.#screenTrack !== undefined;
    return {
      audio,
      video,
      screen,
      preview: video ? this.#devices : null,
      screenPreview: screen ? this.#screen : null,
    };
  }

  /** Captures the microphone and a camera that is asked for; once. */
  async open(camera: CameraUse): Promise<void> {
    if (this.#devices !== null) return;
    const video = camera !== 'off';
    this.#wanted = { ...this.#wanted, video };
    const devices = await this.#captureBoth(camera);
    if (this.#closed) return stop(devices);
    this.#devices = devices;
    if (this.#microphone !== undefined) this.#watchMicrophone(this.#microphone);
    if (this.#camera !== undefined) this.#watchCamera(this.#camera);
    // Asked for otherwise in the meantime.
    try {
      await this.setCamera(this.#wanted.video);
    } catch (error) {
      this.emit('error', toCallError(error));
    }
    this.#changed();
  }

  /** Sends everything by `negotiator` from now on. */
  async sendBy(negotiator: Negotiator): Promise<void> {
    this.#negotiator = negotiator;
    const devices = this.#devices;
    const microphone = this.#microphone;
    if (devices !== null && microphone) await negotiator.send('microphone', microphone, devices);
    // Either may be switched meanwhile.
    const camera = this.#camera;
    if (devices !== null && camera) await negotiator.send('camera', camera, devices);
    const track = this.#screenTrack;
    if (this.#screen !== null && track) await negotiator.send('screen', track, this.#screen);
  }

  setMicrophone(on: boolean): void {
    this.#wanted = { ...this.#wanted, audio: on };
    if (this.#microphone !== undefined) this.#microphone.enabled = on;
    else if (on) void this.#startMicrophone();
    this.#changed();
  }

  /** An audio call gets its first picture by a renegotiation, later ones need none. */
  async setCamera(on: boolean): Promise<void> {
    this.#wanted = { ...this.#wanted, video: on };
    const devices = this.#devices;
    if (devices === null || on === (this.#camera !== undefined)) return;
    await (on ? this.#startCamera(devices) : this.#stopCamera(devices));
  }

  async shareScreen(): Promise<void> {
    if (this.#choosesScreen || this.#screenTrack !== undefined) return;
    this.#choosesScreen = true;
    try {
      const chosen = await this.#source.captureScreen();
      const [track] = chosen.getVideoTracks();
      if (track === undefined || this.#closed) return stop(chosen);
      // The browser's own "stop sharing".
      track.onended = () => void this.stopSharing();
      this.#screen ??= this.#source.emptyStream();
      this.#screen.addTrack(track);
      this.#changed();
      await this.#negotiator?.send('screen', track, this.#screen);
    } finally {
      this.#choosesScreen = false;
    }
  }

  async stopSharing(): Promise<void> {
    const track = this.#screenTrack;
    if (track === undefined) return;
    track.stop();
    this.#screen?.removeTrack(track);
    this.#changed();
    await this.#negotiator?.remove('screen');
  }

  /** Releases every device. */
  close(): void {
    this.#closed = true;
    for (const stream of [this.#devices, this.#screen]) if (stream !== null) stop(stream);
  }

  get #microphone(): MediaStreamTrack | undefined {
    return this.#devices?.getAudioTracks()[0];
  }

  get #camera(): MediaStreamTrack | undefined {
    return this.#devices?.getVideoTracks()[0];
  }

  get #screenTrack(): MediaStreamTrack | undefined {
    return this.#screen?.getVideoTracks()[0];
  }

  async #captureBoth(camera: CameraUse): Promise<MediaStream> {
    try {
      return await this.#source.capture({ audio: true, video: camera !== 'off' });
    } catch (error) {
      if (camera !== 'optional' || this.#closed) throw error;
      const devices = await this.#source.capture({ audio: true, video: false });
      this.#wanted = { ...this.#wanted, video: false };
      this.emit('error', toCallError(error));
      return devices;
    }
  }

  async #startCamera(devices: MediaStream): Promise<void> {
    if (this.#cameraStarts) return;
    this.#cameraStarts = true;
    try {
      const captured = await this.#captureCamera();
      const [track] = captured.getVideoTracks();
      if (track === undefined || this.#closed || !this.#wanted.video) return stop(captured);
      this.#watchCamera(track);
      devices.addTrack(track);
      this.#changed();
      await this.#negotiator?.send('camera', track, devices);
    } finally {
      this.#cameraStarts = false;
    }
  }

  async #captureCamera(): Promise<MediaStream> {
    try {
      return await this.#source.capture({ audio: false, video: true });
    } catch (error) {
      // Otherwise a page that is loaded anew would try again.
      this.#wanted = { ...this.#wanted, video: false };
      this.#changed();
      throw error;
    }
  }

  async #stopCamera(devices: MediaStream): Promise<void> {
    for (const track of devices.getVideoTracks()) {
      track.stop();
      devices.removeTrack(track);
    }
    this.#changed();
    await this.#negotiator?.pause('camera');
  }

  /** After the one before has ended: the browser gives what is plugged in now. */
  async #startMicrophone(): Promise<void> {
    const devices = this.#devices;
    if (devices === null || this.#microphoneStarts || this.#closed) return;
    this.#microphoneStarts = true;
    try {
      const captured = await this.#source.capture({ audio: true, video: false });
      const [track] = captured.getAudioTracks();
      if (track === undefined || this.#closed) return stop(captured);
      this.#watchMicrophone(track);
      devices.addTrack(track);
      this.#changed();
      await this.#negotiator?.send('microphone', track, devices);
    } catch (error) {
      this.#wanted = { ...this.#wanted, audio: false };
      this.#changed();
      this.emit('error', toCallError(error));
    } finally {
      this.#microphoneStarts = false;
    }
  }

  #watchMicrophone(track: MediaStreamTrack): void {
    track.enabled = this.#wanted.audio;
    // Unplugged, or its permission withdrawn.
    track.onended = () => {
      this.#devices?.removeTrack(track);
      this.#changed();
      void this.#startMicrophone();
    };
  }

  /** Unplugged, or its permission withdrawn. */
  #watchCamera(track: MediaStreamTrack): void {
    track.onended = () => void this.setCamera(false);
  }

  #changed(): void {
    this.emit('change', this.local);
  }
}

function stop(stream: MediaStream): void {
  for (const track of stream.getTracks()) track.stop();
}
