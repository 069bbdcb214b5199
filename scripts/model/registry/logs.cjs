'use strict';
/** Owner logs: one writer each, held and relayed by every node; deltas, digests, pulls, snapshots, tombstones, ghosts. */
const { on, times } = require('./rules.cjs');

/** Deltas kept for pulls; what is older goes as a snapshot. */
const historyMax = 12;

/** How old the state of an owner may be that a peer calls caught up. */
const relayedMs = 5000;

const emptyLog = (o, inc) => ({ o, inc, seq: 0, ents: new Map(), tombs: new Map(), history: [] });

const methods = {
  // ---- writing
  change(ch) {
    const log = this.mine;
    ch.seq = log.seq + 1;
    this.append(log, ch);
    for (const p of this.peers) this.w.send(this, p, { k: 'Delta', o: this.id, inc: this.inc, changes: [ch], hid: -1 });
    this.touch();
  },
  append(log, ch) {
    log.seq = ch.seq;
    log.history.push(ch);
    if (log.history.length > historyMax) log.history.shift();
    const { id, ver, nonce, st, seq } = ch;
    if (ch.kind === 'reg') {
      log.ents.set(id, { ver, nonce, st, seq, at: this.w.now, arrival: this.w.order++ });
      return;
    }
    if (log.o === this.id) this.ownEnds.set(id, ver);
    const e = log.ents.get(id);
    if (e && e.ver <= ver) log.ents.delete(id);
    if (ch.kind === 'moved' && on.moved) {
      if (e && e.ver <= ver) this.addGhost(id, e, this.w.now + times.remove, log.o);
    } else if (on.tombs && ver > (log.tombs.get(id)?.ver ?? -1)) {
      log.tombs.set(id, { ver, nonce, at: this.w.now, o: log.o, inc: log.inc, seq });
    }
  },

  // ---- what outlives its log
  replace(o, inc) {
    const old = this.logs[o];
    if (on.tombKeep) for (const [id, t] of old.tombs) this.keep(id, t);
    if (this.hidden[o])
      for (const [id, e] of old.ents) this.highest.set(id, Math.max(e.ver, this.highest.get(id) ?? 0));
    if (on.incGrace) for (const [id, e] of old.ents) this.addGhost(id, e, this.w.now + times.remove, o);
    this.logs[o] = emptyLog(o, inc);
    this.left[o] = 0;
    this.hidSeq[o] = -1;
    this.touch();
    return this.logs[o];
  },
  keep(id, t) {
    if (t.ver > (this.kept.get(id)?.ver ?? -1)) this.kept.set(id, { ...t, at: this.w.now });
    this.touch();
  },
  addGhost(id, e, till, o) {
    if (on.ghostHigh && e.ver < (this.highest.get(id) ?? 0)) return;
    if (till <= this.w.now || this.hidden[o] || e.ver <= (this.ghosts.get(id)?.ver ?? -1)) return;
    this.ghosts.set(id, { ver: e.ver, nonce: e.nonce, st: 'suspect', till, o, arrival: e.arrival });
    this.touch();
  },
  shipped(claims) {
    if (!on.incGrace) return [];
    return [...claims].filter(([id, e]) => !on.ghostShown || (this.view.get(id) === e.ver && !(e.till <= this.w.now)));
  },

  // ---- reading others' logs
  /** Somebody names an incarnation of this owner. */
  named(o, inc) {
    this.floors[o] = Math.max(this.floors[o], inc);
  },
  /** What is said of an incarnation below this one is refused. */
  lowest(o) {
    if (!on.staleInc) return 0;
    return on.floor ? Math.max(this.logs[o].inc, this.floors[o]) : this.logs[o].inc;
  },
  /** The incarnation that this owner is told to be above. */
  toldInc(o) {
    return Math.max(this.logs[o].inc, on.floorTold ? this.floors[o] : 0);
  },
  covers(o, d) {
    const log = this.logs[o];
    return log.inc > d.inc || (log.inc === d.inc && log.seq >= d.seq);
  },
  onDelta(a, m) {
    if (m.o === a.id) this.named(m.o, m.inc);
    if ((m.o === this.id && on.ignoreMine) || this.refuses(m)) return;
    let log = this.logs[m.o];
    if (m.inc < this.lowest(m.o)) return;
    if (m.inc !== log.inc && on.keptShip) return this.w.send(this, a, { k: 'Pull', o: m.o, inc: log.inc, seq: -1 });
    if (m.inc !== log.inc) log = this.replace(m.o, m.inc);
    for (const ch of m.changes) {
      if (ch.seq <= log.seq) continue;
      if (ch.seq > log.seq + 1 && on.gapPull) {
        this.w.send(this, a, { k: 'Pull', o: m.o, inc: log.inc, seq: log.seq });
        break;
      }
      this.append(log, ch);
    }
    for (const [id, t] of m.kept ?? []) this.keep(id, t);
    this.takeMark(m);
    this.touch();
    this.settle();
  },
  onPull(a, m) {
    if (this.status === 'boot') return;
    const log = this.logs[m.o];
    const base = { o: m.o, inc: log.inc, hid: this.markOf(m.o) };
    if (m.inc === log.inc && m.seq >= 0 && (m.seq >= log.seq || log.history[0]?.seq <= m.seq + 1)) {
      const changes = log.history.filter((ch) => ch.seq > m.seq);
      const kept = this.hiding(changes.map((ch) => ch.id));
      if (changes.length > 0) this.w.send(this, a, { k: 'Delta', ...base, changes, kept });
      return;
    }
    const ents = [...log.ents];
    const half = ents.length >> 1;
    Object.assign(base, { seq: log.seq, id: this.w.order++, tombs: [...log.tombs], ghosts: this.shipped(this.ghosts) });
    base.kept = [...(on.keptShip ? this.kept : []), ...this.hiding(log.ents.keys())];
    this.w.send(this, a, { k: 'Snap', ...base, part: 0, ents: ents.slice(0, half) });
    this.w.send(this, a, { k: 'Snap', ...base, part: 1, ents: ents.slice(half) });
  },
  /** The tombstones that hide any of these instances here. */
  hiding(ids) {
    if (!on.hideShip) return [];
    return [...ids].map((id) => [id, this.top(id)]).filter(([, top]) => top?.isTomb);
  },
  onSnap(a, m) {
    if ((m.o === this.id && on.ignoreMine) || this.refuses(m)) return;
    const log = this.logs[m.o];
    if (m.inc < this.lowest(m.o) || (m.inc === log.inc && m.seq < log.seq)) return;
    const key = `${a.id}:${m.o}`;
    let { ents } = m;
    if (on.snapAtomic) {
      if (m.part === 0) return this.parts.set(key, m);
      const first = this.parts.get(key);
      if (first?.id !== m.id) return;
      ents = [...first.ents, ...ents];
    } else if (m.part === 1) {
      ents = [...log.ents, ...ents];
    }
    if (m.inc !== log.inc) this.replace(m.o, m.inc);
    const tombs = new Map(m.tombs.map(([id, t]) => [id, { ...t, at: this.w.now }]));
    for (const [id, t] of this.logs[m.o].tombs) if (t.ver > (tombs.get(id)?.ver ?? -1)) this.keep(id, t);
    const held = new Map(ents.map(([id, e]) => [id, { ...e, at: this.w.now, arrival: this.w.order++ }]));
    this.logs[m.o] = { ...emptyLog(m.o, m.inc), seq: m.seq, ents: held, tombs };
    for (const [id, t] of m.kept) this.keep(id, t);
    for (const [id, g] of m.ghosts) this.addGhost(id, g, g.till, g.o);
    this.takeMark(m);
    this.touch();
    this.settle();
  },
  /** Up to which seq this owner's claims are hidden here, or would be if the node were not frozen. */
  markOf(o) {
    if (!on.hidMark || o === this.id) return -1;
    if (this.hidden[o]) return this.hidSeq[o];
    return this.stale[o] ? this.logs[o].seq : -1;
  },
  /** The log of an owner that its sender hides is for those only who do not hear of that owner. */
  refuses({ o, hid }) {
    return hid >= 0 && this.alive[o] !== null && this.w.now - this.alive[o] < times.gone;
  },
  takeMark({ o, hid }) {
    if (hid <= this.hidSeq[o]) return;
    this.hidden[o] = true;
    this.hidSeq[o] = hid;
  },

  // ---- digests
  hash(o) {
    let h = 0;
    for (const [id, e] of this.logs[o].ents) {
      h = (h + Math.imul(id + 1, 7919) * (e.ver % 9973) + (e.st === 'up' ? 1 : 2) * (id + 3)) | 0;
    }
    return h;
  },
  ages() {
    return this.alive.map((at, o) => (o === this.id ? 0 : at === null ? null : this.w.now - at));
  },
  sendDigest(p, re) {
    if (this.status === 'boot') return;
    const isCaught = (o) => !this.hidden[o] && this.caught[o] > this.w.now - relayedMs;
    const owners = this.logs.map((log, o) => ({ inc: log.inc, seq: log.seq, hash: this.hash(o), caught: isCaught(o) }));
    const ready = this.status === 'ready' && !(on.majGate && this.gateShut);
    this.w.send(this, p, { k: 'Digest', owners, ages: this.ages(), ready, re, coldLeft: this.coldTill - this.w.now });
  },
  digestLoop() {
    for (const p of this.peers) this.sendDigest(p);
    this.w.timer(this, this.w.int(1800, 2200), () => this.digestLoop());
  },
  /** Asks everyone for a digest; only an answer to a question asked since the gate shut says anything about now. */
  ask() {
    for (const p of this.peers) this.w.send(this, p, { k: 'Ask', gate: this.gateNo });
  },
  onAsk(a, m) {
    this.sendDigest(a, m.gate);
  },
  onBeat(a, m) {
    this.learnAges(a, m.ages);
  },
  learnAges(a, ages) {
    const { now } = this.w;
    const mine = ages[this.id];
    if (mine !== null && mine < times.gone) this.heardBy[a.id] = now;
    if (!on.ages) return;
    ages.forEach((age, o) => {
      if (age === null || o === this.id) return;
      if (this.alive[o] === null || now - age > this.alive[o]) this.alive[o] = now - age;
    });
  },
  onDigest(a, m) {
    const { now } = this.w;
    this.digests[a.id] = { owners: m.owners, at: now };
    const isAnswer = !on.askGate || m.re === this.gateNo;
    if (isAnswer) this.peerReady[a.id] = { ready: m.ready, at: now, owners: m.owners };
    this.learnAges(a, m.ages);
    const own = m.owners[a.id].inc;
    if (on.floorTold && own > 0 && own < this.floors[a.id])
      this.w.send(this, a, { k: 'IncTold', inc: this.floors[a.id], ents: [], ghosts: [], tombs: [] });
    m.owners.forEach((d, o) => {
      const log = this.logs[o];
      if (o === this.id) this.aboutMe(a, d.inc);
      if (o === this.id && on.ignoreMine) return;
      this.named(o, d.inc);
      if (o === a.id) this.seen[o] = { ...d, at: now, heardAt: now };
      else if (on.relayBack && d.caught && !(this.seen[o]?.heardAt > now - relayedMs))
        this.seen[o] = { ...d, at: now - relayedMs, heardAt: now };
      const isMore = d.inc === log.inc && (d.seq > log.seq || (d.seq === log.seq && d.hash !== this.hash(o)));
      const seq = d.inc === log.inc && d.seq > log.seq ? log.seq : -1;
      const isStale = !on.staleInc && d.inc > 0 && d.inc < log.inc;
      if (on.digest && d.inc >= this.lowest(o) && (d.inc > log.inc || isMore || isStale))
        this.w.send(this, a, { k: 'Pull', o, inc: log.inc, seq });
    });
    const isOpen = this.want?.from === a.id && this.want.at >= this.gateAt;
    if (isAnswer && m.ready && this.gateShut && !isOpen)
      this.want = { owners: m.owners, coldLeft: m.coldLeft, at: now, from: a.id };
    this.settle();
  },
  /** What am I caught up to now? */
  settle() {
    const { now } = this.w;
    this.seen.forEach((d, o) => {
      if (d === null || !this.covers(o, d) || (on.backCaught && d.inc !== this.logs[o].inc)) return;
      this.caught[o] = d.at;
      if (d.heardAt < now - relayedMs) return;
      this.stale[o] = false;
      if (!this.hidden[o] || this.gone[o]) return;
      this.hidden[o] = false;
      this.w.log(this.key, `shows n${o} again`);
      this.touch();
    });
    this.gate();
  },

  // ---- the end of tombstones
  dropTombs() {
    const { now } = this.w;
    const hasIt = (digest, t) => {
      const d = digest?.owners[t.o];
      return !on.tombAck || !d || (digest.at > t.at && (d.inc > t.inc || (d.inc === t.inc && d.seq >= t.seq)));
    };
    const isLow = (id, ver) => this.logs.some((log) => log.ents.get(id)?.ver <= ver);
    for (const tombs of [this.kept, ...this.logs.map((log) => log.tombs)]) {
      for (const [id, t] of tombs) {
        const isPast =
          this.peers.every((p) => this.caught[p.id] > t.at && hasIt(this.digests[p.id], t)) && !isLow(id, t.ver);
        if (on.tombGate ? now - t.at >= times.tombstone && isPast : now - t.at >= 20000) {
          tombs.delete(id);
          this.touch();
        }
      }
    }
  },
  tellHidden() {
    const { now, clients, nodes } = this.w;
    for (const { id } of clients) {
      const c = this.claim(id);
      const t = c && this.tomb(id);
      if (!t || t.ver < c.ver || c.isGhost || c.o === this.id || now - t.at <= 3000 || this.heard[c.o] <= now - 2000)
        continue;
      this.w.send(this, nodes[c.o], { k: 'Higher', id, ver: t.ver, nonce: t.nonce });
    }
  },
  onHigher(_, m) {
    if (this.mine.ents.get(m.id)?.ver <= m.ver) this.keep(m.id, m);
  },
};

module.exports = { emptyLog, methods };
