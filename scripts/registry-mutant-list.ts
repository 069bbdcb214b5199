import type { Mutant } from './sim-mutant-list.js';

const world = 'registry';
const seeds = 200;

/** The rules of the registry, each taken out in turn; the registry's world must notice. */
export const registryMutants: readonly Mutant[] = [
  {
    name: 'registry: a tombstone is dropped by time',
    world,
    file: 'src/nameserver/core/tombstones.js',
    find: '(liveMs - atMs < tombstoneMs || caughtMs <= atMs)',
    replace: 'liveMs - atMs < tombstoneMs',
    also: {
      file: 'src/nameserver/core/tombstones.js',
      find: 'if (isOld || !isNeeded)',
      replace: '',
    },
    seeds,
  },
  {
    name: 'registry: lateness is not compensated',
    world,
    file: 'src/nameserver/core/live-time.js',
    find: 'if (lateMs <= slackMs)',
    replace: '',
    seeds,
  },
  {
    name: 'registry: whoever was silent for too long is removed without a beat to go',
    world,
    file: 'src/nameserver/core/sessions.js',
    find: 'silentMs >= removalMs && watchedMs >= beatMs',
    replace: 'silentMs >= removalMs',
    seeds,
  },
  {
    name: 'registry: a gap is applied',
    world,
    file: 'src/nameserver/core/peer-exchange.js',
    find: `        if (first > log.sequence + 1) {
            this.#pull(owner, from, false);
            return;
        }`,
    replace: '        if (first > log.sequence + 1) log.sequence = first - 1;',
    seeds,
  },
  {
    name: 'registry: a stale incarnation is accepted',
    world,
    file: 'src/nameserver/core/peer-exchange.js',
    find: 'if (incarnation < log.incarnation || incarnation < owner.floor)',
    replace: 'if (false)',
    seeds,
  },
  {
    name: 'registry: no freeze',
    world,
    file: 'src/nameserver/core/readiness.js',
    find: 'const isFrozen = this.#owners.isAlone && !this.#isLoneExpiry;',
    replace: 'const isFrozen = false;',
    also: {
      file: 'src/nameserver/core/owners.js',
      find: 'const isAsked = isLoneExpiry || this.#isOtherHeard(owner);',
      replace: 'const isAsked = true;',
    },
    seeds,
  },
  {
    name: 'registry: a cold start is authoritative',
    world,
    file: 'src/nameserver/core/readiness.js',
    find: 'this.isCutOff || this.isCold ||',
    replace: 'this.isCutOff ||',
    seeds,
  },
  {
    name: 'registry: a digest tells of its own log only',
    world,
    file: 'src/nameserver/core/digests.js',
    find: 'owners.push({ ...position(owner.log), ageMs, caught: this.#owners.isCaught(owner) });',
    replace: '',
    seeds,
  },
  {
    name: 'registry: the last claim to come wins',
    world,
    file: 'src/nameserver/core/place.js',
    find: 'if (order > 0 || (order === 0 && entry.log.owner > best.log.owner))',
    replace: 'if (entry.atMs >= best.atMs)',
    seeds,
  },
  {
    name: 'registry: an answer that is behind removes',
    world,
    file: 'src/discovery/watch-view.js',
    find: 'const isBehind = state?.behind === true;',
    replace: 'const isBehind = false;',
    also: {
      file: 'src/nameserver/watch-set.js',
      find: 'authoritative: state.isComplete && !isBehind,',
      replace: 'authoritative: state.isComplete,',
    },
    seeds,
  },
  {
    name: 'registry: a minority is sure',
    world,
    file: 'src/nameserver/core/owners.js',
    find: 'return 2 * reached <= this.#configured + 1;',
    replace: 'return false;',
    seeds,
  },
  {
    name: 'registry: the mark of a hidden log is not shipped',
    world,
    file: 'src/nameserver/core/owners.js',
    find: `        if (log.isHidden)
            return log.hiddenSequence + 1;
        return owner.isStale || this.#isOld(owner) ? log.sequence + 1 : 0;`,
    replace: '        return 0;',
    seeds,
  },
  {
    name: 'registry: any owner that is back is shown at once',
    world,
    file: 'src/nameserver/core/owners.js',
    find: '        owner.goneSinceMs = undefined;',
    replace: '        owner.goneSinceMs = undefined; owner.log.isHidden = false;',
    seeds,
  },
  {
    name: 'registry: the instances of a node that starts anew are not kept',
    world,
    file: 'src/nameserver/core/log-table.js',
    find: `            if (!log.isHidden)
                this.#ghosts.add(place, claim, log.owner, liveMs + removalMs, liveMs);
            this.#places.touch(place);`,
    replace: '            this.#places.touch(place);',
    seeds,
  },
  {
    name: 'registry: many that are lost at once are removed',
    world,
    file: 'src/nameserver/core/sessions.js',
    find: 'const isHeld = liveMs < this.#holdUntilMs;',
    replace: 'const isHeld = false;',
    seeds,
  },
  {
    name: 'registry: what is only out of sight is told as gone',
    world,
    file: 'src/discovery/watch-view.js',
    find: 'incoming.isSure &&= isSure;',
    replace: '',
    seeds,
  },
  {
    name: 'registry: the last word on an instance to come wins',
    world,
    file: 'src/nameserver/overrides.js',
    find: 'const isMode = before === undefined || compareMode(entry, before) > 0;',
    replace: 'const isMode = true;',
    seeds,
  },
  {
    name: 'registry: a client stays at a name server that is cut off',
    world,
    file: 'src/discovery/session.js',
    find: `            if (message.frozen)
                this.frozen(connection);`,
    replace: '',
    seeds,
  },
];
