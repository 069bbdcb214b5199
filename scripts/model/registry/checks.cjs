'use strict';
/**
 * What must hold.
 *   a  logs agree 5 s after the faults, all live clients are seen everywhere at +25 s, view and lists = truth at +75 s
 *   b  no live instance leaves the view of a node that is joined to its owner, or that is alone, or that was paused;
 *      and it shows within 25 s where it is joined
 *   c  no zombie past its bound; none comes back below a tombstone, or after all nodes had removed it
 *   d  d1 no final empty list beside a live instance; d2 no removal caused only by a watcher's move
 *   e  every node is READY at +20 s, and no node stops itself (there are no real twins here)
 *   f  no tombstone is left at +145 s
 *   l  a live client that can reach half of the nodes has one within 20 s
 * A removal right in itself is not held against a node while the new registration may still be under way: a client that
 * comes back after 9 s of silence, or from an owner cut off from that node, cannot be there before its frame arrives.
 */
const { on, times } = require('./rules.cjs');

class Checks {
  constructor(world) {
    this.w = world;
  }
  get alive() {
    return this.w.clients.filter((c) => c.isAlive());
  }

  // ---- while running
  start() {
    this.w.at(200, () => this.watchDead());
    this.w.at(1000, () => this.everySecond());
    this.atEnd();
  }
  watchDead() {
    const { w } = this;
    const isSettled = w.now > w.slowTill && w.nodes.every((p) => !p.up || w.calm(p, 0));
    for (const c of w.clients) {
      const isDead = !c.isAlive() && c.deadAt >= 0 && w.now - c.deadAt > 500;
      if (isDead && isSettled && !c.goneAll && w.nodes.every((p) => !p.view.has(c.id))) c.goneAll = true;
    }
    if (w.now < times.end) w.at(200, () => this.watchDead());
  }
  viewChanged(node, was, shown) {
    const { w } = this;
    for (const [id, ver] of was) {
      if (shown.has(id)) continue;
      w.log(node.key, `loses c${id}`, ver, JSON.stringify(node.top(id)));
      this.removed(node, w.clients[id], ver);
    }
    for (const [id, ver] of shown) {
      if (was.has(id)) continue;
      w.log(node.key, `shows c${id}`, ver, JSON.stringify(node.top(id)));
      this.appeared(node, w.clients[id], ver);
    }
  }
  removed(node, c, ver) {
    const { w } = this;
    if (node.status !== 'ready' || !c.isAlive()) return;
    if (c.massTill > w.now && w.calm(node, 40000) && w.linked(node, c.massAt, 40000)) {
      return w.fail('b', `${node.key} lost ${c.key} in a mass disconnect of 20 s`);
    }
    const isOwn = node.ownEnds.get(c.id) >= ver;
    const isAlone = w.now - node.frameAt > 8000 && w.calm(node, 30000);
    if (isAlone && !isOwn) return w.fail('b', `${node.key}, alone, lost ${c.key}`);
    const isFaithful = w.calm(c, 40000) && w.uncut(node, c, 40000) && c.bornAt < w.now - 40000;
    // Who left this node for another one may have told it nothing of that.
    const holder = c.owner ?? c.lastOwner;
    const isHeld = !holder || holder === node || (w.uncut(node, holder, 20000) && w.calm(holder, 8000));
    if (node.expired.get(c.id) >= ver && node.wokeAt > w.now - 15000 && isFaithful && isHeld) {
      return w.fail('b', `${node.key} lost ${c.key} by its own pause`);
    }
    if (c.backAt > w.now - 1000 || c.contactAt < w.now - 9000 || c.paused || c.bornAt > w.now - 5000) return;
    const isJoined = c.owner && c.regAt < w.now - 12000 && w.joined(node, c.owner, 8000);
    const isReborn = (p) => p === c.lastOwner && p.up && p.upAt > w.now - 25000 && w.uncut(p, c, 25000);
    const isQuiet = (p) => p === node || ((!p.up || w.calm(p, 25000) || isReborn(p)) && w.uncut(node, p, 25000));
    const isCalm = w.calm(node, 25000) && c.contactAt > w.now - 6000 && w.nodes.every(isQuiet);
    if (isJoined || isCalm) w.fail('b', `${node.key} lost ${c.key}, alive at ${c.owner?.key ?? 'none'}`);
  }
  appeared(node, c, ver) {
    const { w } = this;
    if (node.status !== 'ready') return;
    if (!c.isAlive() && c.goneAll) w.fail('c', `${node.key} shows ${c.key} again, dead since ${c.deadAt / 1000}`);
    // It is told of the tombstone and has just registered above it, or it is the claim itself.
    const isNew = c.isAlive() && (c.ver === ver || (c.formerVer === ver && c.askedAt > w.now - 3000));
    if (!isNew && ver <= (node.ended.get(c.id) ?? -1)) w.fail('c', `${node.key} shows ${c.key} below its tombstone`);
  }
  everySecond() {
    const { w } = this;
    for (const c of w.clients) {
      if (!c.isAlive()) this.checkZombie(c);
      else if (w.calm(c, 40000) && c.contactAt < w.now - 20000) this.checkHome(c);
      else if (c.owner && c.regAt < w.now - 25000 && c.contactAt > w.now - 6000 && w.linked(c, c.owner, 25000)) {
        this.checkShown(c);
      }
    }
    if (w.now < times.end) w.at(1000, () => this.everySecond());
  }
  checkZombie(c) {
    const { w } = this;
    if (c.deadAt < 0 || w.now - c.deadAt < 75000) return;
    for (const x of w.nodes) {
      if (!x.view.has(c.id) || x.status !== 'ready' || !w.calm(x, 60000)) continue;
      const others = w.nodes.filter((p) => p !== x);
      const joined = others.filter((p) => w.linked(x, p, 60000));
      const isOut = (p) => !p.up && p.downAt < w.now - 60000;
      if (2 * (joined.length + 1) <= w.nodes.length || !others.every((p) => joined.includes(p) || isOut(p))) continue;
      w.fail('c', `${x.key} shows ${c.key}, dead since ${c.deadAt / 1000}`);
    }
  }
  checkShown(c) {
    const { w } = this;
    for (const x of w.nodes) {
      if (x.status !== 'ready' || x.view.has(c.id) || !w.joined(x, c.owner, 25000)) continue;
      w.fail('b', `${x.key} does not show ${c.key} of ${c.owner.key}`);
    }
  }
  checkHome(c) {
    const { w } = this;
    const open = w.nodes.filter((p) => p.status === 'ready' && w.linked(c, p, 40000));
    if (w.nodes.length > 2 && 2 * open.length >= w.nodes.length) w.fail('l', `${c.key} has no name server`);
  }
  /** Some time after a clean leave nothing of that node is shown. */
  left(node) {
    const { w } = this;
    const gone = w.clients.filter((c) => c.lastOwner === node && !c.isAlive()).map((c) => [c, c.ver]);
    const { boot } = node;
    w.at(times.remove + 3500, () => {
      if (node.up || node.boot !== boot) return;
      for (const x of w.nodes) {
        if (
          x.status !== 'ready' ||
          !w.uncut(x, node, 25000) ||
          !w.nodes.every((p) => p === node || w.linked(x, p, 25000)) ||
          x.isMinority()
        )
          continue;
        for (const [c, ver] of gone)
          if (x.view.get(c.id) === ver && !c.isAlive())
            w.fail('c', `${x.key} shows ${c.key} of ${node.key}, which left`);
      }
    });
  }

