// What bench/nodes runs: start that, its head has the usage.
//
// A set-up is started afresh in each round, with a database and a Redis of its own. Its users join, and then, for the same time each, it
// is left alone, users come and go, and calls are made, first with candidates that trickle and then with all of them at once. What it
// needs while it is left alone is subtracted from the others: every node says each second that it is alive, and looks into its inbox.
// Nobody is told who is online (`presence: none`).

import assert from 'node:assert/strict';
import { readFile, readdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import net from 'node:net';
import os from 'node:os';
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { JWT_SECRET, Server, eventually, forge, within } from '../tests/clients/harness.mjs';

const { io } = createRequire(new URL('../tests/clients/package.json', import.meta.url))('socket.io-client');

const QUICK = Boolean(process.env.BENCH_QUICK);
const setting = (name, usual, quick = usual) => {
  const value = Number(process.env[name] ?? (QUICK ? quick : usual));
  assert.ok(Number.isFinite(value) && value >= 0, `${name}=${process.env[name]} is no number`);
  return value;
};
const ROUNDS = setting('BENCH_ROUNDS', 3, 1);
const WINDOW_MS = setting('BENCH_SECONDS', 3, 1) * 1_000;
const USERS = setting('BENCH_USERS', 300, 200);
const CALLS_A_SECOND = setting('BENCH_CALLS', 100, 50);
const CHANGES_A_SECOND = setting('BENCH_CHANGES', 100, 50);
const TRICKLE_MS = setting('BENCH_TRICKLE_MS', 10);

/** `nodes` as the harness has it: 0 is a server that knows no Redis. */
const SETUPS = [
  { name: 'without Redis', nodes: 0 },
  { name: '1 node', nodes: 1 },
  { name: '2 nodes', nodes: 2 },
  { name: '3 nodes', nodes: 3 },
];
const CANDIDATES = 10;
const PAIRS = 80;
/** How long a user who comes stays. */
const STAY_MS = 500;
/** After the last thing was done, what is written behind it is written. */
const REST_MS = 300;
const CONNECTS_AT_ONCE = 32;
/** No call and no join takes that long. */
const PATIENCE_MS = 20_000;

const ENV = {
  // Nothing is logged that does not matter here; the notes show the rest.
  RUST_LOG: 'warn',
  // Longer than it runs: no heartbeats of the sockets, and who is to join later may wait.
  PING_INTERVAL: '2m',
  PING_TIMEOUT: '2m',
  JOIN_TIMEOUT: '5m',
};

process.on('SIGINT', () => process.exit(130));

// ---- What the clients do ----

/** As browsers write them, in form and size; the same as bench/compare's. */
const SDP = (() => {
  let text = [
    'v=0', 'o=- 4611731400430051336 2 IN IP4 127.0.0.1', 's=-', 't=0 0', 'a=group:BUNDLE 0 1', 'a=extmap-allow-mixed',
    'a=msid-semantic: WMS', 'm=video 9 UDP/TLS/RTP/SAVPF 96 97 98 99 100 101', 'c=IN IP4 0.0.0.0', 'a=ice-ufrag:Ep9m',
    'a=ice-pwd:kTVKVSbEGMvYbbNDBXpyNdT9', 'a=ice-options:trickle', 'a=setup:actpass', 'a=mid:1', 'a=sendrecv', 'a=rtcp-mux', '',
  ].join('\r\n');
  for (let payload = 96; ; payload += 1) {
    const codec = [
      `a=rtpmap:${payload} H264/90000`, `a=rtcp-fb:${payload} goog-remb`, `a=rtcp-fb:${payload} transport-cc`,
      `a=fmtp:${payload} level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f`, '',
    ].join('\r\n');
    if (text.length + codec.length > 5_500) return text;
    text += codec;
  }
})();
const candidate = (n) => ({
  candidate: `candidate:842163049 1 udp 1677729535 203.0.113.77 ${50_000 + n} typ srflx raddr 192.168.1.23 rport 46154 generation 0 ufrag Ep9m network-cost 999`,
  sdpMid: '0',
  sdpMLineIndex: 0,
  usernameFragment: 'Ep9m',
});
const numberOf = ({ candidate: text }) => Number(text.split(' ')[5]) - 50_000;

class Device {
  /** What hears the events, by their names. */
  ears = {};

  constructor(user, url) {
    this.user = user;
    this.socket = io(url, { auth: { token: user.token }, transports: ['websocket'], forceNew: true, reconnection: false });
    this.socket.onAny((event, content) => (this.ears[event] ?? unexpected)(content, event));
    this.socket.on('disconnect', (reason) => {
      if (reason !== 'io client disconnect') unexpected(reason, 'disconnect');
    });
  }

  connected() {
    return within(PATIENCE_MS, `a connection of ${this.user.username}`, new Promise((done, fail) => {
      this.socket.once('connect', done);
      this.socket.once('connect_error', fail);
    }));
  }

  join() {
    return within(PATIENCE_MS, `join_success for ${this.user.username}`, new Promise((done) => {
      this.ears.join_success = done;
      this.socket.emit('join', { id: this.user.id, username: this.user.username, presence: 'none' });
    }));
  }

  leave() {
    this.socket.disconnect();
  }
}

let fail;
/** Rejected, when something happened that makes the figures worthless. */
const failed = new Promise((_, reject) => { fail = reject; });
failed.catch(() => {});

/** Above all `event_error`. */
function unexpected(content, event) {
  fail(new Error(`unexpected: ${event} ${JSON.stringify(content)}`));
}

/** Does something for each, some at a time. */
async function forEach(items, act) {
  const left = items[Symbol.iterator]();
  await Promise.all(Array.from({ length: CONNECTS_AT_ONCE }, async () => {
    for (const item of left) await act(item);
  }));
}

/** Does something at a rate, and waits until all of it is done. Returns how often. */
async function pace(perSecond, act) {
  const start = performance.now();
  const count = Math.round(perSecond * WINDOW_MS / 1_000);
  const acts = [];
  for (let n = 0; n < count; n += 1) {
    const due = start + n * 1_000 / perSecond;
    if (due > performance.now()) await delay(due - performance.now());
    acts.push(act(n));
  }
  await Promise.all(acts);
  return count;
}

/** Two who call each other, by turns. */
class Pair {
  isBusy = false;
  #calls = 0;

  constructor(devices) {
    this.devices = devices;
  }

  /** A whole call; notes down how long its parts took. */
  async call(times, trickleMs) {
    this.isBusy = true;
    const [caller, callee] = this.#calls++ % 2 ? [...this.devices].reverse() : this.devices;
    try {
      await within(PATIENCE_MS, `the end of a call from ${caller.user.username}`, talk(caller, callee, times, trickleMs));
    } finally {
      this.isBusy = false;
    }
  }
}

function talk(caller, callee, times, trickleMs) {
  return new Promise((ended) => {
    let callId;
    let accepted;
    let unheard = 2 * CANDIDATES;
    const dialled = performance.now();
    const trickle = async (from, to) => {
      const sent = [];
      to.ears.ice_candidate = ({ candidate: heard }) => {
        times.candidate.push(performance.now() - sent[numberOf(heard)]);
        unheard -= 1;
        if (unheard === 0) caller.socket.emit('end_call', { callId });
      };
      for (let n = 0; n < CANDIDATES; n += 1) {
        if (trickleMs > 0) await delay(trickleMs);
        sent.push(performance.now());
        from.socket.emit('ice_candidate', { to: to.user.id, callId, candidate: candidate(n) });
      }
    };
    caller.ears.call_status = (told, event) => {
      if (told.status !== 'ringing') unexpected(told, event);
    };
    callee.ears.incoming_call = (call) => {
      times.ring.push(performance.now() - dialled);
      ({ callId } = call);
      accepted = performance.now();
      callee.socket.emit('accept_call', { callId, answer: { type: 'answer', sdp: SDP } });
      trickle(callee, caller);
    };
    caller.ears.call_accepted = () => {
      times.accept.push(performance.now() - accepted);
      trickle(caller, callee);
    };
    callee.ears.call_ended = ended;
    caller.socket.emit('call_user', { to: callee.user.id, callType: 'video', offer: { type: 'offer', sdp: SDP } });
  });
}

// ---- What is counted ----

const INFO = 'INFO everything\r\n';

/** Asks a Redis what it has done. */
class Inspector {
  #socket;
  #heard = '';
  #given;
  /** Bytes that went to Redis and came from it for the sake of this. */
  #asked = 0;
  #told = 0;

  static async of(redis) {
    const inspector = new Inspector();
    inspector.#socket = net.connect(redis.port, '127.0.0.1').setEncoding('latin1');
    inspector.#socket.on('data', (text) => inspector.#hear(text)).on('error', () => {});
    const { process_id: pid, redis_version: version } = await inspector.info();
    Object.assign(inspector, { pid: Number(pid), version });
    return inspector;
  }

  #hear(text) {
    this.#heard += text;
    const [, length, start] = this.#heard.match(/^\$(\d+)(\r\n)/) ?? [];
    const head = `$${length}${start}`;
    if (length === undefined || this.#heard.length < head.length + Number(length) + 2) return;
    const fields = this.#heard.slice(head.length).split('\r\n').filter((line) => line.includes(':'));
    this.#told += this.#heard.length;
    this.#heard = '';
    this.#given(Object.fromEntries(fields.map((line) => line.split(/:(.*)/, 2))));
  }

  info() {
    return within(PATIENCE_MS, 'INFO of Redis', new Promise((given) => {
      this.#given = given;
      this.#asked += INFO.length;
      this.#socket.write(INFO);
    }));
  }

  /** Commands, and bytes, but for those of this. */
  async counts() {
    const told = this.#told;
    const info = await this.info();
    const calls = (name) => Number(info[`cmdstat_${name}`]?.match(/calls=(\d+)/)[1] ?? 0);
    const names = Object.keys(info).filter((key) => key.startsWith('cmdstat_')).map((key) => key.slice('cmdstat_'.length));
    return {
      commands: names.filter((name) => name !== 'info').reduce((sum, name) => sum + calls(name), 0),
      letters: calls('xadd'),
      scripts: calls('eval'),
      reads: calls('xread'),
      bytesIn: Number(info.total_net_input_bytes) - this.#asked,
      bytesOut: Number(info.total_net_output_bytes) - told,
    };
  }

  close() {
    this.#socket.destroy();
  }
}

/** Processes that this one has started and that run. */
async function children() {
  const found = [];
  for (const name of (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry))) {
    const stat = await readFile(`/proc/${name}/stat`, 'utf8').catch(() => '');
    if (Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === process.pid) found.push(Number(name));
  }
  return found;
}

