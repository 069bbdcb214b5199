import t from 'tap';
import { World } from './simulation.js';

const seeds = 20;

t.test(`${seeds} seeds of schedulers, workers and faults`, (t) => {
  let acquires = 0;
  let voided = 0;
  for (let seed = 1; seed <= seeds; seed++) {
    try {
      const outcomes = new World(seed).run();
      acquires += outcomes.acquires;
      voided += outcomes.voided;
    } catch (error) {
      t.fail(`seed ${seed}: ${(error as Error).message}`);
    }
  }
  t.ok(acquires > seeds, 'the shard changed hands');
  t.ok(voided > 0, 'late decisions were void');
  t.end();
});
