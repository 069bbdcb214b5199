#!/usr/bin/env node
'use strict';
/** Runs an executable model by its name: `npm run model -- registry --seeds 10000`. */
const models = ['registry'];
const [name] = process.argv.splice(2, 1);
if (models.includes(name)) {
  require(`./${name}.cjs`);
} else {
  console.error(`usage: npm run model -- ${models.join('|')} [--seeds N] [--from S] [--off RULE]`);
  process.exitCode = 2;
}
