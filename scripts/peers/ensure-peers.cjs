'use strict';
/** Installs the packages that the benchmarks compare with, once. Debian's packages must be there already. */
const { spawnSync } = require('node:child_process');
const { existsSync } = require('node:fs');
const { join } = require('node:path');

if (!existsSync(join(__dirname, 'node_modules'))) {
  process.stderr.write('taskd: installing the peers of the benchmarks (npm ci in scripts/peers)\n');
  const options = { cwd: __dirname, stdio: ['ignore', 'ignore', 'inherit'] };
  const { status } = spawnSync('npm', ['ci', '--ignore-scripts', '--loglevel=error'], options);
  if (status !== 0) process.exit(status ?? 1);
}