  // ---- lists
  listArrives(watcher, a, m) {
    const { w } = this;
    if (m.final && m.list.length === 0) this.finalEmpty(watcher, a);
    const listed = new Map(m.list);
    for (const [id, ver] of watcher.list) {
      if (listed.has(id)) continue;
      const t = m.ended.find((e) => e[0] === id);
      if (!m.full && !(on.complete && t && t[1] >= ver)) continue;
      watcher.list.delete(id);
      w.log(watcher.key, 'at', a.key, `drops c${id}`, ver, m.full ? 'full' : '', t ?? '');
      this.dropped(watcher, a, w.clients[id]);
    }
    for (const [id, ver] of listed) watcher.list.set(id, ver);
  }
  finalEmpty(watcher, a) {
    const { w } = this;
    for (const c of this.alive) {
      if (c.id % 3 !== watcher.service || c.bornAt > w.now - 20000) continue;
      const isNear = c.owner && (w.joined(a, c.owner, 8000) || (w.uncut(a, c.owner, 8000) && w.calm(c.owner, 8000)));
      const isKnown = isNear && c.regAt < w.now - 10000 && c.contactAt > w.now - 6000;
      const canReach = (p) => !p.up || (w.linked(p, c, -1) && w.uncut(p, c, 20000));
      const isFree = w.now - c.contactAt < 40000 && w.calm(c, 30000) && w.nodes.every(canReach);
      if (isKnown || isFree)
        return w.fail('d1', `${watcher.key} gets a final empty list from ${a.key}, ${c.key} is at ${c.owner?.key}`);
    }
  }
  dropped(watcher, a, c) {
    const { w } = this;
    const { settled } = watcher;
    if (!c.isAlive() || !c.owner || c.contactAt < w.now - 6000 || c.backAt > w.now - 1000) return;
    if (!settled || settled === a || w.now - watcher.cameAt >= 4000 || !watcher.settledList.has(c.id)) return;
    const isContinuous = c.regAt < w.now - 1000 || (c.formerOwner && w.linked(c.formerOwner, a, 8000));
    const isQuiet = (p) => !p.up || p.paused || p === a || w.linked(p, a, 3000) || !w.calm(p, 3000);
    if (!isContinuous || !w.nodes.every(isQuiet) || !w.linked(c.owner, a, 8000)) return;
    w.fail('d2', `${watcher.key} moved ${settled.key} → ${a.key} and loses ${c.key}, alive at ${c.owner.key}`);
  }

