'use strict';
/** Virtual time and network: FIFO links with cuts, resets and slowness; actors that pause, wake late and lose memory. */
class World {
  constructor(seed, print, frames) {
    this.state = (seed * 2654435761 + 12345) >>> 0;
    for (let i = 0; i < 5; i++) this.rnd();
    Object.assign(this, {
      print,
      frames,
      slowTill: 0,
      now: 0,
      order: 0,
      heap: [],
      bad: [],
      nodes: [],
      clients: [],
      watchers: [],
    });
    Object.assign(this, { cuts: new Set(), slow: new Set(), fifo: new Map(), resets: new Map(), lastCut: new Map() });
  }

  get all() {
    return [...this.nodes, ...this.clients, ...this.watchers];
  }

  // ---- chance: mulberry32
  rnd() {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let t = this.state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }
  int(a, b) {
    return a + Math.floor(this.rnd() * (b - a + 1));
  }
  pick(list) {
    return list[this.int(0, list.length - 1)];
  }
  chance(p) {
    return this.rnd() < p;
  }

  // ---- reports
  log(...words) {
    if (this.print) console.log((this.now / 1000).toFixed(3).padStart(8), ...words);
  }
  fail(check, text) {
    if (this.bad.length < 20) this.bad.push(`${check} @${(this.now / 1000).toFixed(2)} ${text}`);
    this.log('  !!', check, text);
  }

  // ---- time: a binary heap, ties in order of creation
  at(delay, run) {
    const { heap } = this;
    const e = { t: this.now + Math.max(0, delay), o: this.order++, run };
    let i = heap.push(e) - 1;
    while (i > 0) {
      const p = (i - 1) >> 1;
      if (!before(e, heap[p])) break;
      heap[i] = heap[p];
      i = p;
    }
    heap[i] = e;
  }
  next() {
    const { heap } = this;
    const top = heap[0];
    const e = heap.pop();
    if (heap.length === 0) return top;
    let i = 0;
    for (let c = 1; c < heap.length; c = 2 * i + 1) {
      if (c + 1 < heap.length && before(heap[c + 1], heap[c])) c++;
      if (!before(heap[c], e)) break;
      heap[i] = heap[c];
      i = c;
    }
    heap[i] = e;
    return top;
  }
  run(end) {
    while (this.heap.length > 0 && this.heap[0].t <= end && this.bad.length < 20) {
      const e = this.next();
      this.now = e.t;
      e.run();
    }
  }

  // ---- network
  blocked(a, b) {
    for (const hits of this.cuts) if (hits(a, b)) return true;
    return false;
  }
  cut(hits, ms) {
    this.cuts.add(hits);
    this.at(ms, () => {
      this.scar(hits, 0);
      this.cuts.delete(hits);
    });
  }
  /** Frames sent on these links arrive `extra` ms later, and in order. */
  slowDown(hits, extra, ms) {
    this.slowTill = Math.max(this.slowTill, this.now + ms + extra);
    const rule = { hits, extra };
    this.slow.add(rule);
    this.at(ms, () => {
      this.scar(hits, extra);
      this.slow.delete(rule);
    });
  }
  scar(hits, later) {
    for (const a of this.all)
      for (const b of this.all) if (a !== b && hits(a, b)) this.lastCut.set(pair(a, b), this.now + later);
  }
  reset(a, b) {
    this.resets.set(pair(a, b), (this.resets.get(pair(a, b)) ?? 0) + 1);
  }
  heal() {
    this.cuts.clear();
    for (const { hits } of this.slow) this.scar(hits, 0);
    this.slow.clear();
    for (const a of this.nodes) for (const b of this.nodes) if (a.id < b.id) this.reset(a, b);
    this.fifo.clear();
  }
  send(a, b, m) {
    if (this.frames && (a.key === this.frames || b.key === this.frames)) this.logFrame(a, b, m);
    if (!b.up || this.blocked(a, b)) return;
    const key = `${a.key}.${a.boot}>${b.key}.${b.boot}`;
    const p = pair(a, b);
    const [from, to, count] = [a.boot, b.boot, this.resets.get(p)];
    let late = this.chance(0.03) ? this.int(50, 300) : this.int(1, 15);
    for (const { hits, extra } of this.slow) if (hits(a, b)) late += extra;
    const t = Math.max(this.now + late, (this.fifo.get(key) ?? 0) + 0.01);
    this.fifo.set(key, t);
    this.at(t - this.now, () => {
      if (!b.up || b.boot !== to || this.resets.get(p) !== count || this.blocked(a, b)) return;
      if (b.paused || b.draining) b.inbox.push([a, m, from]);
      else b.receive(a, m, from);
    });
  }

  logFrame(a, b, m) {
    const lost = !b.up ? 'to nobody' : this.blocked(a, b) ? 'cut' : '';
    this.log('   ', a.key, '>', b.key, JSON.stringify(m).slice(0, 160), lost);
  }

  // ---- actors
  timer(p, delay, run) {
    const boot = p.boot;
    this.at(delay, () => {
      if (!p.up || p.boot !== boot) return;
      if (p.paused) p.late.push(run);
      else run();
    });
  }
  /** Overdue timers run first when it wakes; the frames that queued up are read over the following `drain` ms. */
  pause(p, ms, drain) {
    if (!p.up || p.paused || p.draining) return;
    this.log(p.key, 'pauses', ms);
    Object.assign(p, { paused: true, inbox: [], late: [] });
    const boot = p.boot;
    const isSame = () => p.up && p.boot === boot;
    this.at(ms, () => {
      if (!isSame()) return;
      Object.assign(p, { paused: false, draining: true, wokeAt: this.now });
      this.log(p.key, 'wakes');
      const late = p.late;
      p.late = [];
      for (const run of late) if (isSame()) run();
      const gap = Math.min(30, drain / (p.inbox.length + 1));
      const read = () => {
        if (!isSame()) return;
        const frame = p.inbox.shift();
        if (frame) p.receive(...frame);
        if (p.inbox.length > 0) return gap > 0 ? this.at(gap, read) : read();
        Object.assign(p, { draining: false, wokeAt: this.now });
      };
      read();
    });
  }

  // ---- what the checks may demand
  calm(p, ms) {
    return p.up && !p.paused && !p.draining && p.wokeAt < this.now - ms && p.upAt < this.now - ms;
  }
  /** No fault touched the link of the two for `ms`. */
  uncut(a, b, ms) {
    if (this.blocked(a, b) || this.blocked(b, a)) return false;
    for (const { hits } of this.slow) if (hits(a, b) || hits(b, a)) return false;
    return (this.lastCut.get(pair(a, b)) ?? -1e9) < this.now - ms;
  }
  linked(a, b, ms) {
    return a === b || (this.uncut(a, b, ms) && this.calm(a, ms) && this.calm(b, ms));
  }
  /** Linked, or both linked to a third node that relays. */
  joined(a, b, ms) {
    if (this.linked(a, b, ms)) return true;
    return this.nodes.some((h) => h.status === 'ready' && this.linked(a, h, ms + 4000) && this.linked(h, b, ms + 4000));
  }
}

const before = (a, b) => a.t < b.t || (a.t === b.t && a.o < b.o);
const pair = (a, b) => (a.key < b.key ? `${a.key} ${b.key}` : `${b.key} ${a.key}`);

module.exports = { World };
