import type { Mutant } from './sim-mutant-list.js';

/** The safety rules of consumers. */
export const consumeMutants: readonly Mutant[] = [
  {
    name: 'consume: commit before processing',
    world: 'consume',
    file: 'src/client/consumer/committer.js',
    find: 'const offset = partition.work?.doneEnd;',
    replace: 'const offset = partition.work?.fetchedEnd;',
    seeds: 30,
  },
  {
    name: 'consume: commit passes what is not done',
    world: 'consume',
    file: 'src/client/consumer/work-queue.js',
    find: 'while (work.tasks.first?.state === TaskState.DONE)',
    replace: 'while (work.tasks.first !== undefined && work.tasks.first.offset <= tasks[0].offset)',
    seeds: 30,
  },
  {
    name: 'consume: revoke acknowledged with handlers running',
    world: 'consume',
    file: 'src/client/consumer/consumption.js',
    find: 'if (this.#queue.isIdle(work))',
    replace: 'if (true)',
    seeds: 30,
  },
  {
    name: 'consume: handed out after it was let go',
    world: 'consume',
    file: 'src/client/consumer/consumption.js',
    find: `            this.#queue.close(work);
            this.#byWork.delete(work);
            this.#runner`,
    replace: `            this.#byWork.delete(work);
            this.#runner`,
    seeds: 30,
  },
  {
    name: 'consume: retry committed before it is durable',
    world: 'consume',
    file: 'src/client/consumer/handler-runner.js',
    find: 'await moveUp(record, reason, verdict);',
    replace: 'moveUp(record, reason, verdict).catch(() => {});',
    seeds: 60,
  },
  {
    name: 'consume: records of one key at once',
    world: 'consume',
    file: 'src/client/consumer/work-queue.js',
    find: 'if (last !== undefined) {',
    replace: 'if (false) {',
    seeds: 30,
  },
  {
    name: 'consume: a beat that left counts as heard',
    world: 'consume',
    file: 'src/client/consumer/member-core.js',
    find: 'this.#beatMs = nowMs;',
    replace: 'this.#beatMs = nowMs; this.#heardMs = nowMs;',
    seeds: 60,
  },
  {
    name: 'a member begins on without a stream',
    world: 'consume',
    file: 'src/client/consumer/member-core.js',
    find: 'nowMs > this.#lostMs + strandedMs',
    replace: 'false',
    seeds: 150,
  },
  {
    name: 'a member that did not let go in time is out at once',
    world: 'consume',
    file: 'src/broker/groups/member-session.js',
    find: 'this.isReleaseOverdue(nowMs) && !hasTime',
    replace: 'this.isReleaseOverdue(nowMs)',
    seeds: 150,
  },
];
