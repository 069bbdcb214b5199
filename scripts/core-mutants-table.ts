/** A text of a built file under src/, and what stands there instead. */
export type Edit = readonly [file: string, from: string, to: string];

export interface Mutant {
  /** The rule that is taken out. */
  readonly rule: string;
  readonly edits: readonly Edit[];
  /** The other rule that does the same work, if its absence alone can't do harm. */
  readonly coveredBy?: string;
}

const machine = 'scheduler/core/run-machine.js';
const replayer = 'scheduler/core/replayer.js';
const owner = 'scheduler/core/owner.js';
const decider = 'scheduler/core/decider.js';
const worker = 'worker/session-core.js';
const table = 'scheduler/core/session-table.js';

const leasedWaits: Edit = [
  machine,
  `slot === 0 ||
            !runs.isWaiting(slot) ||`,
  `slot === 0 ||
            runs.id.get(slot) < 0 ||`,
];
const leasedAttempt: Edit = [machine, 'runs.attempts.get(slot) + 1 !== fields.attempt', 'false'];
const leasedLost: Edit = [machine, 'runs.lost.get(slot) !== fields.lost', 'false'];
const leaseToken: Edit = [machine, 'runs.isLeased(slot) && runs.lease.get(slot) === token', 'runs.isLeased(slot)'];
const leasedEpoch: Edit = [replayer, 'fields.epoch !== this.#state.ownership.epoch', 'false'];
const otherEpoch: Edit = [
  replayer,
  `|| !this.#isPresent(message.epoch))
            return false;
        const { run, token }`,
  `)
            return false;
        const { run, token }`,
];
const freshPing: Edit = [owner, 'ping.arrivedMs > beganMs', 'false'];
const freshClaim: Edit = [owner, 'arrivedMs > beganMs || (claim', '(claim'];
const barrier: Edit = [owner, ' || (claim.acknowledgedOffset ?? -1) >= this.#state.nextOffset', ''];
const basis: Edit = [owner, 'session.basisMs = Math.max(session.basisMs, before.basisMs);', ''];
const armedFromNow: Edit = [
  owner,
  'Math.max(this.presentMs, session.basisMs, this.monoMs) + leaseMs',
  'Math.max(this.presentMs, session.basisMs) + leaseMs',
];
const acquiredArms: Edit = [
  owner,
  'this.wheel.add(monoMs + leaseMs, sessionPayload(0))',
  'this.wheel.add(monoMs, sessionPayload(0))',
];
const acquiredCounts: Edit = [
  decider,
  'this.#expireList(unbound, owner.presentMs, undefined)',
  'this.#expireList(unbound, -1e9, undefined)',
];

const deadUnanswered: Edit = [
  owner,
  'session.isSuperseded || session.isDead)\n            return;\n        session.answeredMs',
  'session.isSuperseded)\n            return;\n        session.answeredMs',
];
const silence: Edit = [worker, '> sessionSilentMs', '> 15_000'];

