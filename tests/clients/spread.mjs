// What stands before several nodes, as a load balancer does, so that every session of a client is on another node than its last one.
//
// It reads the head of a connection's first request, chooses a node by it, and from then on passes bytes both ways as they are:
// what is no HTTP, a WebSocket, a half-closed connection or a reset one reach the other side as such, and no header is added.
//
//   a request of a session (`sid`)   to the node that gave the session its id; an upgrade is one of those
//   a new session                    of a known client (`client` in the query, put there by the harness): the node after its last; else each in turn
//   REST with a token                always the same node for the same token, so whoever asks usually has their socket on another one
//   REST without                     the first node: those who count what the server lets through (logins, requests) or watch /health look at one process
//   TLS                              the first node: nothing of it can be read

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';

/** Whoever says no more than this in a head is understood; of the others the first line is. */
const HEAD_BYTES = 16 * 1024;
const HEAD_END = '\r\n\r\n';
const TLS_HANDSHAKE = 0x16;

export class Spread {
  #server;
  #ports;
  #connections = new Set();
  #turn = 0;
  /** Which node has a session. */
  #sessions = new Map();
  /** Which node a client's newest session is on. */
  #newest = new Map();

  static async over(ports) {
    const spread = new Spread();
    spread.#ports = ports;
    spread.#server = net.createServer({ allowHalfOpen: true, noDelay: true }, (near) => spread.#greet(near));
    spread.#server.listen(0, '127.0.0.1');
    await once(spread.#server, 'listening');
    return spread;
  }

  get port() {
    return this.#server.address().port;
  }

  /** The number of the node where this user's newest session is. */
  nodeOf({ id }) {
    return this.#newest.get(id);
  }

  close() {
    for (const connection of this.#connections) connection.destroy();
    this.#server.close();
  }

  #keep(connection) {
    this.#connections.add(connection);
    connection.on('close', () => this.#connections.delete(connection));
  }

  /** Waits for the first head. */
  #greet(near) {
    this.#keep(near);
    near.on('error', () => {});
    let heard = Buffer.alloc(0);
    const listen = (part) => {
      heard = Buffer.concat([heard, part]);
      if (heard[0] === TLS_HANDSHAKE || heard.includes(HEAD_END) || heard.length > HEAD_BYTES) go();
    };
    const go = () => {
      near.off('data', listen).off('end', go).pause();
      if (heard.length === 0) near.destroy();
      else this.#pass(near, unkept(heard), this.#route(heard));
    };
    near.on('data', listen).on('end', go);
  }

  /** Where to, the best node first, and what is learnt when one of them takes it. */
  #route(heard) {
    const all = this.#ports.map((_, n) => n);
    const from = (first) => [...all.slice(first), ...all.slice(0, first)];
    const head = heard.toString('latin1');
    const line = head.slice(0, head.indexOf('\r\n'));
    const asked = (name) => line.match(new RegExp(`[?&]${name}=([^&\\s]*)`))?.[1];
    if (!/^\S+ \/socket\.io\//.test(line)) {
      const token = head.match(/^authorization: *(\S.*)\r$/im)?.[1];
      return { nodes: token ? from(createHash('sha256').update(token).digest()[0] % all.length) : all };
    }
    const sid = asked('sid');
    // Nobody else knows the session. Of an unknown one nobody does, which any node may say.
    if (this.#sessions.has(sid)) return { nodes: [this.#sessions.get(sid)] };
    if (sid !== undefined) return { nodes: all };
    const client = asked('client');
    const first = (this.#newest.has(client) ? this.#newest.get(client) + 1 : this.#turn++) % all.length;
    const placed = (node) => { if (client) this.#newest.set(client, node); };
    // At once, so that another session that begins meanwhile goes further.
    placed(first);
    return { nodes: from(first), placed, opens: true };
  }

  #pass(near, bytes, { nodes: [node, ...others], placed, opens }) {
    if (near.destroyed) return;
    const far = net.connect({ port: this.#ports[node], host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
    this.#keep(far);
    const refused = () => {
      // Nothing was said yet, so another node may be asked. Where there is none, it is as if nobody listened here.
      if (others.length > 0) this.#pass(near, bytes, { nodes: others, placed, opens });
      else reset(near);
    };
    far.once('error', refused);
    far.once('connect', () => {
      far.off('error', refused).on('error', () => reset(near));
      near.on('error', () => reset(far));
      near.on('close', () => far.destroy());
      if (near.destroyed) {
        far.destroy();
        return;
      }
      placed?.(node);
      // Before the client hears of its session, its next request might else come first.
      if (opens) this.#learn(far, node);
      far.write(bytes);
      far.pipe(near);
      near.pipe(far);
    });
  }

  /** The id of the session that begins with this answer. Over a WebSocket it is of no use, since there all is one connection. */
  #learn(far, node) {
    let text = '';
    const listen = (part) => {
      text += part.toString('latin1');
      const sid = text.match(/"sid":"([^"]+)"/)?.[1];
      if (sid) this.#sessions.set(sid, node);
      if (sid || text.length > HEAD_BYTES) far.off('data', listen);
    };
    far.on('data', listen);
  }
}

/** As the other side was reset. One that has said its last word cannot be: Node 20 would lose it half closed, and never exit. */
function reset(connection) {
  if (connection.writableEnded) connection.destroy();
  else connection.resetAndDestroy();
}

/** A connection is for one request, since its first decides where all of it goes; to keep it open is not the client's business but a proxy's. */
function unkept(heard) {
  const end = heard.indexOf(HEAD_END);
  if (end < 0) return heard;
  const head = heard.subarray(0, end).toString('latin1');
  return Buffer.concat([Buffer.from(head.replace(/^(connection: *)keep-alive *$/im, '$1close'), 'latin1'), heard.subarray(end)]);
}
