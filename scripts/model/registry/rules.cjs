'use strict';
/** The rules of the registry, each with the reason for it; a switched-off rule is a mutant that the checks should catch. */
const rules = {
  version: 'the highest (version, owner) claim wins; off: the last to arrive',
  tombs: 'a removal leaves a tombstone that hides claims up to its version',
  tombGate: 'a tombstone goes only after every owner was caught up after it and holds no lower claim; off: after 20 s',
  tombKeep: 'the tombstones of a replaced incarnation are kept',
  keptShip: 'snapshots carry the kept tombstones too, and a new incarnation comes by snapshot only',
  tombWait:
    'a tombstone or hidden claim of another process leaves a shown claim of a heard owner 3 s to register above it',
  superseded: 'an owner tells its session of a higher claim or tombstone, the client registers above it',
  moved: 'ending a claim for a higher one says Moved: it stays suspect elsewhere until that one is known, at most 15 s',
  tell: 'who hides a live claim of a reachable owner by a tombstone sends that owner the tombstone',
  closeEnd: 'removing an instance closes its session, so that the client registers anew',
  gapPull: 'a gap in a log is pulled; off: applied over it',
  staleInc: 'the log of an older incarnation is refused',
  oldLink: 'frames of a peer’s former connection are dropped once it has a newer one',
  ignoreMine: 'nobody else writes my current log',
  incAsk: 'a starting node asks its peers for the highest incarnation of its id',
  wallInc: 'an incarnation is max(stored, theirs, wall clock) + 1, also when peers answered',
  hearsay: 'a higher incarnation of me in an old log makes me raise mine, at any time; off: only within a minute',
  incGrace: 'the instances of a replaced incarnation stay 15 s as suspect ghosts, shipped with IncTold and snapshots',
  ghostShown: 'only ghosts and old claims that the sender shows are shipped',
  ghostTomb: 'a ghost at or below a tombstone or a claim in a log is dropped',
  ghostTill: 'old claims told to a starting node live until 15 s after its start, however late the answer',
  askGate: 'the ready gate takes only digests that answer a question asked since it shut',
  digest: 'anti-entropy: digests lead to pulls',
  snapAtomic: 'a snapshot is applied when complete',
  ages: 'digests and beats carry how long ago each owner was alive, so relayed life counts; off: direct hearing only',
  freeze: 'alone, a node expires nothing of others',
  goneHide: 'a gone owner is hidden after 15 s',
  backCaught: 'a gone owner stays hidden until caught up to its own digest',
  hideOld: 'hiding an owner hides its claims up to the seq held then; a claim numbered later shows at once',
  hidMark: 'snapshots and relayed deltas of an owner that the sender hides carry that seq',
  lateComp: 'a late sweep extends every deadline by its lateness',
  twoPhase: 'a sweep marks, waits one beat, removes',
  wakePull: 'after a pause the ready gate shuts, and nothing expires for 500 ms',
  massHold: 'over 20 % of the sessions lost in a moment: removal waits 30 s',
  silentMass: 'sessions that fall silent count for that as closed ones do, from 3 sessions on',
  readyGate: 'NOT_READY until caught up with a READY peer, or cold',
  coldPass: 'readiness taken from a cold peer inherits the rest of its cold window',
  emptyGate: 'an empty list is authoritative only when the node is sure: ready, nobody suspect, not cold',
  complete: 'absence removes only from the answer of a sure node; tombstones always remove',
  majSure: 'a node is sure only while it reaches a majority both ways',
  majMove: 'clients leave a node that does not reach a majority, when another answers that does',
  majGate: 'reaching a majority again, answers stay incomplete until the ready gate is passed',
  backSus: 'an owner that is heard again but still hidden counts as suspect',
  vector: 'a watcher presents its vector; an answer that does not cover it is behind and removes nothing',
  goneCover: 'a hidden owner counts as covered in a vector',
  behindEnd: 'behind ends after 30 s at a sure node; a full answer replaces the vector of the client',
  leave: 'clean shutdown: OwnerLeave, instances kept until moved or 15 s',
  leaveInc: 'OwnerLeave names the incarnation that leaves; an old one is ignored',
  cliLimit: 'a client without a reply for 6 s leaves its node',
  pongVer: 'Pong says the version that the session holds; a client that differs for a beat asks again',
};

/** Which rules are on. */
const on = Object.fromEntries(Object.keys(rules).map((name) => [name, true]));

/** Times in ms. */
const times = {
  beat: 3000,
  suspect: 9000,
  remove: 15000,
  gone: 5000,
  hide: 15000,
  hold: 30000,
  tombstone: 60000,
  cold: 30000,
  stop: 120000,
  end: 120000 + 150000,
};

module.exports = { rules, on, times };
