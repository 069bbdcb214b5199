import t from 'tap';
import { ErrorCode, Retry } from '../../src/base/errors.js';
import { ClientTable, watchersMax, watchersPerConnectionMax, writeBurst } from '../../src/nameserver/client-table.js';
import type { Peer } from '../../src/rpc/service.js';

function peer(id: number): { peer: Peer; close: () => void } {
  const closed: (() => void)[] = [];
  const fields = { id, onClose: (callback: () => void) => void closed.push(callback) };
  return { peer: fields as unknown as Peer, close: () => closed.forEach((callback) => void callback()) };
}

t.test('a connection writes so much at once and so much a second', (t) => {
  const clients = new ClientTable();
  const { peer: one } = peer(1);
  for (let i = 0; i < writeBurst; i++) clients.write(one, 0);
  t.throws(() => clients.write(one, 0), {
    code: ErrorCode.QUOTA,
    retry: Retry.AFTER,
    message: /200 times a second, 2000 at once; write less often, or over another connection/,
  });
  clients.write(peer(2).peer, 0);
  for (let i = 0; i < 200; i++) clients.write(one, 1_000);
  t.throws(() => clients.write(one, 1_000), { code: ErrorCode.QUOTA });
  t.end();
});

t.test('watchers are counted for each connection and for all, and given back', (t) => {
  const clients = new ClientTable();
  const first = peer(1);
  for (let i = 0; i < watchersPerConnectionMax; i++) clients.watch(first.peer);
  const message = /at most 1000 watchers; close some, watch all services/;
  t.throws(() => clients.watch(first.peer), { code: ErrorCode.QUOTA, message });
  clients.unwatch(first.peer);
  clients.watch(first.peer);
  let id = 2;
  while (clients.watcherCount < watchersMax) {
    const next = peer(id++).peer;
    for (let i = 0; i < watchersPerConnectionMax; i++) clients.watch(next);
  }
  t.throws(() => clients.watch(peer(id).peer), {
    code: ErrorCode.QUOTA,
    retry: Retry.OTHER,
    message: /50000 watchers/,
  });
  t.equal(clients.peer(1), first.peer);
  first.close();
  t.equal(clients.peer(1), undefined);
  for (let i = 0; i < watchersPerConnectionMax; i++) clients.unwatch(first.peer);
  t.equal(clients.watcherCount, watchersMax - watchersPerConnectionMax);
  t.end();
});
