#!/usr/bin/env node
'use strict';
const { existsSync } = require('node:fs');
const { join } = require('node:path');
const { pathToFileURL } = require('node:url');

const main = join(__dirname, '..', 'build', 'src', 'cli', 'taskctl.js');
if (!existsSync(main)) {
  process.stderr.write(`taskctl: not built yet (${main} is missing): run "npm run build" once, then start again\n`);
  process.exit(1);
}
void import(pathToFileURL(main).href).then((program) => program.main(process.argv.slice(2)));
