// What is said on the wire: descriptions, candidates, tokens, and the steps of a call that many tests begin with.

import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';

export const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
export const NOBODY = '01890000-0000-7000-8000-000000000000';
export const RFC3339_MS = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

/** Stands in every description; a server that logs it would be caught by the harness. */
export const SDP_MARK = 'sdp-must-not-be-logged';
const sdp = (label) => `v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=${SDP_MARK} ${label}\r\nt=0 0\r\n`;
export const offer = (label = 'offer') => ({ type: 'offer', sdp: sdp(label) });
export const answer = (label = 'answer') => ({ type: 'answer', sdp: sdp(label) });
export const candidate = (n = 1) => ({
  candidate: `candidate:${n} 1 udp 2113937151 192.0.2.1 ${50_000 + (n % 10_000)} typ host`,
  sdpMid: '0',
  sdpMLineIndex: 0,
});

/** Rings `callees` (devices of one user) and returns the call's id once every one of them has rung. */
export async function ring(caller, ...callees) {
  const { callId, status } = await caller.ok('call_user', { to: callees[0].id, callType: 'video', offer: offer() });
  assert.match(callId, UUID);
  assert.equal(status, 'ringing');
  await caller.once('call_status', { callId, status: 'ringing' });
  await Promise.all(callees.map((callee) => callee.once('incoming_call', { callId })));
  return callId;
}

/** A call between two devices, answered. */
export async function establish(caller, callee) {
  const callId = await ring(caller, callee);
  await callee.ok('accept_call', { callId, answer: answer() });
  await caller.once('call_accepted', { callId });
  return callId;
}

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
const decode = (part) => JSON.parse(Buffer.from(part, 'base64url').toString());

/** The claims of a token, unverified. */
export const claimsOf = (token) => decode(token.split('.')[1]);

/** A token like `token`, with some claims or header fields changed and signed with `secret`. */
export function forge(token, { secret, claims = {}, header = {} }) {
  const head = { ...decode(token.split('.')[0]), ...header };
  const signed = `${encode(head)}.${encode({ ...claimsOf(token), ...claims })}`;
  const digest = { HS256: 'sha256', HS384: 'sha384', HS512: 'sha512' }[head.alg];
  return `${signed}.${digest ? createHmac(digest, secret).update(signed).digest('base64url') : ''}`;
}

export const nowSeconds = () => Math.floor(Date.now() / 1000);
