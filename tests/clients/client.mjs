// One connected front-end: the official client, with everything that arrives kept in order, so that
// an event which comes before it is awaited is not missed.

import assert from 'node:assert/strict';
import { isDeepStrictEqual } from 'node:util';
import { io } from 'socket.io-client';

/** How long anything may take before it counts as never. */
export const PATIENCE = 10_000;

/** The transports a front-end may be left with; `upgrade` is what the client does by itself. */
const ALLOWED = { websocket: ['websocket'], polling: ['polling'], upgrade: ['polling', 'websocket'] };
export const TRANSPORTS = ['websocket', 'polling'];

/** Every code a failed acknowledgement may carry. */
export const CODES = new Set([
  'validation_failed', 'unauthorized', 'token_expired', 'session_revoked', 'identity_mismatch', 'not_joined',
  'not_found', 'invalid_state', 'self_call', 'payload_too_large', 'rate_limited', 'unknown_event', 'unavailable',
]);

const matches = (wanted, args) =>
  typeof wanted === 'function'
    ? Boolean(wanted(...args))
    : Object.entries(wanted).every(([key, value]) => isDeepStrictEqual(args[0]?.[key], value));

const brief = (value) => {
  const text = typeof value === 'function' ? String(value) : JSON.stringify(value);
  return text && text.length > 200 ? `${text.slice(0, 200)}…` : text;
};

