// deploy/nginx for several nodes: the site as it is shipped, in a real nginx before three nodes on a Redis.

import assert from 'node:assert/strict';
import https from 'node:https';
import { after, before, describe, test } from 'node:test';
import { Server, TRANSPORTS, answer, candidate, establish, eventually, ring } from '../clients/harness.mjs';
import { Nginx } from './nginx.mjs';
import { ending, read } from './program.mjs';

const SITE = 'video-call-cluster.conf';
const HANDSHAKE = '/socket.io/?EIO=4&transport=polling';
const UPGRADE = {
  connection: 'upgrade', upgrade: 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
};
/** So many that it would be a wonder if one of three nodes got none: less than one in a hundred thousand. */
const MANY = Array.from({ length: 35 }, (_, n) => n);
/** How long nginx leaves a node alone that took no connection, and then some for a heartbeat and a new session. */
const BACK_MS = 30_000;

let server;
let nginx;
const defer = ending(after);
before(async () => {
  server = await Server.start({ TRUSTED_PROXIES: '127.0.0.1', PING_INTERVAL: '1s', PING_TIMEOUT: '2s' }, { nodes: 3 });
  defer(() => server.dispose());
  nginx = await Nginx.before(defer, SITE, ...server.ports);
});

let addresses = 0;
const freshAddress = () => {
  addresses += 1;
  return `127.0.${2 + Math.floor(addresses / 250)}.${1 + (addresses % 250)}`;
};