  // ---- at the end
  atEnd() {
    const { w } = this;
    const after = (ms, run) => w.at(times.stop + ms, run);
    let marks = [];
    after(2000, () => {
      marks = w.nodes.map((n) => ({ inc: n.inc, seq: n.mine.seq, boot: n.boot, isOld: w.now - n.upAt > 3000 }));
    });
    after(7000, () => this.logsAgree(marks));
    after(20000, () => {
      for (const n of w.nodes) if (n.status !== 'ready') w.fail('e', `${n.key} is not READY`);
    });
    after(25000, () => {
      for (const n of w.nodes)
        for (const c of this.alive)
          if (!n.view.has(c.id)) w.fail('a', `${n.key} does not see ${c.key} (${c.owner?.key})`);
    });
    after(75000, () => this.viewsAgree());
    after(90000, () => this.watchTombs());
  }
  watchTombs() {
    const { w } = this;
    const holds = (n) => n.logs.reduce((sum, log) => sum + log.tombs.size, n.kept.size);
    const kept = w.nodes.filter((n) => holds(n) > 0);
    if (kept.length === 0) w.heap.length = 0;
    else if (w.now < times.stop + 145000) w.at(5000, () => this.watchTombs());
    else for (const n of kept) w.fail('f', `${n.key} keeps ${holds(n)} tombstones`);
  }
  logsAgree(marks) {
    const { w } = this;
    for (const x of w.nodes) {
      if (!w.calm(x, 5000)) continue;
      w.nodes.forEach((owner, o) => {
        const s = marks[o];
        if (x === owner || !s.isOld || !w.calm(owner, 5000) || owner.boot !== s.boot || x.covers(o, s)) return;
        w.fail('a', `${x.key} has not caught up with ${owner.key}`);
      });
    }
  }
  viewsAgree() {
    const { w } = this;
    const names = (ids) => [...ids].sort((a, b) => a - b).join();
    const ids = this.alive.map((c) => c.id);
    for (const n of w.nodes)
      if (names(n.view.keys()) !== names(ids)) w.fail('a', `${n.key} shows ${names(n.view.keys())} ≠ ${names(ids)}`);
    for (const x of w.watchers) {
      const mine = names(ids.filter((id) => id % 3 === x.service));
      if (names(x.list.keys()) !== mine)
        w.fail('a', `${x.key} at ${x.node?.key} lists ${names(x.list.keys())} ≠ ${mine}`);
    }
  }
}

module.exports = { Checks };
