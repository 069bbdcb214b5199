'use strict';
/**
 * Builds everything into build/: the Protobuf codec from proto/, then src, test, scripts and examples with TypeScript.
 * Always from nothing, or a deleted test would go on running.
 */
const { spawnSync } = require('node:child_process');
const { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } = require('node:fs');
const { join } = require('node:path');

const root = join(__dirname, '..');
const bin = (name) => join(root, 'node_modules', '.bin', name);

function run(command, args) {
  const { status } = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}

rmSync(join(root, 'build'), { recursive: true, force: true });
const generated = join('build', 'src', 'wire', 'generated');
const types = join('src', 'wire', 'generated');
mkdirSync(join(root, generated), { recursive: true });
mkdirSync(join(root, types), { recursive: true });

const protos = readdirSync(join(root, 'proto'))
  .filter((name) => name.endsWith('.proto'))
  .sort()
  .map((name) => join('proto', name));
const script = join(generated, 'messages.js');
// biome-ignore format: options stand with their values
run(bin('pbjs'), [
  '--target', 'static-module', '--wrap', 'esm', '--es6', '--force-number',
  '--no-verify', '--no-delimited', '--no-service', '--no-typeurl', '--no-convert',
  '--path', 'proto', '--out', script, ...protos,
]);
run(bin('pbts'), ['--no-comments', '--out', join(types, 'messages.d.ts'), script]);
// The runtime comes through the one module that sets it up.
const path = join(root, script);
writeFileSync(path, readFileSync(path, 'utf8').replace(/"protobufjs\/minimal(\.js)?"/, '"../protobuf.js"'));

run(bin('tsc'), []);
writeFileSync(join(root, 'build', '.stamp'), '');