/** The requests of Socket.IO from this address that are in the log by now: `{status, node}` of each, the node's number. */
const requestsFrom = (address) => nginx.log('access').split('\n')
  .filter((line) => line.startsWith(`${address} `) && line.includes(' /socket.io/ '))
  .map((line) => ({
    status: Number(line.match(/" (\d{3}) /)[1]),
    // Where one did not answer, the last one did.
    node: server.ports.indexOf(Number(line.match(/:(\d+)$/)[1])),
  }));

/** The nodes that served the requests from this address, each once. */
const nodesOf = (address) => [...new Set(requestsFrom(address).map(({ node }) => node))];

/** A device of a new user at an address of their own, which comes back by itself, and to its `callId` where it has one. */
async function frontEnd(t, name, { transport = 'polling', ...options } = {}) {
  const [user, address] = [await nginx.account(name), freshAddress()];
  const client = server.connect(t, user, {
    url: nginx.url, ca: nginx.ca, agent: new https.Agent({ localAddress: address, ca: nginx.ca }), transport,
    reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 200, ...options,
  });
  // Where a poll is sent to another node, the old one takes a heartbeat to notice.
  client.socket.on('connect', () => client.socket.emit('join', {
    id: user.id, username: user.username, ...(client.callId && { resume: client.callId }),
  }));
  client.joined = await client.once('join_success');
  return Object.assign(client, { address });
}

/** A device that polls from an address of its own, on another node than those that poll from `others`. */
async function elsewhere(t, name, ...others) {
  const taken = others.flatMap(({ address }) => nodesOf(address));
  for (const _ of MANY) {
    const client = await frontEnd(t, name);
    const nodes = nodesOf(client.address);
    assert.equal(nodes.length, 1, `${client.address} polls at ${nodes}`);
    if (!taken.includes(nodes[0])) return client;
    client.leave();
  }
  return assert.fail(`none of ${MANY.length} addresses is served by another node than ${taken}`);
}

/** A session of polling, step by step: the statuses of its CONNECT and of another packet, from these addresses. */
async function session(first, second, headers = {}) {
  const opened = await nginx.http(HANDSHAKE, { localAddress: first, headers });
  assert.equal(opened.status, 200, opened.text);
  const { sid } = JSON.parse(opened.text.slice(1));
  const post = async (localAddress, body) => (await nginx.http(`${HANDSHAKE}&sid=${sid}`, { method: 'POST', body, localAddress, headers })).status;
  return [await post(first, '40{}'), await post(second, '1')];
}

test('the site is that of one server in everything but the nodes', () => {
  const lines = (file) => read(`deploy/nginx/${file}`).split('\n').map((line) => line.trim()).filter((line) => line && !line.startsWith('#'));
  const cluster = lines(SITE);
  assert.deepEqual(lines('video-call-server.conf').filter((line) => !cluster.includes(line)), [
    "'${request_time}s $upstream_http_x_request_id';",
    'server 127.0.0.1:3001;',
  ]);
});

describe('through the nginx site of several nodes', () => {
  for (const transport of [...TRANSPORTS, 'upgrade']) {
    test(`a whole call goes over ${transport}`, async (t) => {
      const alice = transport === 'polling' ? await elsewhere(t, 'alice') : await frontEnd(t, 'alice', { transport });
      const bob = transport === 'polling' ? await elsewhere(t, 'bob', alice) : await frontEnd(t, 'bob', { transport });
      if (transport === 'upgrade') {
        await eventually('both to be on a WebSocket', () =>
          ([alice, bob].every((device) => device.socket.io.engine.transport.name === 'websocket') ? true : undefined));
      }
      const callId = await ring(alice, bob);
      await bob.ok('accept_call', { callId, answer: answer() });
      await alice.once('call_accepted', { callId });
      for (const [from, to] of [[alice, bob], [bob, alice]]) {
        await from.ok('ice_candidate', { to: to.id, callId, candidate: candidate(1) });
        await to.once('ice_candidate', { callId, candidate: candidate(1) });
      }
      await bob.ok('end_call', { callId });
      await alice.once('call_ended', { callId, reason: 'hangup' });
      await server.row(callId, 'completed');
      if (transport !== 'polling') return;
      for (const device of [alice, bob]) {
        assert.equal(nodesOf(device.address).length, 1, 'every request of a session went to one node');
        assert.ok(requestsFrom(device.address).every(({ status }) => status === 200));
      }
    });
  }

  test('who has no cookie polls where the address says, and all nodes get some', async () => {
    const nodes = new Set();
    for (const _ of MANY) {
      const address = freshAddress();
      assert.deepEqual(await session(address, address), [200, 200], address);
      nodesOf(address).forEach((node) => nodes.add(node));
      assert.equal(nodesOf(address).length, 1, address);
    }
    assert.equal(nodes.size, 3);
  });

  test('who has one polls where it says, also from another network, and all nodes get some of one address', async () => {
    const office = freshAddress();
    for (const n of MANY) {
      const cookie = `other=1; video_call_node=${n}f00dfeed`;
      assert.deepEqual(await session(office, freshAddress(), { cookie }), [200, 200], cookie);
    }
    assert.equal(nodesOf(office).length, 3);
  });

  test('a browser gets a cookie with its first page, and with nothing else', async () => {
    const ask = async (path, headers) => (await nginx.http(path, { headers })).headers['set-cookie'];
    const page = { 'sec-fetch-mode': 'navigate' };
    const [first] = await ask('/', page);
    const [second] = await ask('/', page);
    assert.match(first, /^video_call_node=[0-9a-f]{32}; Path=\/; Max-Age=31536000; Secure; HttpOnly; SameSite=Lax$/);
    assert.notEqual(second, first, 'each browser has its own');
    const [cookie] = first.split(';');
    assert.equal(await ask('/', { ...page, cookie }), undefined, 'it keeps the one it has');
    for (const path of ['/', '/health', '/api/users', HANDSHAKE]) {
      for (const headers of [{}, { 'sec-fetch-mode': 'cors' }, { 'sec-fetch-mode': 'websocket' }]) {
        assert.equal(await ask(path, headers), undefined, `${path} ${JSON.stringify(headers)}`);
      }
    }
  });

  test('what begins as a WebSocket goes to any node, also from one address with one cookie', async () => {
    const address = freshAddress();
    for (const _ of MANY) {
      const headers = { ...UPGRADE, cookie: 'video_call_node=f00d' };
      const { status } = await nginx.http('/socket.io/?EIO=4&transport=websocket', { headers, localAddress: address });
      assert.equal(status, 101);
    }
    await eventually('each to be logged', () => (requestsFrom(address).length === MANY.length ? true : undefined));
    assert.equal(nodesOf(address).length, 3);
  });

  test('a node that goes away takes no request and no call with it, nor does its return', async (t) => {
    const alice = await elsewhere(t, 'alice');
    const bob = await elsewhere(t, 'bob', alice);
    const callId = await establish(alice, bob);
    bob.callId = callId;
    const [n] = nodesOf(bob.address);
    const node = server.nodes[n];
    const comesBack = async () => {
      assert.notEqual(await bob.once('disconnect', {}, BACK_MS), 'io server disconnect');
      await bob.once('join_success', ({ activeCall }) => activeCall?.callId === callId, BACK_MS);
      await alice.ok('media_state', { callId, audio: true, video: false });
      await bob.once('media_state', { callId });
    };
    await node.stop();
    for (let round = 0; round < 12; round += 1) {
      assert.equal((await nginx.http('/health/live')).status, 200);
      assert.equal((await nginx.login(freshAddress())).status, 401);
    }
    await comesBack();
    assert.equal(nodesOf(bob.address).filter((other) => other !== n).length, 1, 'it is on one of the others');
    await node.start();
    await comesBack();
    assert.equal(requestsFrom(bob.address).at(-1).node, n, 'it is where it was');
    assert.deepEqual([alice, bob].flatMap((device) => device.heard('call_ended')), []);
    await bob.ok('end_call', { callId });
    await alice.once('call_ended', { callId, reason: 'hangup' });
    assert.equal((await server.row(callId, 'completed')).end_reason, 'hangup');
  });
});
