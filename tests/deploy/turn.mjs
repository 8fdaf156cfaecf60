// As much of a TURN client (RFC 8656, RFC 8489) as it takes to ask for an allocation and for permission to reach a peer. Nothing is ever sent to a peer.

import { createHash, createHmac, randomBytes } from 'node:crypto';
import dgram from 'node:dgram';
import { once } from 'node:events';
import { isIPv6 } from 'node:net';
import { within } from '../clients/harness.mjs';

const COOKIE = 0x2112a442;
const ALLOCATE = 0x0003;
const CREATE_PERMISSION = 0x0008;
const USERNAME = 0x0006;
const MESSAGE_INTEGRITY = 0x0008;
const ERROR_CODE = 0x0009;
const XOR_PEER_ADDRESS = 0x0012;
const REALM = 0x0014;
const NONCE = 0x0015;
const REQUESTED_ADDRESS_FAMILY = 0x0017;
const REQUESTED_TRANSPORT = 0x0019;

export class TurnClient {
  #socket = dgram.createSocket('udp4');
  #port;
  #known = [];
  #key;

  constructor(port, { username, credential }) {
    this.#port = port;
    this.username = username;
    this.credential = credential;
  }

  /** Asks for a relayed address: what the relay says, 'success' or the number of its error. */
  async allocate({ family = 4, ms = 5_000 } = {}) {
    const wanted = [[REQUESTED_TRANSPORT, Buffer.from([17, 0, 0, 0])], [REQUESTED_ADDRESS_FAMILY, Buffer.from([family === 4 ? 1 : 2, 0, 0, 0])]];
    this.#known = [];
    this.#key = undefined;
    const challenge = await this.#ask(ALLOCATE, wanted, ms);
    if (challenge.error !== 401) return challenge.error ?? 'success without a credential';
    const [realm, nonce] = [challenge.attributes.get(REALM), challenge.attributes.get(NONCE)];
    this.realm = realm.toString();
    this.#known = [[USERNAME, Buffer.from(this.username)], [REALM, realm], [NONCE, nonce]];
    this.#key = createHash('md5').update(`${this.username}:${realm}:${this.credential}`).digest();
    return (await this.#ask(ALLOCATE, wanted, ms)).error ?? 'success';
  }

  /** Asks to be let send to `peer`. */
  async permission(peer) {
    return (await this.#ask(CREATE_PERMISSION, [(id) => [XOR_PEER_ADDRESS, masked(peer, id)]])).error ?? 'success';
  }

  close() {
    this.#socket.close();
  }

  async #ask(method, attributes, ms = 5_000) {
    const id = randomBytes(12);
    const list = [...attributes.map((attribute) => (typeof attribute === 'function' ? attribute(id) : attribute)), ...this.#known];
    const body = Buffer.concat(list.map(encoded));
    const message = this.#key ? sealed(method, id, body, this.#key) : Buffer.concat([head(method, body.length, id), body]);
    const answered = once(this.#socket, 'message');
    this.#socket.send(message, this.#port, '127.0.0.1');
    const [answer] = await within(ms, 'the relay to answer', answered);
    return decoded(answer);
  }
}

function head(method, length, id) {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt16BE(method, 0);
  bytes.writeUInt16BE(length, 2);
  bytes.writeUInt32BE(COOKIE, 4);
  return Buffer.concat([bytes, id]);
}

function encoded([type, value]) {
  const bytes = Buffer.alloc(4 + Math.ceil(value.length / 4) * 4);
  bytes.writeUInt16BE(type, 0);
  bytes.writeUInt16BE(value.length, 2);
  value.copy(bytes, 4);
  return bytes;
}

/** The integrity covers the header as it is with the integrity itself counted in. */
function sealed(method, id, body, key) {
  const covered = Buffer.concat([head(method, body.length + 24, id), body]);
  return Buffer.concat([covered, encoded([MESSAGE_INTEGRITY, createHmac('sha1', key).update(covered).digest()])]);
}

function decoded(message) {
  const attributes = new Map();
  for (let at = 20; at < message.length;) {
    const length = message.readUInt16BE(at + 2);
    attributes.set(message.readUInt16BE(at), message.subarray(at + 4, at + 4 + length));
    at += 4 + Math.ceil(length / 4) * 4;
  }
  const code = attributes.get(ERROR_CODE);
  return { attributes, error: code && code[2] * 100 + code[3] };
}

function masked(peer, id) {
  const mask = Buffer.concat([head(0, 0, id).subarray(4, 8), id]);
  const address = isIPv6(peer) ? sixteen(peer) : Buffer.from(peer.split('.').map(Number));
  const port = Buffer.alloc(2);
  port.writeUInt16BE(40_000 ^ (COOKIE >>> 16));
  return Buffer.concat([Buffer.from([0, isIPv6(peer) ? 2 : 1]), port, Buffer.from(address.map((byte, i) => byte ^ mask[i]))]);
}

function sixteen(text) {
  const [left, right = ''] = text.split('::');
  const words = (part) => (part === '' ? [] : part.split(':').map((word) => Number.parseInt(word, 16)));
  const [before, behind] = [words(left), words(right)];
  const all = [...before, ...Array(8 - before.length - behind.length).fill(0), ...behind];
  return Buffer.from(all.flatMap((word) => [word >> 8, word & 255]));
}
