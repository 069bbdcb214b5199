#!/usr/bin/env node
'use strict';
/**
 * The executable model of the registry (src/nameserver/README.md): single-writer logs, merged at every node.
 *   npm run model -- registry [--seeds N] [--from S] [--off rule,…] [--show N] [--trace [--frames c9]]
 *   npm run model -- registry --table [--only rule,…] [--seeds N]    switches each rule off in turn, until a check fails
 *   npm run model -- registry --rules                                the rules with their reasons
 * Exit status 1 when a check failed.
 */
const { rules, on } = require('./registry/rules.cjs');
const { run } = require('./registry/run.cjs');

const args = process.argv.slice(2);
const value = (name, otherwise) => (args.includes(name) ? args[args.indexOf(name) + 1] : otherwise);
const names = (name) => value(name, '').split(',').filter(Boolean);
const [seeds, from, show] = [Number(value('--seeds', 200)), Number(value('--from', 1)), Number(value('--show', 12))];

function check(seed) {
  try {
    return run(seed, args.includes('--trace'), value('--frames', ''));
  } catch (error) {
    return [`x ${error.stack}`];
  }
}

function runSeeds() {
  for (const name of names('--off')) {
    if (!(name in rules)) throw new Error(`there is no rule ${name}; --rules lists them`);
    on[name] = false;
  }
  const counts = {};
  let failed = 0;
  for (let seed = from; seed < from + seeds; seed++) {
    const bad = check(seed);
    if (bad.length === 0) continue;
    failed++;
    if (failed <= show) console.log('seed', seed, bad.slice(0, 3).join(' | '));
    for (const kind of new Set(bad.map((text) => text.split(' ')[0]))) counts[kind] = (counts[kind] ?? 0) + 1;
  }
  console.log(`${seeds} seeds from ${from}: ${failed} failed`, JSON.stringify(counts));
  process.exitCode = failed > 0 ? 1 : 0;
}

function runTable() {
  const only = names('--only');
  for (const name of Object.keys(rules)) {
    if (only.length > 0 && !only.includes(name)) continue;
    on[name] = false;
    let seed = from;
    let bad = [];
    for (; seed < from + seeds && bad.length === 0; seed++) bad = check(seed);
    on[name] = true;
    console.log(
      name.padEnd(12),
      bad.length > 0 ? `caught at seed ${seed - 1}: ${bad[0]}` : `not caught in ${seeds} seeds`,
    );
  }
}

if (args.includes('--rules')) for (const name of Object.keys(rules)) console.log(name.padEnd(12), rules[name]);
else if (args.includes('--table')) runTable();
else runSeeds();
