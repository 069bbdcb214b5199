'use strict';
/** One seed: 2 to 7 nodes, 10 to 30 clients and 4 watchers start, suffer faults, and have 150 s of quiet. */
const { times } = require('./rules.cjs');
const { World } = require('./world.cjs');
const { Node } = require('./node.cjs');
const { Client } = require('./client.cjs');
const { Checks } = require('./checks.cjs');
const { faults } = require('./faults.cjs');

/** Runs one seed and gives what failed: `check @seconds text`; prints events, and the frames of one actor. */
function run(seed, print, frames) {
  const w = new World(seed, print, frames);
  w.checks = new Checks(w);
  const size = w.pick([2, 3, 3, 4, 5, 6, 7]);
  for (let i = 0; i < size; i++) w.nodes.push(new Node(w, i));
  const count = w.chance(0.4) ? w.int(3, 8) : w.int(10, 30);
  for (let i = 0; i < count; i++) w.clients.push(new Client(w, i, null));
  for (let i = 0; i < 4; i++) w.watchers.push(new Client(w, i, i % 3));
  for (const n of w.nodes) w.at(w.int(0, 800), () => n.start());
  for (const c of [...w.clients, ...w.watchers]) w.at(w.int(0, 2000), () => c.begin());
  const every = faults(w);
  const few = w.int(2, 6);
  const list = w.chance(0.4) ? every : Array.from({ length: few }, () => w.pick(every));
  const some = w.int(3, 14);
  for (let i = 0; i < some; i++) w.at(w.int(20000, times.stop - 6000), w.pick(list));
  for (let i = 0; i < 4; i++) w.at(w.int(20000, times.stop), () => w.pick(w.watchers).move(w.pick(w.nodes)));
  if (w.chance(0.3)) {
    const start = w.int(25000, 60000);
    for (let i = 0; i < 5; i++) w.at(start + w.int(0, 30000), w.pick(list));
  }
  w.at(times.stop, () => {
    w.log('faults stop');
    w.heal();
    for (const n of w.nodes) if (!n.up) n.start();
  });
  w.checks.start();
  w.run(times.end);
  return w.bad;
}

module.exports = { run };