/**
 * utime and stime of a process, in seconds, thread by thread: /proc/PID/stat has the same sum in steps of 10 ms, which is as much as
 * a node needs in a second when it is left alone.
 */
async function cpuOf(pid) {
  const threads = await readdir(`/proc/${pid}/task`);
  const texts = await Promise.all(threads.map((thread) => readFile(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').catch(() => '0')));
  return texts.reduce((sum, text) => sum + Number(text.split(' ')[0]), 0) / 1e9;
}

const TICKS_A_SECOND = 100;
/** How long the cores of the machine were busy, with whatever, in seconds. */
async function busyCores() {
  const [user, nice, system, , , irq, softirq, steal] = (await readFile('/proc/stat', 'utf8')).split('\n')[0].match(/\d+/g).map(Number);
  return (user + nice + system + irq + softirq + steal) / TICKS_A_SECOND;
}

/** The processes of a set-up, and what they have done so far. */
class Meter {
  static async of(server) {
    const meter = new Meter();
    meter.redis = server.redis && await Inspector.of(server.redis);
    meter.pids = (await children()).filter((pid) => pid !== meter.redis?.pid);
    assert.equal(meter.pids.length, server.nodes.length, 'a process for each node, and no other');
    return meter;
  }

  async read() {
    const cpus = await Promise.all(this.pids.map(cpuOf));
    const own = process.cpuUsage();
    return {
      seconds: performance.now() / 1_000,
      cpu: cpus.reduce((sum, cpu) => sum + cpu, 0),
      generator: (own.user + own.system) / 1e6,
      machine: await busyCores(),
      ...(this.redis && { redisCpu: await cpuOf(this.redis.pid), ...await this.redis.counts() }),
    };
  }

  /** What is done meanwhile, and how often by what `act` returns. */
  async during(act) {
    const before = await this.read();
    const count = await Promise.race([act(), failed]);
    await delay(REST_MS);
    const after = await this.read();
    return { count, ...Object.fromEntries(Object.entries(after).map(([name, value]) => [name, value - before[name]])) };
  }
}

/** What each of the things that were done has cost, beyond what would have been spent all the same. */
function costOf(done, idle) {
  const cost = {};
  for (const name of ['cpu', 'redisCpu', 'commands', 'letters', 'scripts', 'reads', 'bytesIn', 'bytesOut']) {
    if (name in done) cost[name] = (done[name] - idle[name] * done.seconds / idle.seconds) / done.count;
  }
  return cost;
}

const perSecond = (idle) => Object.fromEntries(Object.entries(idle).map(([name, value]) => [name, value / idle.seconds]));

const byValue = (values) => [...values].sort((a, b) => a - b);
const quantile = (values, q) => byValue(values)[Math.min(values.length - 1, Math.floor(values.length * q))];
const median = (values) => {
  const sorted = byValue(values);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
};

/** Of each kind the median and the p99, in seconds. */
const latencies = (times) => Object.fromEntries(Object.entries(times).flatMap(([name, values]) => [
  [`${name}P50`, quantile(values, 0.5) / 1_000],
  [`${name}P99`, quantile(values, 0.99) / 1_000],
]));

// ---- A set-up ----

/** Accounts with a session each, in SQL: one is registered, the others have the hash of its password. */
async function accounts(server, count) {
  const model = await server.register('model');
  const rows = await server.query(
    `with new as (insert into users (id, username, password_hash)
       select gen_random_uuid(), 'user' || lpad(n::text, 6, '0'), (select password_hash from users where id = $1)
       from generate_series(1, $2::int) n returning id, username),
     of as (insert into sessions (id, user_id, expires_at)
       select gen_random_uuid(), id, now() + interval '1 day' from new returning id as session, user_id)
     select id, username, session from new join of on user_id = id order by username`,
    [model.id, count],
  );
  return rows.map(({ id, username, session }) => {
    const claims = { sub: id, sid: session, jti: id, username };
    return { id, username, token: forge(model.token, { secret: JWT_SECRET, claims }) };
  });
}

/** Starts a set-up, measures it and ends it. */
async function measure({ nodes }) {
  const server = await Server.start(ENV, { nodes });
  const devices = [];
  let meter;
  try {
    const newcomers = Math.round(CHANGES_A_SECOND / 2 * WINDOW_MS / 1_000);
    // Neighbours are on different nodes, where there are several.
    const all = (await accounts(server, USERS + newcomers))
      .map((user, n) => ({ user, url: server.nodes[n % server.nodes.length].url }));
    await forEach(all, ({ user, url }) => eventually(`a connection of ${user.username}`, async () => {
      // A busy PostgreSQL may make a server say `unavailable`: nothing is measured yet.
      const device = new Device(user, url);
      await device.connected();
      devices.push(device);
      return device;
    }, PATIENCE_MS));
    const place = new Map(all.map(({ user }, n) => [user, n]));
    devices.sort((one, other) => place.get(one.user) - place.get(other.user));
    const [online, offline] = [devices.slice(0, USERS), devices.slice(USERS)];
    await forEach(online, (device) => device.join());
    await agree(server);
    await delay(1_000);

    meter = await Meter.of(server);
    const idle = await meter.during(() => delay(WINDOW_MS));
    const changes = await meter.during(async () => 2 * await pace(CHANGES_A_SECOND / 2, async (n) => {
      await offline[n].join();
      await delay(STAY_MS);
      offline[n].leave();
    }));
    await agree(server);

    const pairs = Array.from({ length: Math.min(PAIRS, USERS >> 1) }, (_, n) => new Pair(online.slice(2 * n, 2 * n + 2)));
    const callEachOther = async (trickleMs) => {
      const times = { ring: [], accept: [], candidate: [] };
      const done = await meter.during(() => pace(CALLS_A_SECOND, () => {
        const turn = pairs.findIndex((pair) => !pair.isBusy);
        assert.ok(turn >= 0, 'calls take so long that every pair is in one: lower BENCH_CALLS');
        const [pair] = pairs.splice(turn, 1);
        pairs.push(pair);
        return pair.call(times, trickleMs);
      }));
      return { ...done, latencies: latencies(times) };
    };
    const [calls, bursts] = [await callEachOther(TRICKLE_MS), await callEachOther(0)];
    await eventually('a row of each call', async () => {
      const [{ count }] = await server.query("select count(*)::int from calls where status = 'completed'");
      return count === calls.count + bursts.count || undefined;
    });
    const [{ version }] = await server.query("select current_setting('server_version') as version");
    return {
      idle: perSecond(idle),
      changes: costOf(changes, idle),
      calls: { ...costOf(calls, idle), ...calls.latencies },
      bursts: { ...costOf(bursts, idle), ...bursts.latencies },
      loads: { idle, changes, calls, bursts },
      warnings: server.logs.split('\n').filter((text) => /WARN|ERROR/.test(text)),
      versions: { postgres: version, redis: meter.redis?.version },
    };
  } finally {
    meter?.redis?.close();
    for (const device of devices) device.leave();
    await server.dispose();
  }
}

/** Every node knows who is online, and of no call. */
function agree(server) {
  return Promise.all(server.nodes.map((node) => eventually(`${USERS} users on ${node.url}`, async () => {
    const { activeUsers, activeCalls } = (await node.http('/health')).body;
    assert.deepEqual({ activeUsers, activeCalls }, { activeUsers: USERS, activeCalls: 0 });
    return true;
  })));
}

// ---- The tables ----

const round3 = (value) => {
  const rounded = Number(value.toPrecision(3));
  return Math.abs(rounded) >= 100 ? rounded.toFixed(0) : rounded.toPrecision(3);
};
const scaled = (value, units) => {
  const [factor, unit] = units.find(([least]) => Math.abs(value) >= least * 0.9995) ?? units.at(-1);
  return `${round3(value / factor)} ${unit}`;
};
const time = (seconds) => scaled(seconds, [[1, 's'], [1e-3, 'ms'], [1e-6, 'µs']]);
const bytes = (count) => scaled(count, [[1e6, 'MB'], [1e3, 'kB'], [1, 'B']]);
const share = (cores) => `${round3(100 * cores)} %`;
// A beat more or less of the nodes is as much as 0.02 of a thing that was done 300 times.
const number = (count) => (Math.abs(count) < 0.02 ? '0' : count.toFixed(Math.abs(count) < 10 ? 2 : 1));

const REDIS_ROWS = [
  ['commands', 'Redis commands, with those within scripts', number],
  ['letters', 'letters of nodes (`XADD`)', number],
  ['scripts', 'scripts (`EVAL`)', number],
  ['reads', 'reads of an inbox (`XTRIM` and `XREAD`)', number],
  ['bytesIn', 'bytes to Redis', bytes],
  ['bytesOut', 'bytes from Redis', bytes],
];
const CPU_ROWS = [
  ['cpu', 'CPU of all servers', time],
  ['redisCpu', 'CPU of Redis', time],
];
const LATENCY_ROWS = [
  ['ringP50', '`call_user` → `incoming_call`, committed first: median', time],
  ['ringP99', '`call_user` → `incoming_call`, committed first: p99', time],
  ['acceptP50', '`accept_call` → `call_accepted`: median', time],
  ['acceptP99', '`accept_call` → `call_accepted`: p99', time],
  ['candidateP50', 'candidate in → candidate out: median', time],
  ['candidateP99', 'candidate in → candidate out: p99', time],
];
/** What is set beside what. */
const [ALONE, , TWO, THREE] = SETUPS;
const RATIOS = [[TWO, ALONE], [THREE, ALONE], [THREE, TWO]];

/** A table of each thing that was done: what its figures are of, their rows, and which are set beside which. */
const TABLES = [
  ['calls', `a whole call, candidates one every ${TRICKLE_MS} ms`, [...CPU_ROWS, ...REDIS_ROWS, ...LATENCY_ROWS], RATIOS],
  ['bursts', 'a whole call, candidates all at once', [...CPU_ROWS, ...REDIS_ROWS, ...LATENCY_ROWS], RATIOS],
  ['changes', `a change of presence (a join, or a leave), ${USERS} users online`, [...CPU_ROWS, ...REDIS_ROWS], RATIOS],
  ['idle', `a second of ${USERS} users who do nothing, without heartbeats`, [
    ['cpu', 'CPU of all servers', share],
    ['redisCpu', 'CPU of Redis', share],
    ...REDIS_ROWS,
  ], [[THREE, TWO]]],
];

const line = (cells) => `| ${cells.join(' | ')} |`;

/** A figure is the median of the rounds; a ratio the median of the ratios within each round. */
function row([field, what, format], part, beside, rounds) {
  const of = (setup) => rounds.map((round) => round.get(setup)[part][field]).filter((value) => value !== undefined);
  const ratio = ([setup, base]) => {
    const ratios = of(base).map((value, n) => of(setup)[n] / value);
    // Of next to nothing a ratio says nothing.
    if (ratios.length === 0 || format(median(of(base))) === '0' || !ratios.every((value) => value > 0)) return '–';
    return `${round3(median(ratios))} (${round3(Math.min(...ratios))} to ${round3(Math.max(...ratios))})`;
  };
  return line([
    what,
    ...SETUPS.map((setup) => (of(setup).length > 0 ? format(median(of(setup))) : '–')),
    ...beside.map(ratio),
  ]);
}

function table([part, what, rows, beside], rounds) {
  const head = [what, ...SETUPS.map(({ name }) => name), ...beside.map((of) => `${of.map(({ name }) => name).join(' / ')} (range)`)];
  return [line(head), line(head.map(() => '---')), ...rows.map((fields) => row(fields, part, beside, rounds))].join('\n');
}

const PARTS = {
  idle: 'left alone',
  changes: `${CHANGES_A_SECOND} changes/s`,
  calls: `${CALLS_A_SECOND} calls/s`,
  bursts: `${CALLS_A_SECOND} calls/s, candidates at once`,
};

function note({ name }, { loads, warnings }) {
  const busy = Object.entries(PARTS).map(([part, what]) => {
    const { seconds, cpu, redisCpu, generator, machine } = loads[part];
    const percent = (used) => `${(100 * used / seconds).toFixed(0)} %`;
    const redis = redisCpu === undefined ? '' : `Redis ${percent(redisCpu)}, `;
    return `${what}: servers ${percent(cpu)}, ${redis}generator ${percent(generator)}, the whole machine ${percent(machine)}`;
  });
  const said = warnings.length > 0 ? `; ${warnings.length} warnings, the first: ${warnings[0]}` : '';
  return `- ${name}, of a core: ${busy.join('; ')}${said}`;
}

/** A line for above the tables. */
function machine(rounds) {
  const cpus = os.cpus();
  const { postgres, redis } = rounds[0].get(THREE).versions;
  return `${new Date().toISOString().slice(0, 10)}, ${cpus.length} cores (${cpus[0].model.trim()}), `
    + `${Math.round(os.totalmem() / 2 ** 30)} GiB, Linux ${os.release()}, Node ${process.version}, PostgreSQL ${postgres}, Redis ${redis}, rounds: ${ROUNDS}`;
}

const began = performance.now();
const rounds = [];
const notes = [];
for (let n = 0; n < ROUNDS; n += 1) {
  const round = new Map();
  // Each is first in its turn, so that nobody always comes right after the same.
  for (const setup of SETUPS.map((_, i) => SETUPS[(i + n) % SETUPS.length])) {
    const measured = await measure(setup);
    round.set(setup, measured);
    notes.push(note(setup, measured));
    console.error(notes.at(-1));
  }
  rounds.push(round);
}
const minutes = ((performance.now() - began) / 60_000).toFixed(1);
console.log([
  machine(rounds),
  ...TABLES.map((of) => table(of, rounds)),
  `The two of a call are on different nodes, where there are several. It took ${minutes} minutes.`,
  notes.join('\n'),
].join('\n\n'));
