// A cable that can be pulled: TCP between a client and the server, or between the server and its database.

import net from 'node:net';
import { once } from 'node:events';
import { Transform } from 'node:stream';

export class Cable {
  #pairs = new Set();
  #server;
  /** `up`: bytes flow; `cut`: connections are reset; `frozen`: they stay open and nothing passes. */
  #state = 'up';

  #ms;

  /** Each byte takes `ms` more each way. */
  static async to(port, host = '127.0.0.1', { ms = 0 } = {}) {
    const cable = new Cable();
    cable.#ms = ms;
    cable.#server = net.createServer((near) => cable.#plug(near, port, host));
    cable.#server.listen(0, '127.0.0.1');
    await once(cable.#server, 'listening');
    return cable;
  }

  get port() {
    return this.#server.address().port;
  }

  #plug(near, port, host) {
    if (this.#state === 'cut') {
      near.resetAndDestroy();
      return;
    }
    const far = net.connect(port, host);
    const pair = { near, far };
    this.#pairs.add(pair);
    const unplug = () => {
      this.#pairs.delete(pair);
      near.destroy();
      far.destroy();
    };
    for (const end of [near, far]) {
      end.setNoDelay(true);
      end.on('error', unplug).on('close', unplug);
    }
    if (this.#ms > 0) {
      near.pipe(this.#lag()).pipe(far);
      far.pipe(this.#lag()).pipe(near);
      return;
    }
    near.pipe(far);
    far.pipe(near);
    if (this.#state === 'frozen') this.#hold(pair);
  }

  #lag() {
    const lag = new Transform({
      transform: (bytes, _, next) => {
        setTimeout(() => lag.push(bytes), this.#ms);
        next();
      },
    });
    return lag;
  }

  #hold({ near, far }) {
    near.unpipe(far);
    far.unpipe(near);
    near.pause();
    far.pause();
  }

  /** Every connection is reset, and new ones are too, until `mend`. */
  cut() {
    this.#state = 'cut';
    for (const { near, far } of this.#pairs) {
      near.resetAndDestroy();
      far.resetAndDestroy();
    }
    this.#pairs.clear();
  }

  /** Nothing passes any more, and nobody is told: a phone in a lift. */
  freeze() {
    this.#state = 'frozen';
    for (const pair of this.#pairs) this.#hold(pair);
  }

  /** New connections pass again. Frozen ones stay lost, as they do after a change of network. */
  mend() {
    this.#state = 'up';
  }

  close() {
    this.cut();
    this.#server.close();
  }
}
