// /metrics as Prometheus reads it: what a real server counts, and deploy/prometheus and deploy/grafana held against that.

import assert from 'node:assert/strict';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Server, TRANSPORTS, answer, candidate, establish, eventually, freePort, offer, ring, run } from '../clients/harness.mjs';
import { Program, ROOT, ending, output, read, scratch } from './program.mjs';

const FOLDER = join(ROOT, 'deploy/prometheus');
const RULES = read('deploy/prometheus/alerts.yml');
const DASHBOARD = JSON.parse(read('deploy/grafana/dashboard.json'));
const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/;

/** The samples of a scrape, by `name{labels}` as they stand there. */
class Scrape {
  samples = new Map();
  names = new Set();
  labels = new Map();

  constructor(text) {
    this.text = text;
    for (const line of text.split('\n').filter((line) => line && !line.startsWith('#'))) {
      const [, name, labels = '', value] = line.match(SAMPLE) ?? assert.fail(`no sample: ${line}`);
      this.names.add(name);
      this.samples.set(`${name}{${labels}}`, Number(value));
      for (const [, label, of] of labels.matchAll(/([a-z_]+)="((?:[^"\\]|\\.)*)"/g)) {
        this.labels.set(label, (this.labels.get(label) ?? new Set()).add(of));
      }
    }
  }

  /** The sum of the samples of `name` that carry each of `labels`. */
  value(name, labels = {}) {
    const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
    let sum;
    for (const [key, value] of this.samples) {
      const [of, inside] = [key.slice(0, key.indexOf('{')), key.slice(key.indexOf('{') + 1, -1).split(/,(?=[a-z_]+=)/)];
      if (of === name && wanted.every((label) => inside.includes(label))) sum = (sum ?? 0) + value;
    }
    assert.notEqual(sum, undefined, `there is no ${name} ${JSON.stringify(labels)}`);
    return sum;
  }

  events(event, result) {
    return this.value('video_call_socket_events_total', { event, result });
  }

  ended(status, end_reason) {
    return this.value('video_call_calls_ended_total', { status, end_reason });
  }

  requests(route, method, status) {
    return this.value('video_call_http_request_duration_seconds_count', { route, method, status });
  }
}

async function scrape(server, options) {
  const { status, headers, text } = await server.http('/metrics', options);
  assert.equal(status, 200, text);
  assert.match(headers['content-type'], /^text\/plain; version=0\.0\.4/);
  return new Scrape(text);
}

/** A scrape once it says what it must: some things are counted a moment after they are seen. */
function scraped(server, what, wanted) {
  return eventually(what, async () => {
    const found = await scrape(server);
    return wanted(found) ? found : undefined;
  });
}

