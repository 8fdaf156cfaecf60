import { Emitter } from './emitter';
import type { Clock } from './platform';
import type { IceServers } from './protocol';
import type { Session } from './session';

export interface IceEvents {
  renewed: readonly RTCIceServer[];
}

const RETRY_MS = 30_000;

/** STUN and TURN servers, fetched for each call and renewed before their credentials run out. */
export class IceProvider extends Emitter<IceEvents> {
  readonly #session: Session;
  readonly #clock: Clock;
  #latest: readonly RTCIceServer[] | null = null;
  #cancel: () => void = () => {};
  /** How many calls there were: what is fetched for one that is over is not renewed. */
  #call = 0;

  constructor(session: Session, clock: Clock) {
    super();
    this.#session = session;
    this.#clock = clock;
  }

  async servers(): Promise<readonly RTCIceServer[]> {
    const call = this.#call;
    const { iceServers, ttl } = await this.#session.authorized<IceServers>({ path: '/api/ice-servers' });
    this.#latest = iceServers;
    if (call === this.#call) this.#renewAfter(ttl * 800);
    return iceServers;
  }

  /** The newest there are: a peer connection may be replaced long after the call began. */
  latest(fetched: readonly RTCIceServer[]): readonly RTCIceServer[] {
    return this.#latest ?? fetched;
  }

  /** Renews no more: no call is left. */
  rest(): void {
    this.#call += 1;
    this.#cancel();
  }

  #renewAfter(ms: number): void {
    this.#cancel();
    this.#cancel = this.#clock.after(ms, () => {
      const call = this.#call;
      this.servers().then(
        (servers) => this.emit('renewed', servers),
        () => {
          if (call === this.#call) this.#renewAfter(RETRY_MS);
        },
      );
    });
  }
}
