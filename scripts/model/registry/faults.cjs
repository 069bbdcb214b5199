'use strict';
/** What goes wrong from 20 s to 120 s. Each fault is drawn by chance; stories are chains that chance would rarely find. */
const { times } = require('./rules.cjs');

function faults(w) {
  const { nodes, clients, watchers } = w;
  const left = () => times.stop - w.now;
  const span = (a, b) => Math.min(w.int(a, b), left());
  const drain = () => (w.chance(0.5) ? 0 : w.int(500, 6000));
  const halves = (list) => new Map(list.map((p) => [p, w.chance(0.5)]));
  const two = () => [...nodes].sort(() => w.rnd() - 0.5).slice(0, 2);

  const crash = (n, ms, wipe) => {
    if (!n.up) return;
    w.log(n.key, 'crashes', ms, wipe ? 'disk lost' : '');
    n.downAt = w.now;
    n.stop();
    if (wipe) n.disk = 0;
    w.at(ms, () => n.up || n.start());
  };
  const leave = (n, ms) => {
    if (n.status !== 'ready' || n.paused || n.draining) return;
    n.downAt = w.now;
    n.leave(ms);
    w.checks.left(n);
  };
  const cutNodes = (text, hits, a, b) => {
    w.log(text);
    w.cut((p, q) => p.isNode && q.isNode && hits(p, q), span(a, b));
  };

  const network = [
    () => {
      const side = halves(w.all);
      if (w.chance(0.5)) for (const c of [...clients, ...watchers]) side.delete(c);
      w.log('cut', nodes.map((n) => Number(side.get(n))).join(''));
      w.cut((a, b) => side.has(a) && side.has(b) && side.get(a) !== side.get(b), span(500, 50000));
    },
    () => {
      const a = w.pick(nodes);
      cutNodes(`cut alone ${a.key}`, (p, q) => p === a || q === a, 1000, 80000);
    },
    () => {
      const [a, b] = two();
      cutNodes(`one way cut ${a.key} ${b.key}`, (p, q) => p === a && q === b, 1000, 50000);
    },
    () => {
      const a = w.pick(nodes);
      const deaf = w.chance(0.5);
      cutNodes(`${a.key} is ${deaf ? 'deaf' : 'mute'}`, (p, q) => (deaf ? q : p) === a, 3000, 50000);
    },
    // Half of the nodes hear the other half, and are not heard by it.
    () => {
      const side = halves(nodes);
      w.log('one way cut', nodes.map((n) => Number(side.get(n))).join(''));
      cutNodes('of halves', (p, q) => side.get(p) && !side.get(q), 3000, 60000);
    },
    () => {
      if (nodes.length < 3) return;
      const hub = w.pick(nodes);
      const side = halves(nodes);
      const sides = nodes.map((n) => (n === hub ? 'h' : Number(side.get(n)))).join('');
      cutNodes(`bridge ${sides}`, (p, q) => p !== hub && q !== hub && side.get(p) !== side.get(q), 2000, 60000);
    },
    () => {
      if (nodes.length < 3) return;
      const [a, c] = two();
      cutNodes(`${a.key} only by ${c.key}`, (p, q) => (p === a && q !== c) || (q === a && p !== c), 10000, 60000);
    },
    () => {
      const [a, b] = two();
      const all = w.chance(0.4);
      const extra = w.int(400, 12000);
      w.log('slow', a.key, all ? 'all' : b.key, extra);
      w.slowDown((p, q) => p.isNode && q.isNode && p === a && (all || q === b), extra, span(3000, 20000));
    },
    () => {
      const [a, b] = two();
      w.log('reset', a.key, b.key);
      w.reset(a, b);
    },
    () => {
      const c = w.pick(clients);
      if (!c.node) return;
      const { conn, node } = c;
      w.reset(c, node);
      if (node.up && !node.paused) node.onBye(c, { conn });
      c.closed(conn);
    },
  ];

  const machines = [
    () => w.pause(w.pick(nodes), span(200, 60000), drain()),
    () => w.pause(w.pick(clients), span(200, 25000), 0),
    () => {
      const n = w.pick(nodes);
      const end = w.now + span(10000, 40000);
      w.log(n.key, 'is starved');
      const again = () => {
        if (w.now > end) return;
        const ms = w.int(1000, 8000);
        w.pause(n, ms, w.int(0, 1000));
        w.at(ms + w.int(300, 2500), again);
      };
      again();
    },
    () => crash(w.pick(nodes), span(50, 25000), w.chance(0.4)),
    () => crash(w.pick(nodes), span(50, 2000), w.chance(0.4)),
    () => nodes.length > 2 && crash(w.pick(nodes), span(60000, 95000), w.chance(0.4)),
    () => leave(w.pick(nodes), span(5000, 50000)),
    () => {
      let t = 0;
      for (const n of nodes) {
        w.at(t, () => left() > 5000 && leave(n, w.int(100, 3000)));
        t += w.int(4000, 9000);
      }
    },
    () => {
      w.log('all nodes restart');
      const wipe = w.chance(0.3);
      for (const n of nodes) crash(n, span(100, 3000), wipe);
    },
    () => {
      const p = w.pick(w.all);
      const step = w.pick([-3600e3, -60e3, -5e3, 60e3, 3600e3]);
      p.skew += step;
      w.log(p.key, 'clock step', step);
    },
  ];

  const people = [
    () => {
      const c = w.pick(clients);
      c.die();
      w.at(span(100, 40000), () => {
        if (w.chance(0.4)) return;
        if (w.chance(0.3)) c.skew -= 600e3;
        c.reborn();
      });
    },
    () => {
      const c = w.pick(clients);
      c.die();
      w.at(w.int(100, 400), () => c.reborn());
    },
    () => {
      for (let i = 0; i < 3; i++) w.pick(clients).move(w.pick(nodes));
    },
    () => {
      const c = w.pick(clients);
      if (c.state !== 'up' || !c.wants) return;
      c.deregister();
      if (w.chance(0.4)) w.at(span(500, 20000), () => c.registerAgain());
    },
    () => massDisconnect(w, left),
    // A watcher starts anew, without a list and a vector.
    () => {
      const x = w.pick(watchers);
      Object.assign(x, { list: new Map(), vector: null, settled: null, settledList: new Map() });
      x.move(w.pick(nodes));
    },
    () => {
      for (const x of watchers) if (w.chance(0.6)) x.move(w.pick(nodes));
    },
  ];

  const stories = [
    // A rack loses power: a node for long, and some of its clients with it.
    () => {
      const n = w.pick(nodes);
      const mine = clients.filter((c) => c.owner === n && w.chance(0.5));
      if (nodes.length < 3) return;
      for (const c of mine) w.at(w.int(0, 3000), () => c.die());
      w.at(w.int(0, 3000), () => crash(n, span(60000, 95000), w.chance(0.3)));
    },
    // A node is alone for long, and then reaches the others only through one of them.
    () => {
      if (nodes.length < 3) return;
      const [a, c] = two();
      w.log(a.key, 'alone, then only by', c.key);
      const isOther = (p, q) => p.isNode && q.isNode && (p === a || q === a) && p !== c && q !== c;
      w.cut(isOther, span(70000, 90000));
      w.cut((p, q) => (p === a && q === c) || (p === c && q === a), span(22000, 40000));
    },
    // A node comes up alone, without its disk and with its clock behind.
    () => {
      const n = w.pick(nodes);
      cutNodes(`cut alone ${n.key}`, (p, q) => p === n || q === n, 3000, 30000);
      n.skew -= 3600e3;
      w.at(w.int(0, 1500), () => crash(n, span(50, 1500), true));
    },
    // A client leaves a paused or cut owner, deregisters elsewhere, and that node restarts: the old claim must not return.
    () => {
      const c = w.pick(clients);
      const [p, o] = [c.owner, w.pick(nodes)];
      if (!p || p === o) return;
      if (w.chance(0.5)) w.pause(p, span(10000, 60000), drain());
      else cutNodes(`cut alone ${p.key}`, (x, y) => x === p || y === p, 10000, 60000);
      w.at(w.int(50, 2000), () => c.move(o));
      w.at(w.int(3000, 6000), () => c.owner === o && c.deregister());
      if (w.chance(0.6)) w.at(w.int(6500, 12000), () => crash(o, span(50, 2000), w.chance(0.3)));
    },
    // A registration is seen by watchers of its node, its delta to another node is lost, and they move there at once.
    () => {
      const [a, b] = two();
      const c = w.pick(clients);
      if (c.state !== 'up' || !c.wants || c.node !== a) return;
      c.deregister();
      for (const x of watchers) if (x.service === c.id % 3) x.move(a);
      w.at(6000, () => {
        if (c.node !== a || c.state !== 'up') return;
        c.registerAgain();
        for (let t = 0; t < 120; t += 5) w.at(t, () => w.reset(a, b));
        w.at(w.int(130, 500), () => {
          for (const x of watchers) if (x.node === a) x.move(b);
        });
      });
    },
    // A node is reborn while the others are cut off in a bridge, and old copies of its log travel slowly.
    () => {
      if (nodes.length < 3) return;
      const [o, x] = two();
      const extra = w.int(3000, 15000);
      w.log('old log of', o.key, 'by', x.key, extra);
      w.slowDown((p, q) => p === x && q.isNode && q !== o, extra, span(3000, 15000));
      w.at(w.int(500, 4000), () => crash(o, span(50, 1500), w.chance(0.5)));
      w.at(w.int(4500, 8000), () => crash(w.pick(nodes), span(50, 1500), w.chance(0.5)));
    },
    // A process dies with its clock ahead and comes back behind, on the other side of a cut.
    () => {
      const c = w.pick(clients);
      const from = c.owner;
      if (!from || nodes.length < 2) return;
      cutNodes(`cut alone ${from.key}`, (p, q) => p === from || q === from, 25000, 60000);
      w.at(w.int(500, 3000), () => c.die());
      w.at(w.int(4000, 25000), () => {
        c.skew -= 600e3;
        c.reborn();
        c.avoid = from;
      });
    },
  ];

  return [...network, ...network, ...machines, ...people, ...people, ...stories, ...restarts(w, two, crash, cutNodes)];
}

