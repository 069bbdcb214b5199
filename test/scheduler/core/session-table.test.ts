import t from 'tap';
import { BatchClass } from '../../../src/batch/header.js';
import { SessionTable } from '../../../src/scheduler/core/session-table.js';
import { ShardState } from '../../../src/scheduler/core/shard-state.js';
import { encode, Harness } from './harness.js';

t.test('workers that come and go leave nothing in a lane that has nothing to run', (t) => {
  const state = new ShardState(0, 10, 10, 1_000);
  const sessions = new SessionTable(state, () => {});
  const lane = state.lanes.at(state.lanes.internName(7, 'p'));
  const attach = (sessionId: number, workerId: string) => {
    const session = sessions.attach({
      sessionId,
      appId: 7,
      workerId,
      incarnation: 1,
      processors: ['p'],
      capacity: 4,
      weight: 100,
    });
    session.isReady = true;
    session.answeredMs = 0;
    sessions.offer(session, 0);
    return session;
  };
  const staying = Array.from({ length: 10 }, (_, i) => attach(i, `staying-${i}`));
  for (let i = 0; i < 1_000; i++) sessions.detach(attach(100 + i, `passing-${i % 3}`));
  t.ok(lane.sessions!.size < 100, `${lane.sessions!.size} sessions in the heap`);
  const picked = new Set<unknown>();
  for (let i = 0; i < 20; i++) {
    const session = sessions.pick(lane, 0)!;
    sessions.take(session, lane);
    picked.add(session);
  }
  t.same(picked, new Set(staying), 'those that stay take turns');
  t.end();
});

t.test('thousands of lanes without a worker cost a turn next to nothing, and stand in nobody’s way', (t) => {
  const h = new Harness();
  h.acquire();
  const submits = Array.from({ length: 5_000 }, (_, i) => encode.submit({ processor: `nobody-${i}`, priority: 9 }));
  h.append(submits, BatchClass.CLIENT);
  h.worker('w', { capacity: 64 });
  for (let i = 0; i < 50; i++) h.client(encode.submit({}));
  t.equal(h.take('dispatch').length, 50);
  t.end();
});