describe('the files of deploy/prometheus', () => {
  test('are what promtool takes for good, and the alerts do what their tests say', () => {
    output('promtool', ['check', 'config', 'prometheus.yml'], { cwd: FOLDER });
    output('promtool', ['check', 'rules', 'alerts.yml'], { cwd: FOLDER });
    assert.match(output('promtool', ['test', 'rules', 'alerts.test.yml'], { cwd: FOLDER }), /SUCCESS/);
  });

  test('can send alerts on: the block that is a comment is one that promtool takes', async (t) => {
    const dir = await scratch((end) => t.after(end), 'alerting');
    const config = read('deploy/prometheus/prometheus.yml').replace(/^#(alerting:|  )/gm, '$1');
    assert.match(config, /^alerting:\n  alertmanagers:\n/m);
    writeFileSync(join(dir, 'alerts.yml'), RULES);
    writeFileSync(join(dir, 'prometheus.yml'), config);
    output('promtool', ['check', 'config', 'prometheus.yml'], { cwd: dir });
  });

  test('an alert of memory fires before the limit of the container ends the server', () => {
    const [, gibibytes] = RULES.match(/process_resident_memory_bytes\{.*?\} > ([\d.]+) \* 1024 \* 1024 \* 1024$/m);
    const [, limit] = read('deploy/kubernetes/deployment.yaml').match(/limits:\n +memory: (\d+)Gi$/m);
    assert.ok(Number(gibibytes) < Number(limit));
  });

  test('test each alert, and say where to read on, where that stands', () => {
    const tests = read('deploy/prometheus/alerts.test.yml');
    const headings = read('docs/operations.md').match(/^#+ .*$/gm).map((heading) => heading.replace(/^#+ /, '').toLowerCase());
    const alerts = RULES.split(/^ +- alert: /m).slice(1);
    assert.ok(alerts.length >= 15, `${alerts.length} alerts`);
    for (const alert of alerts) {
      const [name] = alert.split('\n');
      assert.ok(tests.includes(`alertname="${name}"`), `${name} never fires in a test`);
      for (const annotation of ['summary', 'description', 'runbook']) assert.match(alert, new RegExp(`^ +${annotation}: .`, 'm'), name);
      const anchor = alert.match(/runbook: docs\/operations\.md#(\S+)/)[1];
      assert.ok(headings.includes(anchor), `${name}: there is no heading #${anchor}`);
    }
  });
});

describe('a server at work', () => {
  const defer = ending(after);
  let server;
  let alice;
  let bob;
  let carol;
  /** What stands in no label. */
  const secrets = [];

  /** A call, and what is tried beside it. */
  async function talkAndBeRefused() {
    const talk = await establish(alice, bob);
    for (const [from, to] of [[alice, bob], [bob, alice]]) {
      await from.ok('ice_candidate', { to: to.id, callId: talk, candidate: candidate() });
      await to.once('ice_candidate');
    }
    const busy = await carol.ok('call_user', { to: alice.id, callType: 'audio', offer: offer() });
    assert.equal(busy.status, 'user_busy');
    await carol.refused('not_found', 'end_call', { callId: talk });
    await alice.refused('invalid_state', 'accept_call', { callId: talk, answer: answer() });
    const offline = await carol.ok('call_user', { to: secrets[0], callType: 'audio', offer: offer() });
    assert.equal(offline.status, 'user_offline');
    await alice.ok('end_call', { callId: talk });
    secrets.push(talk, busy.callId, offline.callId);
  }

  before(async () => {
    // On a Redis, so that it has what a node tells, too.
    server = await Server.start({
      RING_TIMEOUT: '1500ms', LOGIN_RATE_PER_MINUTE: '30', EVENT_RATE_PER_SECOND: '20', CALL_RATE_PER_MINUTE: '30',
    }, { nodes: 1 });
    defer(() => server.dispose());
  });

  // The clients' own clean-up is bound to a test, so that everything that is counted happens in one.
  test('counts and measures what it does', async (t) => {
    const away = await server.register('away');
    secrets.push(away.id, away.username);
    [alice] = await server.devices(t, 'websocket', 'alice');
    [bob] = await server.devices(t, 'polling', 'bob');
    [carol] = await server.devices(t, 'websocket', 'carol');
    for (const { user } of [alice, bob, carol]) secrets.push(user.id, user.username);

    await talkAndBeRefused();
    const rejected = await ring(alice, bob);
    await bob.ok('reject_call', { callId: rejected });
    const cancelled = await ring(alice, bob);
    await alice.ok('end_call', { callId: cancelled });
    const missed = await ring(alice, bob);
    await alice.once('call_ended', { callId: missed, reason: 'no_answer' });
    const live = await establish(alice, bob);

    let found = await scraped(server, 'every call to be written', (now) => now.value('video_call_journal_rows') === 0);
    const outcomes = [
      ['completed', 'hangup', 1], ['rejected', 'rejected', 1], ['cancelled', 'cancelled', 1], ['missed', 'no_answer', 1],
      ['missed', 'user_busy', 1], ['missed', 'user_offline', 1], ['failed', 'server_restart', 0], ['completed', 'connection_lost', 0],
    ];
    for (const [status, reason, count] of outcomes) assert.equal(found.ended(status, reason), count, `${status} ${reason}`);
    assert.equal(found.value('video_call_calls_ended_total'), 6);
    assert.deepEqual(['dialling', 'ringing', 'active'].map((state) => found.value('video_call_calls', { state })), [0, 0, 1]);
    assert.equal(found.value('video_call_users_online'), 3);
    assert.equal(found.value('video_call_devices_joined'), 3);
    assert.deepEqual(TRANSPORTS.map((transport) => found.value('video_call_sockets', { transport })), [2, 1]);
    assert.equal(found.value('video_call_socket_connects_total', { result: 'ok' }), 3);
    assert.ok(found.value('video_call_tcp_connections') >= 3);

    // Five calls rang: two were answered.
    assert.equal(found.value('video_call_call_setup_seconds_count'), 5);
    assert.equal(found.value('video_call_call_accept_seconds_count'), 2);
    assert.equal(found.value('video_call_call_talk_seconds_count'), 1);
    assert.ok(found.value('video_call_call_setup_seconds_sum') > 0 && found.value('video_call_call_accept_seconds_sum') > 0);
    const rings = ['answered', 'rejected', 'cancelled', 'missed', 'failed'];
    const rang = (part) => rings.map((outcome) => found.value(`video_call_call_ring_seconds_${part}`, { outcome }));
    assert.deepEqual(rang('count'), [2, 1, 1, 1, 0]);
    assert.ok(rang('sum')[3] >= 1.5 && rang('sum')[3] < 10, `it rang ${rang('sum')[3]} s in vain`);

    const events = [
      ['join', 'ok', 3], ['call_user', 'ok', 7], ['accept_call', 'ok', 2], ['reject_call', 'ok', 1], ['end_call', 'ok', 2],
      ['ice_candidate', 'ok', 2], ['end_call', 'not_found', 1], ['unknown', 'unknown_event', 0],
    ];
    for (const [event, result, count] of events) assert.equal(found.events(event, result), count, `${event} ${result}`);
    assert.equal(found.value('video_call_socket_events_total', { event: 'accept_call' }), 3);

    await alice.ok('end_call', { callId: live });
    found = await scraped(server, 'the second call to end', (now) => now.ended('completed', 'hangup') === 2);
    assert.equal(found.value('video_call_calls', { state: 'active' }), 0);

    carol.leave();
    await scraped(server, 'carol to be gone', (now) => now.value('video_call_users_online') === 2
      && now.value('video_call_sockets', { transport: 'websocket' }) === 1);
    secrets.push(rejected, cancelled, missed, live);
  });

  test('counts requests by their route, and what it refuses by its limit', async (t) => {
    await scrape(server);
    const post = (path, json) => server.http(path, { method: 'POST', json });
    for (let i = 0; i < 6; i += 1) await post('/api/login', { username: secrets[1], password: 'not the password' });
    await post('/api/login', { username: secrets[1] });
    for (const path of [`/api/calls/${secrets.at(-1)}`, '/api/me', '/api/nothing', `/${secrets[0]}`, '/health/live']) await server.http(path);
    await server.http('/health', { method: 'DELETE' });

    let now = await scrape(server);
    assert.equal(now.requests('/api/login', 'POST', '401'), 5);
    assert.equal(now.requests('/api/login', 'POST', '429'), 1);
    assert.equal(now.requests('/api/login', 'POST', '400'), 1);
    assert.equal(now.requests('/api/register', 'POST', '201'), 4);
    assert.equal(now.requests('/api/calls/{id}', 'GET', '401'), 1);
    assert.equal(now.requests('/api/me', 'GET', '401'), 1);
    assert.equal(now.requests('/health/live', 'GET', '200'), 1);
    assert.equal(now.requests('/health', 'DELETE', '405'), 1);
    assert.equal(now.requests('unmatched', 'GET', '404'), 2);
    assert.ok(now.requests('/metrics', 'GET', '200') > 0);
    assert.ok(now.requests('/socket.io', 'GET', '101') >= 2, 'two clients came by WebSocket');
    assert.equal(now.value('video_call_rate_limited_total', { limit: 'password' }), 1);
    // Four accounts were made and five passwords looked at.
    assert.equal(now.value('video_call_password_hash_seconds_count'), 9);
    assert.equal(now.value('video_call_password_hash_wait_seconds_count'), 9);
    assert.deepEqual(['running', 'waiting'].map((state) => now.value('video_call_password_hash_jobs', { state })), [0, 0]);

    const dave = await server.device(t, await server.register('dave'), { transport: 'websocket' });
    secrets.push(dave.id, dave.label);
    let refused;
    for (let i = 0; i < 40 && refused !== 'rate_limited'; i += 1) {
      refused = (await dave.ack('call_user', { to: dave.id, callType: 'audio', offer: offer() })).code;
    }
    await Promise.all(Array.from({ length: 150 }, () => dave.ack('no_such_event')));
    // Each as somebody else, since one name has a limit of its own.
    let names = 0;
    const tooMany = async () => (await post('/api/login', { username: `nobody-${names += 1}`, password: 'not the password' })).status === 429;
    await eventually('logins to be limited', async () => ((await tooMany()) ? true : undefined));
    await dave.refused(['unknown_event', 'rate_limited'], secrets[0]);
    now = await scrape(server);
    const limits = ['call', 'event', 'login'].map((limit) => now.value('video_call_rate_limited_total', { limit }));
    assert.ok(limits.every((count) => count > 0), `${limits}`);
    assert.equal(now.events('call_user', 'rate_limited'), limits[0]);
    assert.ok(now.events('call_user', 'self_call') >= 10);
    assert.ok(now.events('unknown', 'unknown_event') > 0 && now.events('unknown', 'rate_limited') > 0);
    assert.ok(now.events('unknown', 'rate_limited') >= limits[1]);
    const refusal = await server.connect(t, null, { auth: { token: 'nonsense' } }).refusal();
    assert.equal((await scrape(server)).value('video_call_socket_connects_total', { result: refusal }), 1);
  });

  test('tells of its process, its database and its version what the system tells', async () => {
    const now = await scrape(server);
    const health = (await server.http('/health')).body;
    const within = (name, low, high) => {
      const value = now.value(name);
      assert.ok(value >= low && value <= high, `${name} is ${value}`);
    };
    within('process_resident_memory_bytes', health.memory.rss / 2, health.memory.rss * 2);
    within('process_cpu_seconds_total', 0.05, 600);
    within('process_open_fds', 10, 1000);
    within('process_max_fds', now.value('process_open_fds'), Infinity);
    within('process_threads', 2, 1000);
    within('process_start_time_seconds', Date.now() / 1000 - health.uptime - 5, Date.now() / 1000 - health.uptime + 5);
    within('video_call_tokio_tasks', 5, 10_000);
    within('video_call_database_pool_connections', 1, 10);
    within('video_call_journal_commit_seconds_count', 1, 1000);
    within('video_call_journal_rows_written_total', 7, 1000);
    assert.equal(now.value('video_call_database_pool_limit_connections'), 10);
    assert.equal(now.value('video_call_journal_capacity_rows'), 100_000);
    assert.equal(now.value('video_call_database_up'), 1);
    assert.equal(now.value('video_call_ready'), 1);
    assert.equal(now.value('video_call_build_info', { version: health.version }), 1);
  });

  test('says it in a way that promtool finds no fault with, gzipped where that is asked for', async () => {
    const { text } = await scrape(server);
    assert.equal(output('promtool', ['check', 'metrics'], { input: text }), '');
    for (const name of new Scrape(text).names) {
      const family = name.replace(/_(bucket|sum|count)$/, '');
      const declared = [name, family].some((of) => text.includes(`# HELP ${of} `) && text.includes(`# TYPE ${of} `));
      assert.ok(declared, `${name} has no HELP or TYPE`);
    }
    const { headers } = await server.http('/metrics', { headers: { 'accept-encoding': 'gzip' } });
    assert.equal(headers['content-encoding'], 'gzip');
    assert.equal(headers['cache-control'], 'no-store');
  });

  test('has nobody in its labels', async () => {
    const { labels, text } = await scrape(server);
    assert.ok(secrets.length > 10);
    for (const secret of secrets) assert.ok(!text.includes(secret), secret);
    assert.doesNotMatch(text, /[0-9a-f]{8}-[0-9a-f]{4}-/);
    assert.deepEqual([...labels.keys()].sort(), [
      'end_reason', 'event', 'le', 'limit', 'method', 'outcome', 'reason', 'result', 'revision', 'route', 'state', 'status', 'transport', 'version',
    ]);
  });

  test('has no more series after a flood of paths, methods and events that nobody has heard of', async (t) => {
    const device = await server.device(t, alice.user, { transport: 'websocket' });
    const flood = async (times) => {
      for (let i = 0; i < times; i += 1) {
        const name = `made-up-${times}-${i}`;
        await Promise.all([
          server.http(`/${name}`), server.http(`/api/${name}`), server.http(`/api/calls/${name}`), server.http(`/socket.iox/${name}`),
          server.http(`/metrics?${name}`), server.http('/api/users', { method: `MADEUP${i}` }), server.http(`/${name}`, { method: `MADEUP${i}` }),
          server.http('/health', { headers: { 'user-agent': name, origin: `http://${name}.example` } }), device.ack(name, { [name]: name }),
        ]);
      }
    };
    await flood(1);
    const before = await scrape(server);
    await flood(40);
    const now = await scrape(server);
    assert.deepEqual([...now.samples.keys()].filter((key) => !before.samples.has(key)), []);
    assert.ok(now.samples.size < 4000, `${now.samples.size} series`);
    assert.ok(now.requests('unmatched', 'other', '404') >= 40);
  });

  test('is what the dashboard and the alerts ask for, as a real Prometheus understands it', async (t) => {
    const prometheus = await Prometheus.watching(server);
    const { names } = await scrape(server);
    const expressions = dashboardExpressions();
    assert.ok(expressions.length > 50);
    for (const { of, expr } of [...expressions, ...alertExpressions()]) {
      for (const name of expr.match(/\b(?:video_call|process)_[a-z_]+/g) ?? []) assert.ok(names.has(name), `${of}: no ${name}`);
    }
    const failures = [];
    for (const { of, expr } of expressions) {
      const { status, data, error } = await prometheus.query(expr);
      // What is filtered may rightly be nothing.
      const isEmpty = status === 'success' && data.result.length === 0 && !/[<>] ?[0-9.]+$/.test(expr);
      if (status !== 'success' || isEmpty) failures.push(`${of}: ${error ?? 'nothing'}\n  ${expr}`);
    }
    assert.deepEqual(failures, []);

    const rules = (await prometheus.get('/api/v1/rules')).data.groups.flatMap((group) => group.rules);
    assert.equal(rules.length, RULES.match(/- alert: /g).length);
    for (const rule of rules) {
      assert.deepEqual([rule.health, rule.lastError], ['ok', undefined], rule.name);
      const { status, error } = await prometheus.query(rule.query);
      assert.equal(status, 'success', `${rule.name}: ${error}`);
    }
    // Whatever fires, this was a minute of abuse, but the server is well. Pending would be on the way to firing, which takes longer than this test.
    const state = Object.fromEntries(rules.map((rule) => [rule.name, rule.state]));
    for (const name of ['VideoCallDown', 'VideoCallNotReady', 'VideoCallDatabaseDown', 'VideoCallCrashLoop']) assert.equal(state[name], 'inactive', name);
    t.diagnostic(`${expressions.length} expressions of the dashboard, ${rules.length} alerts`);
  });

  test('the dashboard can be imported: its parts have names, places and units of their own', () => {
    const panels = DASHBOARD.panels.filter((panel) => panel.type !== 'row');
    assert.equal(new Set(DASHBOARD.panels.map((panel) => panel.id)).size, DASHBOARD.panels.length);
    const taken = new Set();
    for (const { title, datasource, fieldConfig, gridPos: { x, y, w, h } } of panels) {
      assert.deepEqual(datasource, { type: 'prometheus', uid: '${datasource}' }, title);
      assert.ok(fieldConfig.defaults.unit, `${title} has no unit`);
      for (let column = x; column < x + w; column += 1) {
        for (let line = y; line < y + h; line += 1) {
          const place = `${column},${line}`;
          assert.ok(column < 24 && !taken.has(place), `${title} lies over another at ${place}`);
          taken.add(place);
        }
      }
    }
    assert.deepEqual(DASHBOARD.templating.list.map(({ name }) => name), ['datasource', 'job', 'instance']);
  });

  /** The configuration as it is shipped, save for the server's port and how often it looks. */
  class Prometheus {
    static async watching({ port }) {
      const prometheus = new Prometheus();
      const dir = await scratch(defer, 'prometheus');
      for (const name of readdirSync(FOLDER)) writeFileSync(join(dir, name), read(`deploy/prometheus/${name}`));
      let config = read('deploy/prometheus/prometheus.yml');
      for (const [shipped, here] of [['127.0.0.1:3001', `127.0.0.1:${port}`], ['scrape_interval: 15s', 'scrape_interval: 1s'], ['evaluation_interval: 15s', 'evaluation_interval: 1s']]) {
        assert.ok(config.includes(shipped), shipped);
        config = config.replace(shipped, here);
      }
      writeFileSync(join(dir, 'prometheus.yml'), config);
      prometheus.port = await freePort();
      prometheus.program = new Program(defer, 'prometheus', [
        `--config.file=${join(dir, 'prometheus.yml')}`, `--storage.tsdb.path=${join(dir, 'data')}`, `--web.listen-address=127.0.0.1:${prometheus.port}`,
      ]);
      await eventually('Prometheus to have scraped a few times', async () => {
        assert.ok(!prometheus.program.hasEnded, prometheus.program.logs);
        const { data } = await prometheus.query('count_over_time(video_call_ready[1m]) >= 4');
        return data?.result.length === 1 ? true : undefined;
      }, 30_000);
      await eventually('every alert to have been looked at', async () => {
        const { data } = await prometheus.get('/api/v1/rules');
        const rules = data.groups.flatMap((group) => group.rules);
        return rules.length > 0 && rules.every((rule) => rule.health !== 'unknown') ? true : undefined;
      });
      return prometheus;
    }

    async get(path) {
      return (await fetch(`http://127.0.0.1:${this.port}${path}`)).json();
    }

    query(expr) {
      const filled = expr.replaceAll('$__rate_interval', '30s').replaceAll('$job', '.*').replaceAll('$instance', '.*');
      assert.doesNotMatch(filled, /\$/, expr);
      return this.get(`/api/v1/query?query=${encodeURIComponent(filled)}`);
    }
  }

  function dashboardExpressions() {
    const panels = DASHBOARD.panels.flatMap((panel) => [panel, ...(panel.panels ?? [])]);
    const targets = panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({ of: title, expr })));
    const annotations = DASHBOARD.annotations.list.filter(({ expr }) => expr).map(({ name, expr }) => ({ of: name, expr }));
    return [...targets, ...annotations];
  }

  function alertExpressions() {
    return RULES.split(/^ +- alert: /m).slice(1).map((alert) => ({ of: alert.split('\n')[0], expr: alert.split(/^ +labels:/m)[0].replace(/^.*\n/, '') }));
  }
});

describe('several nodes', () => {
  test('each tells how many there are, who is online anywhere, what is on it alone, and when Redis is away', async (t) => {
    const nodes = await Server.during(t, {}, { nodes: 2 });
    const devices = [];
    for (const [n, name] of [[0, 'alice'], [1, 'bob'], [1, 'carol'], [1, 'dora']]) {
      devices.push(await nodes.device(t, await nodes.register(name), { url: nodes.nodes[n].url }));
    }
    await establish(devices[0], devices[1]);
    const [first, second] = await Promise.all(nodes.nodes.map((node, n) => scraped(node, 'all to be told', (now) =>
      now.value('video_call_users_online') === 4 && now.value('video_call_calls', { state: 'active' }) === 1 - n)));
    for (const now of [first, second]) {
      assert.equal(now.value('video_call_cluster_nodes'), 2);
      assert.equal(now.value('video_call_cluster_redis_up'), 1);
      assert.equal(now.value('video_call_cluster_letters_missed_total'), 0);
      assert.equal(now.value('video_call_cluster_calls_adopted_total'), 0);
      for (const way of ['sent', 'received']) assert.ok(now.value(`video_call_cluster_letters_${way}_total`) > 0, way);
    }
    assert.deepEqual([first, second].map((now) => now.value('video_call_devices_joined')), [1, 3]);
    await nodes.redis.kill();
    for (const node of nodes.nodes) await scraped(node, 'Redis to be missed', (now) => now.value('video_call_cluster_redis_up') === 0);
    // The first letter is in hand; the next one waits.
    devices[2].leave();
    await scraped(nodes.nodes[1], 'one to be gone', (now) => now.value('video_call_users_online') === 3);
    devices[3].leave();
    await scraped(nodes.nodes[1], 'something to wait for Redis', (now) => now.value('video_call_cluster_backlog_steps') > 0);
    await nodes.redis.start();
    for (const node of nodes.nodes) {
      await scraped(node, 'Redis to be back', (now) => now.value('video_call_cluster_redis_up') === 1 && now.value('video_call_users_online') === 2);
    }
  });

  test('a server that is alone tells nothing of nodes', async (t) => {
    const { names } = await scrape(await Server.during(t, {}, { nodes: 0 }));
    assert.deepEqual([...names].filter((name) => name.includes('cluster')), []);
  });
});

describe('where /metrics is', () => {
  test('on the main port it is for this machine alone, and for a proxy there is nothing', async (t) => {
    const server = await Server.during(t);
    await scrape(server);
    for (const headers of [
      { 'x-forwarded-for': '203.0.113.9' }, { 'X-Forwarded-Proto': 'https' }, { forwarded: 'for=203.0.113.9' }, { 'x-real-ip': '203.0.113.9' }, { via: '1.1 proxy' },
    ]) {
      for (const method of ['GET', 'POST']) {
        const { status, body } = await server.http('/metrics', { method, headers });
        assert.deepEqual([status, body.code, body.error], [404, 'not_found', 'There is nothing here'], JSON.stringify(headers));
      }
    }
  });

  test('METRICS_ADDR moves it, and nothing else is there', async (t) => {
    const port = await freePort();
    const server = await Server.during(t, { METRICS_ADDR: `127.0.0.1:${port}` });
    const apart = { http: (path, options) => server.http.call({ url: `http://127.0.0.1:${port}` }, path, options) };
    assert.equal((await server.http('/metrics')).body.code, 'not_found');
    const found = await scrape(apart, { headers: { 'x-forwarded-for': '203.0.113.9' } });
    assert.equal(found.value('video_call_ready'), 1);
    assert.equal(found.requests('unmatched', 'GET', '404'), 1);
    for (const path of ['/', '/health', '/api/users', '/socket.io/?EIO=4&transport=polling']) {
      const { status, body } = await apart.http(path);
      assert.deepEqual([status, body.code], [404, 'not_found'], path);
    }
    assert.equal((await apart.http('/metrics', { method: 'POST' })).body.code, 'method_not_allowed');
  });

  test('an address that is taken, or none, is one line that names it', async (t) => {
    const server = await Server.during(t);
    const taken = `127.0.0.1:${server.port}`;
    for (const [address, said] of [
      [taken, `METRICS_ADDR ${taken} is already in use`],
      ['192.0.2.1:9464', 'METRICS_ADDR 192.0.2.1:9464 is not an address of this machine'],
      ['9464', 'METRICS_ADDR: "9464" is not an address with its port'],
    ]) {
      const env = { ...server.env, PORT: '0', METRICS_ADDR: address };
      const { code, logs } = await run([], { cwd: server.dir, env });
      assert.equal(code, 1, logs);
      assert.equal(logs.split('\n').filter((line) => line.includes(said)).length, 1, logs);
      assert.equal(logs.trim().split('\n').length, 1, logs);
    }
  });
});
