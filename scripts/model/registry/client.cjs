'use strict';
/** A client of the name servers: one that registers an instance, or (with a service) one that watches. */
const { on, times } = require('./rules.cjs');

class Client {
  constructor(world, id, service) {
    const key = (service === null ? 'c' : 'w') + id;
    Object.assign(this, {
      w: world,
      id,
      key,
      service,
      up: true,
      boot: 1,
      upAt: 0,
      wokeAt: -1e9,
      skew: world.int(-1000, 1000),
    });
    Object.assign(this, { list: new Map(), vector: null, cameAt: 0, settled: null, settledList: new Map() });
    this.renew();
    this.wants = service === null;
  }
  /** A new process: nothing is remembered. */
  renew() {
    const { w } = this;
    w.nonces = (w.nonces ?? 0) + 1;
    Object.assign(this, {
      nonce: w.nonces,
      ver: 0,
      formerVer: 0,
      node: null,
      avoid: null,
      conn: this.newConn(),
      state: 'idle',
      replyAt: 0,
    });
    Object.assign(this, { wants: true, ending: false, askedAt: 0, leaving: null, owner: null, lastOwner: null });
    Object.assign(this, { bornAt: w.now, regAt: 0, formerOwner: null, contactAt: -1e9, backAt: -1e9 });
    Object.assign(this, { deadAt: -1, goneAll: false, massTill: -1e9, massAt: null });
  }
  newConn() {
    this.w.conns = (this.w.conns ?? 0) + 1;
    return this.w.conns;
  }
  wall() {
    return 1e9 + Math.floor(this.w.now) + this.skew;
  }
  begin() {
    this.ver = this.wall() * 1000;
    this.w.timer(this, this.w.int(0, 500), () => this.dial());
    this.w.timer(this, this.w.int(100, 3000), () => this.beat());
  }

  // ---- the connection
  dial(to) {
    const { w } = this;
    if (this.state !== 'idle') return;
    this.node = to ?? w.pick(w.nodes.filter((p) => p !== this.avoid));
    const conn = (this.conn = this.newConn());
    this.state = 'dial';
    this.replyAt = w.now;
    w.send(this, this.node, { k: 'Hello', conn, service: this.service, vector: this.vector });
    w.timer(this, 1000, () => this.conn === conn && this.state === 'dial' && this.closed(conn));
  }
  closed(conn) {
    if (conn !== this.conn || !this.up) return;
    if (this.paused) return this.late.push(() => this.closed(conn));
    this.w.log(this.key, 'loses', this.node?.key);
    Object.assign(this, { state: 'idle', owner: null, avoid: this.node, conn: this.newConn() });
    this.w.timer(this, this.w.int(50, 500), () => this.dial());
  }
  move(to) {
    if (this.state !== 'up' || this.paused) return;
    this.w.log(this.key, 'moves to', to.key);
    this.w.send(this, this.node, { k: 'Bye', conn: this.conn });
    Object.assign(this, { state: 'idle', avoid: this.node, owner: null });
    this.dial(to);
  }
  beat() {
    const { w } = this;
    w.timer(this, times.beat, () => this.beat());
    if (this.state !== 'up') return;
    if (!on.cliLimit || w.now - this.replyAt <= 2 * times.beat)
      return w.send(this, this.node, { k: 'Ping', conn: this.conn });
    w.send(this, this.node, { k: 'Bye', conn: this.conn });
    this.closed(this.conn);
  }

