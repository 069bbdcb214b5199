'use strict';
/** The merged view of all owner logs, and the lists that watchers get from it. */
const { on, times } = require('./rules.cjs');

/** How long a tombstone of another process waits for the client to register above it. */
const waitMs = 3000;

const methods = {
  tomb(id) {
    let best = this.kept.get(id) ?? null;
    for (const log of this.logs) {
      const t = log.tombs.get(id);
      if (t && (!best || t.ver > best.ver)) best = t;
    }
    return best;
  },
  claim(id) {
    let best = null;
    let owner = -1;
    for (const log of this.logs) {
      const e = log.ents.get(id);
      if (!e || (best && (on.version ? e.ver < best.ver : e.arrival < best.arrival))) continue;
      best = e;
      owner = log.o;
    }
    const g = this.ghosts.get(id);
    if (g && (!best || g.ver > best.ver)) return { ...g, isGhost: true };
    return best && { ...best, o: owner };
  },
  /** What decides about this instance: a claim, or the tombstone that hides it. */
  top(id) {
    const c = this.claim(id);
    const t = this.tomb(id);
    return t && (!c || t.ver >= c.ver) ? { ...t, isTomb: true } : c;
  },
  isShown(top) {
    return !top.isTomb && (top.isGhost || !this.hidden[top.o] || (on.hideOld && top.seq > this.hidSeq[top.o]));
  },
  /** A claim, in view or up, that may stay for a moment, though something of another process hides it. */
  waiting(id, top) {
    if (!on.tombWait || !(top.at > this.w.now - waitMs)) return null;
    const isHeard = (o) => o === this.id || this.isAlive(o);
    const s = this.shownAs.get(id);
    if (s && s.nonce !== top.nonce && isHeard(s.o)) return s;
    // The tombstone has hidden the instance here already: what comes now is news of former times.
    if (on.waitOnce && this.ended.get(id) >= top.ver && !this.view.has(id)) return null;
    const isCurrent = (o) => o === this.id || (!this.hidden[o] && this.caught[o] > this.w.now - times.gone);
    const log = this.logs.find(({ o, ents }) => {
      const e = ents.get(id);
      return e?.st === 'up' && e.nonce !== top.nonce && isCurrent(o);
    });
    return log ? { ...log.ents.get(id), o: log.o } : null;
  },
  touch() {
    if (this.dirty) return;
    this.dirty = true;
    this.w.timer(this, 10, () => {
      this.dirty = false;
      this.flush();
    });
  },
  flush() {
    const shown = new Map();
    const as = new Map();
    for (const { id } of this.w.clients) {
      const top = this.top(id);
      if (!top) continue;
      const c = this.isShown(top) ? top : this.waiting(id, top);
      if (top.isTomb) this.ended.set(id, Math.max(top.ver, this.ended.get(id) ?? 0));
      if (!c) continue;
      shown.set(id, c.ver);
      as.set(id, { ver: c.ver, nonce: c.nonce, o: c.o });
      if (c !== top) this.w.timer(this, waitMs + 1, () => this.touch());
    }
    if (on.superseded) for (const s of [...this.sessions.values()]) if (s.ver) this.checkSession(s);
    const was = this.view;
    this.view = shown;
    this.shownAs = as;
    this.w.checks.viewChanged(this, was, shown);
    for (const watch of this.watches.values()) this.push(watch);
  },
  checkSession(s) {
    const { id } = s.client;
    const top = this.top(id);
    if (
      !top ||
      this.mine.ents.get(id)?.ver !== s.ver ||
      !(top.ver > s.ver || (top.ver === s.ver && (top.isTomb || top.o !== this.id)))
    )
      return;
    const { now } = this.w;
    if (
      on.tombWait &&
      !this.isShown(top) &&
      top.nonce !== s.nonce &&
      !(s.toldAt !== null && s.toldAt <= now - waitMs)
    ) {
      if (s.toldAt !== null) return;
      s.toldAt = now;
      this.w.timer(this, waitMs + 1, () => this.touch());
      return this.supersede(s, top);
    }
    this.w.log(this.key, 'supersedes', s.client.key, s.ver, 'by', top.ver);
    this.supersede(s, top);
    this.change({ id, kind: top.isTomb ? 'end' : 'moved', ver: s.ver, nonce: s.nonce });
    s.ver = 0;
  },

  // ---- watchers
  watch(a, m) {
    this.watches.set(m.conn, { a, conn: m.conn, service: m.service, need: m.vector, till: this.w.now + 500, sent: '' });
    for (const ms of [501, 501 + times.cold]) this.w.timer(this, ms, () => this.touch());
    this.touch();
  },
  isBehind(watch) {
    const { now } = this.w;
    if (!on.vector || !watch.need) return false;
    const lacks = (d, o) => !this.covers(o, d) && !(on.goneCover && this.hidden[o]);
    if (!watch.need.some(lacks)) return false;
    return !(on.behindEnd && now > watch.till + times.cold && this.sure());
  },
  push(watch) {
    const behind = this.isBehind(watch);
    if (!behind) watch.need = null;
    else if (this.w.now < watch.till) return;
    const isMine = (id) => id % 3 === watch.service;
    const list = [...this.view].filter(([id]) => isMine(id));
    const sure = !behind && this.sure();
    const final = on.emptyGate ? sure : !behind;
    const full = !behind && (on.complete ? this.sure() : list.length > 0 || final);
    const ended = [];
    for (const { id } of this.w.clients) {
      const t = isMine(id) && this.tomb(id);
      if (t) ended.push([id, t.ver]);
    }
    const sent = JSON.stringify([list, behind, final, full, on.complete ? ended : 0]);
    if (sent === watch.sent) return;
    watch.sent = sent;
    const vector = this.logs.map((log) => ({ inc: log.inc, seq: log.seq }));
    this.w.send(this, watch.a, { k: 'List', conn: watch.conn, list, ended, final, full, vector });
  },
};

module.exports = { methods };