/** Rejects with what was awaited when `promise` takes longer than `ms`. */
export async function within(ms, what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${ms} ms for ${what}`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

export class Client {
  /** Everything that arrived, in order: `{event, args, taken}`. */
  events = [];
  #waiting = new Set();

  constructor(url, { label = 'client', transport = 'websocket', user, ...options } = {}) {
    this.user = user;
    this.label = `${label} (${transport})`;
    this.socket = io(url, { transports: ALLOWED[transport], forceNew: true, reconnection: false, ...options });
    this.socket.onAny((event, ...args) => this.#arrived(event, args));
    for (const event of ['connect', 'connect_error', 'disconnect']) {
      this.socket.on(event, (...args) => this.#arrived(event, args));
    }
  }

  get id() {
    return this.user.id;
  }

  /** The transport's session id: a secret between this client and the server. */
  get engineId() {
    return this.socket.io.engine.id;
  }

  #arrived(event, args) {
    const entry = { event, args, taken: false };
    this.events.push(entry);
    for (const waiter of this.#waiting) {
      if (waiter.wants(entry)) {
        waiter.take(entry);
        return;
      }
    }
  }

  /**
   * The next `event` (or one of several) not yet taken, from those that came already or else to come; its first argument.
   * `wanted` is a predicate, or an object whose fields the payload must have.
   */
  async once(event, wanted = {}, ms = PATIENCE) {
    const names = [event].flat();
    const wants = (entry) => !entry.taken && names.includes(entry.event) && matches(wanted, entry.args);
    const early = this.events.find(wants);
    if (early) {
      early.taken = true;
      return early.args[0];
    }
    let waiter;
    const arrival = new Promise((resolve) => {
      waiter = {
        wants,
        take: (entry) => {
          entry.taken = true;
          this.#waiting.delete(waiter);
          resolve(entry.args[0]);
        },
      };
      this.#waiting.add(waiter);
    });
    try {
      return await within(ms, `${names.join(" or ")} ${brief(wanted)} at ${this.label}`, arrival);
    } catch (late) {
      this.#waiting.delete(waiter);
      const heard = this.events.slice(-12).map((e) => `  ${e.event} ${brief(e.args[0])}`).join('\n');
      throw new Error(`${late.message}; it last heard:\n${heard || '  nothing'}`, { cause: late });
    }
  }

  /** Like `once`, for news that replaces what was told before: those that came earlier are out of date and taken as well. */
  async until(event, wanted, ms) {
    const found = await this.once(event, wanted, ms);
    for (const entry of this.events) {
      if (entry.event === event) entry.taken = true;
      if (entry.args[0] === found) break;
    }
    return found;
  }

  /** What came under these names, in order: first arguments, taken or not. */
  heard(...names) {
    return this.events.filter((e) => names.includes(e.event)).map((e) => e.args[0]);
  }

  emit(event, ...args) {
    this.socket.emit(event, ...args);
  }

  /** Emits and waits for the acknowledgement, whatever it says. */
  async ack(event, ...args) {
    try {
      return await this.socket.timeout(PATIENCE).emitWithAck(event, ...args);
    } catch (cause) {
      throw new Error(`no acknowledgement of ${event} ${brief(args[0])} at ${this.label}: ${cause.message}`, { cause });
    }
  }

  /** Emits, and lets the acknowledgement arrive among the events, as `ack`: for what may end in several ways. */
  emitForAck(event, ...args) {
    this.socket.emit(event, ...args, (answer) => this.#arrived('ack', [answer]));
  }

  /** Emits, and the acknowledgement must be a success. */
  async ok(event, ...args) {
    const answer = await this.ack(event, ...args);
    assert.equal(answer?.ok, true, `${event} at ${this.label} should succeed, but: ${brief(answer)}`);
    return answer;
  }

  /** Emits, and the acknowledgement must be a failure with one of `codes`, in the contract's shape. */
  async refused(codes, event, ...args) {
    const answer = await this.ack(event, ...args);
    assertFailure(answer, codes, `${event} ${brief(args[0])} at ${this.label}`);
    assert.equal(answer.ok, false);
    return answer;
  }

  /** `ping` and its `pong`: whatever the server sent this client before has arrived by then. */
  async roundTrip() {
    this.emit('ping');
    await this.once('pong');
  }

  async connected() {
    const refused = await this.once(['connect', 'connect_error']);
    if (refused) throw new Error(`${this.label} was refused: ${refused.message}`, { cause: refused });
    return this;
  }

  /** The code by which the server refuses the connection. */
  async refusal() {
    const refused = await this.once(['connect', 'connect_error']);
    assert.ok(refused, `${this.label} should have been refused, but is connected`);
    return refused.message;
  }

  /** Joins as a front-end does, and returns `join_success`. */
  async join(extra = {}) {
    await this.ok('join', { id: this.user.id, username: this.user.username, ...extra });
    this.joined = await this.once('join_success');
    return this.joined;
  }

  /** The network goes, and no goodbye is said: neither Socket.IO's nor, on WebSocket, the close frame. */
  drop() {
    const { engine } = this.socket.io;
    if (engine.transport.ws) engine.transport.ws.terminate();
    else engine.close();
  }

  /** Leaves on purpose. */
  leave() {
    this.socket.disconnect();
  }
}

/** A failed acknowledgement, `event_error` or `join_error`: a sentence, and a code of the contract. */
export function assertFailure(answer, codes, what) {
  const expected = [codes].flat();
  assert.ok(answer && typeof answer === 'object', `${what} should be refused, but was answered by ${brief(answer)}`);
  assert.notEqual(answer.ok, true, `${what} should be refused with ${expected}, but succeeded`);
  assert.ok(CODES.has(answer.code), `${what}: ${brief(answer)} carries no code of the contract`);
  assert.ok(expected.includes(answer.code), `${what}: code ${answer.code} ("${answer.error}") instead of ${expected}`);
  assert.ok(typeof answer.error === 'string' && answer.error.length > 3, `${what}: no sentence in ${brief(answer)}`);
  if (answer.code === 'rate_limited') {
    assert.ok(answer.retryAfterMs > 0, `${what}: rate_limited without retryAfterMs: ${brief(answer)}`);
  }
}

/** Does something, and then none of `clients` may have heard any of `names` meanwhile: proved by a round trip of each. */
export async function nobodyHears(clients, names, during) {
  const before = clients.map((client) => client.events.length);
  const result = await during();
  for (const [i, client] of clients.entries()) {
    await client.roundTrip();
    const heard = client.events.slice(before[i]).filter((e) => names.includes(e.event));
    assert.deepEqual(heard.map((e) => [e.event, e.args[0]]), [], `${client.label} should have heard none of ${names}`);
  }
  return result;
}