/** Stories of nodes that stop, and of what happens to clients and to other nodes meanwhile. */
function restarts(w, two, crash, cutNodes) {
  const { nodes, clients } = w;
  const left = () => times.stop - w.now;
  const span = (a, b) => Math.min(w.int(a, b), left());
  const held = (n) => clients.filter((c) => c.owner === n);

  return [
    // A node stands still, and its clients end meanwhile: by a word, by death, or by going elsewhere and ending there.
    () => {
      const n = w.pick(nodes);
      w.pause(n, span(3000, 45000), w.chance(0.5) ? 0 : w.int(500, 6000));
      for (const c of held(n)) {
        if (w.chance(0.4)) continue;
        const how = w.int(0, 2);
        if (how > 0) w.at(w.int(50, 2000), () => c.move(w.pick(nodes)));
        w.at(w.int(2000, 9000), () => (how === 1 ? c.state === 'up' && c.wants && c.deregister() : c.die()));
        if (w.chance(0.3)) w.at(w.int(10000, 25000), () => c.reborn());
      }
    },
    // A disk is lost and the clock is an hour behind, with all, some or none of the others in reach.
    () => {
      const n = w.pick(nodes);
      n.skew -= 3600e3;
      const reached = nodes.filter(() => w.chance(0.5));
      if (w.chance(0.6)) {
        cutNodes(`${n.key} reaches ${reached.map((p) => p.key)}`, apart(n, reached), 1000, 25000);
      }
      w.at(w.int(0, 1000), () => crash(n, span(50, 2500), true));
    },
    // The same, and who saw its former log is cut off until it has started: they know a higher incarnation only by others.
    () => {
      const n = w.pick(nodes);
      const others = nodes.filter((p) => p !== n);
      const slow = w.pick(others);
      w.log(n.key, 'is known by hearsay at', slow.key);
      w.cut((p, q) => p === n && q === slow, span(8000, 20000));
      w.at(w.int(500, 3000), () => crash(n, span(50, 1500), false));
      w.at(w.int(4000, 7000), () => {
        n.skew -= 3600e3;
        for (const p of others) if (p !== slow && w.chance(0.7)) crash(p, span(50, 2500), w.chance(0.5));
        crash(n, span(50, 2500), true);
      });
    },
    // All nodes stop in one moment and start in one moment; some lose their disks and their time, some clients end.
    () => {
      if (left() < 8000) return;
      const ms = span(50, 20000);
      const isBehind = w.chance(0.4);
      w.log('all nodes stop for', ms, isBehind ? 'clocks behind' : '');
      for (const n of nodes) {
        if (isBehind && w.chance(0.7)) n.skew -= 3600e3;
        crash(n, ms + w.int(0, 30), w.chance(0.4));
      }
      for (const c of clients) if (w.chance(0.2)) w.at(w.int(0, ms), () => c.die());
    },
    // Two nodes that start reach each other through a third one only.
    () => {
      if (nodes.length < 3) return;
      const [a, b] = two();
      cutNodes(`${a.key} and ${b.key} by others`, (p, q) => (p === a && q === b) || (p === b && q === a), 10000, 50000);
      w.at(w.int(500, 6000), () => crash(a, span(50, 3000), w.chance(0.5)));
      if (w.chance(0.5)) w.at(w.int(500, 9000), () => crash(b, span(50, 3000), w.chance(0.5)));
    },
  ];
}

const apart = (n, reached) => (p, q) => (p === n && !reached.includes(q)) || (q === n && !reached.includes(p));

/** Over a fifth of the sessions of a node close or fall silent at once, most of the time for 20 s. */
function massDisconnect(w, left) {
  const node = w.pick(w.nodes);
  const set = new Set(w.clients.filter((c) => c.owner === node));
  if (set.size < 4 || left() < 40000) return;
  const isReset = w.chance(0.5);
  w.log('mass disconnect', node.key, set.size, isReset ? 'reset' : 'silent');
  if (isReset) {
    for (const c of set) {
      const { conn } = c;
      w.at(5, () => {
        if (node.up && !node.paused) node.onBye(c, { conn });
        c.closed(conn);
      });
    }
  }
  if (isReset && w.chance(0.3)) return;
  for (const c of set) {
    const isSilent = c.paused || c.contactAt < w.now - times.beat - 1000;
    if (!isSilent) Object.assign(c, { massTill: w.now + 23000, massAt: node });
  }
  w.cut((p, q) => set.has(p) || set.has(q), 20000);
}

module.exports = { faults };
