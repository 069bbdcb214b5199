'use strict';
/** Life and death: sessions with their beats, the sweep, owners that are gone, and clean leaving. */
const { on, times } = require('./rules.cjs');

const methods = {
  // ---- sessions
  live(a, conn) {
    const s = this.sessions.get(conn);
    if (s?.client !== a || s.closed) return null;
    s.last = this.w.now;
    s.mark = 0;
    if (s.st === 'suspect' && s.ver) this.change({ id: a.id, kind: 'reg', ver: s.ver, nonce: s.nonce, st: 'up' });
    s.st = 'up';
    return s;
  },
  onHello(a, m) {
    if (this.status !== 'ready') return this.w.send(this, a, { k: 'No', conn: m.conn });
    const fresh = { client: a, conn: m.conn, last: this.w.now, st: 'up', ver: 0, nonce: 0, mark: 0, toldAt: null };
    this.sessions.set(m.conn, fresh);
    this.w.send(this, a, { k: 'Ok', conn: m.conn });
    if (m.service !== null) this.watch(a, m);
  },
  onPing(a, m) {
    const s = this.live(a, m.conn);
    if (!s) return this.w.send(this, a, { k: 'Gone', conn: m.conn });
    const leave = on.majMove && this.isMinority();
    this.w.send(this, a, { k: 'Pong', conn: m.conn, ver: s.ver, leave });
  },
  onPeek(a) {
    if (this.status === 'ready' && !(on.majMove && this.isMinority())) this.w.send(this, a, { k: 'Peeked' });
  },
  onReg(a, m) {
    const s = this.live(a, m.conn);
    if (!s) return;
    const top = this.top(a.id);
    if (on.superseded && top && top.ver >= m.ver) return this.supersede(s, top);
    for (const other of this.sessions.values()) if (other !== s && other.client === a) other.ver = 0;
    this.w.log(this.key, 'registers', a.key, m.ver);
    Object.assign(s, { ver: m.ver, nonce: m.nonce, toldAt: null });
    this.change({ id: a.id, kind: 'reg', ver: m.ver, nonce: m.nonce, st: 'up' });
    this.w.send(this, a, { k: 'Regd', conn: m.conn, ver: m.ver });
  },
  supersede(s, top) {
    this.w.send(this, s.client, { k: 'Superseded', conn: s.conn, seen: top.ver });
  },
  onDereg(a, m) {
    const s = this.live(a, m.conn);
    if (!s) return;
    s.ver = 0;
    this.change({ id: a.id, kind: 'end', ver: m.ver, nonce: m.nonce });
    this.w.send(this, a, { k: 'Deregd', conn: m.conn });
  },
  onBye(_, m) {
    this.watches.delete(m.conn);
    const s = this.sessions.get(m.conn);
    if (!s || s.closed) return;
    s.closed = true;
    this.lose(s);
    if (!s.ver) this.sessions.delete(m.conn);
  },
  lose(s) {
    const { now } = this.w;
    this.closes = this.closes.filter((t) => t > now - (on.silentMass ? 4000 : 2000));
    this.closes.push(now);
    if (!s.ver) return;
    const count = [...this.sessions.values()].filter((t) => t.ver).length;
    if (on.massHold && this.closes.length >= 3 && this.closes.length > 0.2 * count) this.holdTill = now + times.hold;
    if (s.st === 'up') this.suspect(s);
  },
  suspect(s) {
    s.st = 'suspect';
    this.change({ id: s.client.id, kind: 'reg', ver: s.ver, nonce: s.nonce, st: 'suspect' });
  },

  // ---- the sweep, once a second
  tick() {
    const { now } = this.w;
    const late = now - this.due;
    this.due = now + 1000;
    this.w.timer(this, 1000, () => this.tick());
    if (late > 300 && on.lateComp) this.extend(late);
    if (late > 1000 && on.wakePull) {
      this.shutGate();
      this.quietTill = now + 500;
    }
    for (const p of this.peers) this.w.send(this, p, { k: 'Beat', ages: this.ages() });
    if (this.gateShut) this.ask();
    if (this.status === 'boot' || now < this.quietTill) return;
    for (const s of [...this.sessions.values()]) this.sweep(s);
    this.judgeReach();
    for (const p of this.peers) this.judge(p.id);
    this.gate();
    this.sweepGhosts();
    this.dropTombs();
    if (on.tell) this.tellHidden();
    if (this.sure() !== this.wasSure) this.touch();
    this.wasSure = this.sure();
  },
  extend(late) {
    for (const s of this.sessions.values()) {
      s.last += late;
      if (s.mark) s.mark += late;
    }
    for (const g of this.ghosts.values()) g.till += late;
    this.holdTill += late;
    for (const { id: o } of this.peers) {
      this.heard[o] += late;
      this.heardBy[o] += late;
      if (this.alive[o] !== null) this.alive[o] += late;
      if (this.gone[o]) this.gone[o] += late;
      if (this.left[o]) this.left[o] += late;
    }
  },
  sweep(s) {
    const { now } = this.w;
    const silent = now - s.last;
    if (!s.ver) {
      if (silent > 30000) this.endSession(s);
      return;
    }
    if (silent >= times.suspect && s.st === 'up') on.silentMass ? this.lose(s) : this.suspect(s);
    if (silent >= times.remove && !s.mark) {
      s.mark = now;
      if (on.twoPhase) return;
    }
    if (!s.mark || (on.twoPhase && now - s.mark < times.beat) || now < this.holdTill) return;
    this.w.log(this.key, 'removes', s.client.key, s.ver);
    this.expired.set(s.client.id, s.ver);
    this.change({ id: s.client.id, kind: 'end', ver: s.ver, nonce: s.nonce });
    s.ver = 0;
    if (!on.closeEnd) return;
    this.endSession(s);
    this.w.send(this, s.client, { k: 'Gone', conn: s.conn });
  },
  endSession(s) {
    this.sessions.delete(s.conn);
    this.watches.delete(s.conn);
  },
  sweepGhosts() {
    for (const [id, g] of this.ghosts) {
      const isPast = this.w.now >= g.till && !this.frozen;
      const isPassed = this.tomb(id)?.ver >= g.ver || this.logs.some((log) => log.ents.get(id)?.ver >= g.ver);
      if (!isPast && !(on.ghostTomb && isPassed)) continue;
      this.ghosts.delete(id);
      this.touch();
    }
  },

  // ---- owners
  judgeReach() {
    if (this.status !== 'ready') return;
    const { now } = this.w;
    const alone = on.freeze && !this.peers.some((p) => this.heard[p.id] > now - times.gone);
    if (alone !== this.frozen) {
      this.frozen = alone;
      this.w.log(this.key, alone ? 'freezes' : 'thaws');
      this.touch();
    }
    const weak = this.isMinority();
    if (weak === this.weak) return;
    this.weak = weak;
    if (!weak) this.majAt = now;
    this.w.log(this.key, weak ? 'loses the majority' : 'reaches a majority');
    if (on.majGate) this.shutGate();
  },
  aliveAt(o) {
    return (on.ages ? this.alive[o] : null) ?? Math.max(this.heard[o], this.upAt);
  },
  isAlive(o) {
    return this.w.now - this.aliveAt(o) < times.gone;
  },
  judge(o) {
    const { now } = this.w;
    const alive = this.aliveAt(o);
    if (now - alive < 2000) this.back(o);
    if (now - alive >= times.gone + times.hide) this.stale[o] = true;
    const hasWitness = this.peers.some((p) => p.id !== o && this.heard[p.id] > now - 2000);
    if (!this.gone[o] && now - alive >= times.gone && (!on.freeze || hasWitness)) {
      this.gone[o] = alive + times.gone;
      this.w.log(this.key, `finds n${o} gone`);
      this.touch();
    }
    const isNew = !this.hidden[o] || this.hidSeq[o] < this.logs[o].seq;
    if (on.goneHide && this.gone[o] && now - this.gone[o] >= times.hide && !this.frozen && isNew) this.hide(o);
    if (this.left[o] && !this.frozen && now - this.left[o] >= times.remove && now - this.heard[o] > 2000) {
      this.left[o] = 0;
      this.hide(o);
    }
  },
  hide(o) {
    this.hidden[o] = true;
    this.hidSeq[o] = this.logs[o].seq;
    this.w.log(this.key, `hides n${o}`);
    this.touch();
  },
  back(o) {
    if (!this.gone[o]) return;
    this.gone[o] = 0;
    if (!on.backCaught) this.hidden[o] = false;
    this.w.log(this.key, `hears of n${o} again`);
    this.touch();
  },

  // ---- clean shutdown
  leave(after) {
    const { w } = this;
    w.log(this.key, 'leaves');
    this.status = 'leaving';
    for (const p of this.peers) w.send(this, p, { k: 'Leave', inc: this.inc });
    this.closeAll();
    const boot = this.boot;
    w.at(w.int(1000, 3000), () => {
      if (!this.up || this.boot !== boot) return;
      this.up = false;
      this.status = 'down';
      w.at(after, () => this.up || this.start());
    });
  },
  onLeave(a, m) {
    const isOld = on.leaveInc && m.inc < this.toldInc(a.id);
    if (on.leave && !isOld) this.left[a.id] = this.w.now;
  },
};

module.exports = { methods };