  // ---- registering
  bump(seen) {
    this.formerVer = this.ver;
    this.ver += 1;
    if (seen >= this.ver) this.ver = Math.max(this.wall(), Math.floor(seen / 1000) + 1) * 1000 + 1;
    return this.ver;
  }
  register(seen = 0) {
    if (this.service !== null || !(this.wants || this.ending)) return;
    this.askedAt = this.w.now;
    if (this.wants) this.owner = null;
    const k = this.wants ? 'Reg' : 'Dereg';
    this.w.send(this, this.node, { k, conn: this.conn, ver: this.bump(seen), nonce: this.nonce });
  }
  deregister() {
    this.w.log(this.key, 'deregisters');
    Object.assign(this, { wants: false, ending: true, deadAt: this.w.now, goneAll: false, askedAt: this.w.now });
    if (this.owner) this.w.send(this, this.node, { k: 'Dereg', conn: this.conn, ver: this.ver, nonce: this.nonce });
    this.owner = null;
  }
  registerAgain() {
    if (!this.up || this.wants) return;
    Object.assign(this, { wants: true, ending: false, bornAt: this.w.now, deadAt: -1, goneAll: false });
    if (this.state === 'up') this.register();
  }

  // ---- frames
  receive(a, m) {
    if (m.k === 'Peeked') return this.onPeeked(a);
    if (m.conn !== this.conn || (m.k === 'List' && this.state !== 'up')) return;
    const { now } = this.w;
    this.replyAt = now;
    if (m.k !== 'List') return this[`on${m.k}`](a, m);
    this.w.checks.listArrives(this, a, m);
    this.vector = m.vector.map((d, o) => {
      const b = !(m.full && on.behindEnd) && this.vector?.[o];
      return b && (b.inc > d.inc || (b.inc === d.inc && b.seq > d.seq)) ? b : d;
    });
    if (now - this.cameAt >= 4000) Object.assign(this, { settled: a, settledList: new Map(this.list) });
    else this.settled ??= a;
  }
  touched() {
    const { now } = this.w;
    if (now - this.contactAt >= times.suspect) this.backAt = now;
    this.contactAt = now;
  }
  onOk() {
    this.state = 'up';
    this.cameAt = this.w.now;
    this.touched();
    this.register();
  }
  onNo(a) {
    Object.assign(this, { state: 'idle', avoid: a });
    this.w.timer(this, this.w.int(100, 500), () => this.dial());
  }
  onGone() {
    this.closed(this.conn);
  }
  onPong(a, m) {
    this.touched();
    const differs = this.service === null && m.ver !== (this.wants ? this.ver : 0);
    if (on.pongVer && differs && this.w.now - this.askedAt > times.beat) {
      this.w.log(this.key, 'asks again, the session holds', m.ver);
      this.ending = !this.wants;
      this.register();
    }
    this.leaving = m.leave ? a : null;
    if (m.leave) for (const p of this.w.nodes) if (p !== a) this.w.send(this, p, { k: 'Peek' });
  }
  onPeeked(a) {
    if (this.leaving === this.node) this.move(a);
    this.leaving = null;
  }
  onRegd(a, m) {
    if (m.ver !== this.ver || !this.wants) return;
    if (this.owner !== a) Object.assign(this, { regAt: this.w.now, formerOwner: this.lastOwner });
    this.owner = this.lastOwner = a;
    this.touched();
  }
  onDeregd() {
    this.ending = false;
  }
  onSuperseded(_, m) {
    this.owner = null;
    if (this.wants) this.register(m.seen);
  }

  // ---- the truth that the checks compare with
  isAlive() {
    return this.up && this.wants;
  }
  die() {
    const { w } = this;
    if (!this.up) return;
    w.log(this.key, 'dies');
    const { node, conn, state } = this;
    if (state === 'up' && w.chance(0.7)) w.send(this, node, { k: 'Bye', conn });
    Object.assign(this, {
      up: false,
      paused: false,
      draining: false,
      deadAt: w.now,
      goneAll: false,
      state: 'idle',
      owner: null,
    });
  }
  reborn() {
    if (this.up) return;
    this.w.log(this.key, 'is reborn');
    Object.assign(this, { up: true, boot: this.boot + 1, upAt: this.w.now });
    this.renew();
    this.begin();
  }
}

module.exports = { Client };
