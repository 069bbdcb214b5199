'use strict';
/** A name server: start, incarnation, readiness, and where frames go. Its other parts are logs, life and view. */
const { on, times } = require('./rules.cjs');
const logs = require('./logs.cjs');
const life = require('./life.cjs');
const view = require('./view.cjs');

class Node {
  constructor(world, id) {
    Object.assign(this, { w: world, id, key: `n${id}`, isNode: true, disk: 0, up: false, boot: 0, upAt: 0 });
    Object.assign(this, { wokeAt: -1e9, skew: world.int(-50, 50), view: new Map(), status: 'down' });
  }
  get peers() {
    return this.w.nodes.filter((p) => p !== this);
  }
  get mine() {
    return this.logs[this.id];
  }
  wall() {
    return 1e9 + Math.floor(this.w.now) + this.skew;
  }

  // ---- start and stop
  start() {
    const { w } = this;
    const each = (value) => w.nodes.map(() => value);
    Object.assign(this, {
      up: true,
      boot: this.boot + 1,
      upAt: w.now,
      paused: false,
      draining: false,
      inbox: [],
      late: [],
    });
    Object.assign(this, { inc: 0, status: 'boot', alone: false, raised: false, coldTill: -1e9, told: new Map() });
    Object.assign(this, {
      gateShut: true,
      gateAt: w.now,
      gateNo: 1,
      want: null,
      frozen: false,
      weak: false,
      wasSure: false,
    });
    Object.assign(this, {
      logs: w.nodes.map((_, o) => logs.emptyLog(o, 0)),
      kept: new Map(),
      ghosts: new Map(),
      highest: new Map(),
      parts: new Map(),
    });
    Object.assign(this, {
      heard: each(-1e9),
      heardBy: each(-1e9),
      alive: each(null),
      gone: each(0),
      left: each(0),
      links: each(0),
    });
    Object.assign(this, {
      hidden: each(false),
      stale: each(false),
      digests: each(null),
      majAt: 0,
      hidSeq: each(-1),
      seen: each(null),
      floors: each(0),
      caught: each(-1e9),
      peerReady: each(null),
    });
    Object.assign(this, {
      sessions: new Map(),
      watches: new Map(),
      closes: [],
      holdTill: -1e9,
      due: w.now + 1000,
      quietTill: 0,
    });
    Object.assign(this, {
      view: new Map(),
      shownAs: new Map(),
      dirty: false,
      ended: new Map(),
      ownEnds: new Map(),
      expired: new Map(),
      frameAt: w.now,
    });
    w.log(this.key, 'starts, disk', this.disk);
    if (on.incAsk) for (const p of this.peers) w.send(this, p, { k: 'IncAsk' });
    w.timer(this, on.incAsk ? 500 : 0, () => this.begin());
    w.timer(this, 1000, () => this.tick());
    w.timer(this, w.int(100, 2000), () => this.digestLoop());
  }
  begin() {
    const theirs = [...this.told.values()];
    this.alone = theirs.length === 0;
    const clock = on.wallInc || (this.alone && on.incAsk) ? this.wall() : 0;
    this.inc = Math.max(this.disk, ...theirs, clock) + this.step();
    this.disk = this.mine.inc = this.inc;
    this.status = 'notready';
    this.gateAt = this.w.now;
    this.ask();
    this.w.log(this.key, 'inc', this.inc, this.alone ? 'alone' : '');
    if (!on.readyGate) this.open(false, 0);
  }
  stop() {
    this.up = false;
    this.status = 'down';
    this.closeAll();
  }
  closeAll() {
    for (const p of [...this.w.clients, ...this.w.watchers]) {
      if (p.node !== this || this.w.blocked(this, p)) continue;
      const conn = p.conn;
      this.w.at(this.w.int(1, 20), () => p.closed(conn));
    }
  }

  // ---- frames
  receive(a, m, boot) {
    if (a.isNode) {
      if (on.oldLink && boot < this.links[a.id]) return;
      this.links[a.id] = boot;
      this.frameAt = this.heard[a.id] = this.alive[a.id] = this.w.now;
      this.back(a.id);
    }
    this[`on${m.k}`](a, m);
  }

