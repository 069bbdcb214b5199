'use strict';
/**
 * Makes a bare clone ready: installs what is missing, and builds what is not built. Uses nothing but Node, so it runs
 * before any dependency is there.
 *   node scripts/ensure.cjs            dependencies and a build, if missing or older than the sources
 *   node scripts/ensure.cjs --deps     dependencies only
 *   node scripts/ensure.cjs --fresh    dependencies, and always a new build
 *   node scripts/ensure.cjs --tests    also what the test runner needs
 */
const { spawnSync } = require('node:child_process');
const { existsSync, readdirSync, rmSync, statSync } = require('node:fs');
const { join } = require('node:path');

const root = join(__dirname, '..');

function run(command, args) {
  const { status } = spawnSync(command, args, { cwd: root, stdio: ['ignore', process.stderr, process.stderr] });
  if (status !== 0) {
    process.stderr.write(`taskd: "${command} ${args.join(' ')}" failed; run it by hand to see why\n`);
    process.exit(status ?? 1);
  }
}

function newest(folder) {
  let at = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) at = Math.max(at, newest(path));
    else if (/\.(ts|proto)$/.test(entry.name)) at = Math.max(at, statSync(path).mtimeMs);
  }
  return at;
}

function isInstalled() {
  const lock = join(root, 'node_modules', '.package-lock.json');
  return existsSync(lock) && statSync(lock).mtimeMs >= statSync(join(root, 'package-lock.json')).mtimeMs;
}

function isBuilt() {
  const stamp = join(root, 'build', '.stamp');
  if (!existsSync(stamp)) return false;
  const built = statSync(stamp).mtimeMs;
  return ['src', 'proto', 'test', 'scripts', 'examples'].every(
    (name) => !existsSync(join(root, name)) || newest(join(root, name)) < built,
  );
}

const flags = process.argv.slice(2);
if (!isInstalled()) {
  process.stderr.write('taskd: installing dependencies (npm ci)\n');
  run('npm', ['ci', '--ignore-scripts', '--loglevel=error']);
  // What was built into the old node_modules went with it.
  rmSync(join(root, '.tap', 'plugins'), { recursive: true, force: true });
}
if (flags.includes('--tests') && !existsSync(join(root, '.tap', 'plugins'))) {
  // tap compiles the set of plugins that package.json asks for.
  run(join(root, 'node_modules', '.bin', 'tap'), ['build']);
}
if (!flags.includes('--deps') && (flags.includes('--fresh') || !isBuilt())) {
  process.stderr.write('taskd: building\n');
  run(process.execPath, [join('scripts', 'build.cjs')]);
}