export const mutants: readonly Mutant[] = [
  { rule: 'RunLeased needs a waiting run', edits: [leasedWaits] },
  { rule: 'RunLeased names the attempt', edits: [leasedAttempt] },
  { rule: 'RunLeased names the losses', edits: [leasedLost] },
  { rule: 'LeaseLost and LeaseReturned name the token', edits: [leaseToken] },
  { rule: 'RunLeased names the epoch', edits: [leasedEpoch] },
  { rule: 'other decisions name the epoch', edits: [otherEpoch] },
  { rule: 'neither epoch nor attempt nor losses', edits: [leasedEpoch, leasedAttempt, leasedLost] },
  { rule: 'neither epoch nor token', edits: [otherEpoch, leaseToken] },
  { rule: 'reports match by token', edits: [[machine, 'runs.lease.get(slot) !== fields.token', 'false']] },
  {
    rule: 'an Acquire has a higher generation',
    edits: [[replayer, 'message.generation !== ownership.generation + 1', 'false']],
  },
  {
    rule: 'a ping waits for a fresh look',
    coveredBy:
      'a worker gives a session up 4 s after the last answered ping was sent, so a look that hangs longer than that is of no use to it',
    edits: [freshPing],
  },
  {
    rule: 'a ping waits for a look',
    edits: [
      [
        owner,
        'this.#pings.push({ session, sentMs, arrivedMs });',
        'this.#answer({ session, sentMs, arrivedMs }, arrivedMs);',
      ],
    ],
  },
  {
    rule: 'a claim waits for a fresh look',
    coveredBy: 'nothing starts without an answered ping, and what a stale owner says of leases moves none',
    edits: [freshClaim],
  },
  { rule: 'a claim waits for the acknowledged offset', edits: [barrier] },
  {
    rule: 'neither wait of a claim',
    edits: [[owner, 'arrivedMs > beganMs || (claim.acknowledgedOffset ?? -1) >= this.#state.nextOffset', 'false']],
  },
  {
    rule: 'an expired session is not answered',
    coveredBy:
      'the same 4 s of silence: a ping sent within them is valid for 6 s more, and the lease for 10; see the pair below',
    edits: [deadUnanswered],
  },
  { rule: 'neither that nor the silence of 4 s', edits: [deadUnanswered, silence] },
  { rule: 'leases live 10 s', edits: [[owner, 'leaseMs = 10_000', 'leaseMs = 3_000']] },
  {
    rule: 'expiry counts from the Acquire: armed late',
    coveredBy: 'the basis is looked at again when the timer fires',
    edits: [acquiredArms],
  },
  {
    rule: 'expiry counts from the Acquire: the basis',
    coveredBy: 'the timer is armed 10 s after the Acquire',
    edits: [acquiredCounts],
  },
  { rule: 'expiry counts from the Acquire', edits: [acquiredArms, acquiredCounts] },
  {
    rule: 'expiry counts from any session that held the lease',
    coveredBy:
      'leases move to a session when its claim is handled, which arms its timer 10 s from then, later than any answer to the one before',
    edits: [basis],
  },
  {
    rule: 'expiry is armed from now',
    coveredBy: 'the basis is looked at again when the timer fires',
    edits: [armedFromNow],
  },
  {
    rule: 'overlay: leasing',
    coveredBy: 'a leased run has left its lane, and a second RunLeased would be void',
    edits: [[decider, 'if (!isPending)\n', 'if (true)\n']],
  },
  {
    rule: 'overlay: expiry',
    edits: [
      [
        decider,
        'else if (runs.hasMark(slot, Mark.PENDING | Mark.REPORTED)) {',
        'else if (runs.hasMark(slot, Mark.REPORTED)) {',
      ],
    ],
  },
  {
    rule: 'overlay: a returned lease',
    edits: [
      [
        decider,
        'if (runs.hasMark(slot, Mark.PENDING | Mark.REPORTED))\n                continue;',
        'if (runs.hasMark(slot, Mark.REPORTED))\n                continue;',
      ],
    ],
  },
  {
    rule: 'overlay: timeouts',
    edits: [
      [
        decider,
        'if (runs.hasMark(slot, Mark.PENDING)) {\n            runs.timer',
        'if (false) {\n            runs.timer',
      ],
    ],
  },
  { rule: 'a claim leaves what ends alone', edits: [[owner, 'Mark.ENDING | Mark.HUNG', 'Mark.HUNG']] },
  {
    rule: 'a return counts from the current session',
    edits: [[owner, 'slot === 0 || session.isSuperseded || session.isDead || !runs', 'slot === 0 || !runs']],
  },
  {
    rule: 'a bound lease is not returned',
    edits: [[owner, 'if (this.returns.size > 0)\n            this.returns.delete(runs.id.get(slot));', '']],
  },
  {
    rule: 'a cancelled lease that is not claimed is not sent again',
    edits: [
      [
        owner,
        'else if (isCancelling) {\n                this.returns.set(runs.id.get(slot), token);',
        'else if (false) {',
      ],
    ],
  },
  {
    rule: 'a claimed lease is not sent again',
    edits: [[owner, 'if (running.has(token) || unreported.has(token)) {', 'if (false) {']],
  },
  { rule: 'a session is the latest of its worker', edits: [[table, 'before.isSuperseded = true;', '']] },
  {
    rule: 'worker: a session is valid for 6 s',
    edits: [[worker, 'nowMs <= this.#answeredSentMs + sessionValidMs', 'true']],
  },
  {
    rule: 'worker: repeats are known by token',
    coveredBy:
      'an owner repeats only what the claim of that session did not list, and pushes of older sessions are dropped',
    edits: [[worker, "if (this.#leases.has(lease.token))\n            return 'repeat';", '']],
  },
  {
    rule: 'worker: a lower epoch is returned',
    coveredBy: 'a session belongs to one epoch, and pushes of older sessions are dropped',
    edits: [[worker, 'epoch < this.#epochMax || ', '']],
  },
  { rule: 'worker: nothing starts before the claim is answered', edits: [[worker, '!this.#isClaimed ||', '']] },
  {
    rule: 'worker: what was not kept is forgotten',
    edits: [
      [
        worker,
        'if (lease.phase === LeasePhase.QUEUED)\n                this.#forgetQueued(lease);\n            else if',
        'if',
      ],
    ],
  },
];