  // ---- incarnation
  onIncAsk(a) {
    if (this.status === 'boot') return;
    const old = this.logs[a.id];
    const tombs = on.incGrace ? [...old.tombs, ...this.kept] : [];
    const told = { inc: this.toldInc(a.id), ents: this.shipped(old.ents), ghosts: this.shipped(this.ghosts), tombs };
    this.w.send(this, a, { k: 'IncTold', ...told });
  }
  onIncTold(a, m) {
    const { now } = this.w;
    this.told.set(a.id, m.inc);
    for (const [id, t] of m.tombs) this.keep(id, t);
    for (const [id, e] of m.ents) this.addGhost(id, e, (on.ghostTill ? this.upAt : now) + times.remove, this.id);
    for (const [id, g] of m.ghosts) this.addGhost(id, g, g.till, g.o);
    if (this.status !== 'boot') this.aboutMe(a, m.inc);
  }
  aboutMe(from, inc) {
    if (this.status === 'boot' || inc <= this.inc) return;
    if (on.hearsay || this.status !== 'ready') return this.raise(inc);
    if (this.alone && !this.raised && this.w.now - this.upAt < 60000) {
      this.raised = true;
      return this.raise(inc);
    }
    this.w.fail('e', `${this.key} stops itself: ${from.key} knows inc ${inc}, mine ${this.inc}`);
    this.stop();
    this.w.at(5000, () => this.up || this.start());
  }
  /** Two starts from the same knowledge should differ. */
  step() {
    return on.incRandom ? this.w.int(1, 1024) : 1;
  }
  /** A new incarnation while running: the same sessions, numbered anew. */
  raise(above) {
    const { ents, tombs } = this.mine;
    this.disk = this.inc = Math.max(above, this.inc) + this.step();
    this.w.log(this.key, 'raises itself to', this.inc);
    this.logs[this.id] = { ...logs.emptyLog(this.id, this.inc), tombs };
    for (const [id, e] of ents) this.change({ id, kind: 'reg', ver: e.ver, nonce: e.nonce, st: e.st });
    for (const [id, t] of [...tombs]) this.change({ id, kind: 'end', ver: t.ver, nonce: t.nonce });
  }

  // ---- readiness: one gate for a start and for the end of a minority
  shutGate() {
    Object.assign(this, { gateShut: true, gateAt: this.w.now, gateNo: this.gateNo + 1, want: null });
    this.touch();
    this.ask();
  }
  open(cold, coldLeft) {
    const { now } = this.w;
    if (this.status === 'notready') {
      this.status = 'ready';
      this.coldTill = cold ? now + times.cold : on.coldPass && coldLeft > 0 ? now + coldLeft : -1e9;
      this.majAt = now;
      this.w.log(this.key, 'READY', cold ? 'cold' : '');
    }
    this.gateShut = false;
    this.touch();
  }
  gate() {
    if (!this.gateShut || this.status === 'boot' || (this.status === 'ready' && this.weak)) return;
    const { want, peers } = this;
    const { now } = this.w;
    const isCaughtUp = (owners) => owners.every((d, o) => o === this.id || this.covers(o, d) || d.inc < this.lowest(o));
    if (want && isCaughtUp(want.owners)) return this.open(false, want.coldLeft);
    const fresh = (r) => r && r.at > now - 5000 && r.at >= this.gateAt;
    const isJoint = (r) => fresh(r) && !r.ready && (!on.gateCaught || isCaughtUp(r.owners));
    const noneReady = peers.every((p) => isJoint(this.peerReady[p.id]));
    if (noneReady || now - this.gateAt >= 10000) this.open(true, 0);
  }
  /** May what is absent here be taken for ended? */
  sure() {
    const { now } = this.w;
    if (this.status !== 'ready' || this.frozen || now < this.coldTill || (on.majGate && this.gateShut)) return false;
    if (on.majSure && this.isMinority()) return false;
    const isNew = on.majWait && now < this.majAt + times.remove;
    const isBehind = (o) => on.sureCaught && this.caught[o] <= now - 2 * times.gone;
    const isSuspect = (o) => (this.hidden[o] ? isNew || (on.backSus && !this.gone[o]) : this.gone[o] || isBehind(o));
    return !this.peers.some((p) => isSuspect(p.id));
  }
  isMinority() {
    const { now } = this.w;
    const reached = (o) => this.heard[o] > now - times.gone && this.heardBy[o] > now - times.gone;
    return 2 * (1 + this.peers.filter((p) => reached(p.id)).length) <= this.w.nodes.length;
  }
}

Object.assign(Node.prototype, logs.methods, life.methods, view.methods);
module.exports = { Node };
