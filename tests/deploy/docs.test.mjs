// Every command of the README and of docs/ works as it stands there.
//
// A block marked `sh` is run by bash, in the repository's root, beside a running server, with its DATABASE_URL and `video-call-server` on the PATH; blocks of a page in
// their order. Left out are blocks that say `# not in CI: <why>` in their first line, and those that .ci/run itself carries out.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { BINARY, Server, within } from '../clients/harness.mjs';

const ROOT = join(import.meta.dirname, '../..');
const BLOCK_MS = 60_000;
/** Answers whatever asks for a password. */
const PASSWORDS = "exec < <(yes 'correct horse battery')\n";

/** Blocks that something else carries out: what stands there, and what stands in the file that does it. */
const ELSEWHERE = [
  ['cargo run', '.ci/run', 'cargo run --locked'],
  ['cargo test', '.ci/run', 'cargo test --locked'],
  ['npm install --prefix examples\nnode examples/call.mjs', '.ci/run', 'node examples/call.mjs'],
  ['psql "$(cat data/postgres/url)" -c', '.ci/run', 'database=$(cat data/postgres/url)'],
  ['promtool check config', 'tests/deploy/metrics.test.mjs', "output('promtool', ['test', 'rules'"],
];

const read = (path) => readFileSync(join(ROOT, path), 'utf8');
const pages = ['README.md', ...readdirSync(join(ROOT, 'docs')).filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`)];

/** The blocks of a page that are marked `sh`, without those that say why they cannot run. */
function blocks(page) {
  const found = [...read(page).matchAll(/^```sh\n(.*?)^```/gms)].map(([, text]) => text.trim());
  return found.filter((text) => !/^# not in CI: \S+/.test(text));
}

function carriedOutElsewhere(block) {
  const known = ELSEWHERE.find(([start]) => block.startsWith(start));
  if (!known) return false;
  const [start, file, marker] = known;
  assert.ok(read(file).includes(marker), `${file} no longer carries out: ${start}`);
  return true;
}

/** Runs a block as an operator would paste it. */
function run(script, env) {
  const child = spawn('bash', ['-euo', 'pipefail', '-c', PASSWORDS + script], { cwd: ROOT, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => { output += text; });
  return within(BLOCK_MS, script, new Promise((done, fail) => {
    child.on('error', fail);
    child.on('close', (code) => done({ code, output }));
  }));
}

for (const page of pages) {
  const commands = blocks(page).filter((block) => !carriedOutElsewhere(block));
  if (commands.length === 0) continue;
  test(`the commands of ${page} run as they stand there`, async (t) => {
    const server = await Server.during(t);
    const bin = join(server.dir, 'bin');
    await mkdir(bin);
    await symlink(BINARY, join(bin, 'video-call-server'));
    const env = { ...server.env, PATH: `${bin}:${process.env.PATH}` };
    for (const command of commands) {
      const { code, output } = await run(command.replaceAll('localhost:3001', `127.0.0.1:${server.port}`), env);
      assert.equal(code, 0, `${command}\n\n${output}`);
    }
  });
}

test('a command block says that it cannot run only with a reason', () => {
  for (const page of pages) assert.doesNotMatch(read(page), /^# not in CI:?\s*$/m, page);
});

test('every page of docs/ is listed in the README, and every link between pages leads somewhere', () => {
  for (const page of pages.slice(1)) assert.ok(read('README.md').includes(`(${page})`), `${page} is not in the README`);
  for (const page of pages) {
    const folder = join(ROOT, page, '..');
    for (const [, target, anchor] of read(page).matchAll(/\]\((?!https?:|mailto:)([^)#\s]*)#?([^)\s]*)\)/g)) {
      const path = target === '' ? join(ROOT, page) : join(folder, target);
      assert.ok(existsSync(path), `${page}: ${target}`);
      if (anchor !== '') assert.ok(anchors(path).has(anchor), `${page}: ${target}#${anchor}`);
    }
  }
});

/** The anchors that a page's headings have where Markdown is shown as on GitHub. */
function anchors(path) {
  const headings = [...readFileSync(path, 'utf8').matchAll(/^#{1,6} (.*)$/gm)].map(([, text]) => text);
  return new Set(headings.map((text) => text.toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, '').trim().replaceAll(' ', '-')));
}
