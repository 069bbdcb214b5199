#!/usr/bin/env node
'use strict';
// libuv reads this once, when the first file operation starts its threads: syncs of many partitions run side by side.
process.env.UV_THREADPOOL_SIZE ??= '32';
const { existsSync } = require('node:fs');
const { join } = require('node:path');
const { pathToFileURL } = require('node:url');

const main = join(__dirname, '..', 'build', 'src', 'cli', 'taskd.js');
if (!existsSync(main)) {
  process.stderr.write(`taskd: not built yet (${main} is missing): run "npm run build" once, then start again\n`);
  process.exit(1);
}
void import(pathToFileURL(main).href).then((program) => program.main(process.argv.slice(2)));
