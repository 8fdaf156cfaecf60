import type { Clock } from './platform';

/** A link that does not come up, or back, ends the call. */
const GIVE_UP_MS = 30_000;
/** Most interruptions mend themselves before this. */
const RESTART_MS = 4_000;

export interface LinkTimersDeps {
  readonly clock: Clock;
  readonly restart: () => void;
  readonly giveUp: () => void;
}

/** How long a call waits for its link. */
export class LinkTimers {
  readonly #deps: LinkTimersDeps;
  #cancelRestart: () => void = () => {};
  #cancelGiveUp: (() => void) | null = null;

  constructor(deps: LinkTimersDeps) {
    this.#deps = deps;
  }

  /** Gives up, unless `linkIsUp` comes before. */
  linkIsDown(): void {
    this.#cancelGiveUp ??= this.#deps.clock.after(GIVE_UP_MS, this.#deps.giveUp);
  }

  linkIsUp(): void {
    this.#cancelGiveUp?.();
    this.#cancelGiveUp = null;
  }

  /** Restarts ICE, unless `settled` comes before. The polite side waits longer, so that two restarts seldom cross. */
  restartSoon(polite: boolean): void {
    this.#cancelRestart = this.#deps.clock.after(polite ? RESTART_MS * 1.5 : RESTART_MS, this.#deps.restart);
  }

  settled(): void {
    this.#cancelRestart();
  }

  stop(): void {
    this.linkIsUp();
    this.settled();
  }
}
