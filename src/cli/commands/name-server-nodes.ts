import type { Command } from 'commander';
import { ExitCode } from '../exit-codes.js';
import type { NameServerView, OwnerView } from '../name-server-views.js';
import type { NodeAnswer } from '../name-servers.js';
import type { Column } from '../output.js';
import { duration } from '../quantities.js';
import type { WithNameServers } from './registry-session.js';

/** Something that two name servers don't see alike. It is often gone a moment later: answers are not of one instant. */
export interface Difference {
  /** What it is about: a name server, or '' for the view as a whole. */
  readonly owner: string;
  readonly what: 'instances' | 'overrides' | 'state' | 'incarnation';
  /** What each one says, by node id. */
  readonly values: Readonly<Record<string, string | number>>;
}

export function addNameServerNodes(ns: Command, withNameServers: WithNameServers): void {
  ns.command('nodes')
    .description('each name server, asked itself: how it is, and how it sees the others')
    .addHelpText(
      'after',
      `
Those that only other name servers know are asked as well. "*" marks what they don't see alike; for a moment that is
nothing unusual. The exit code is 1 when one of them does not answer, 4 when none does.

Examples:
  taskctl ns nodes
  taskctl --server 127.0.0.1:7400,127.0.0.1:7402 ns nodes --json`,
    )
    .action(() =>
      withNameServers(async ({ names, output }) => {
        const answers = await names.nodes();
        const views = answers.flatMap(({ view }) => view ?? []);
        const differences = differencesOf(views);
        if (output.isJson) output.one({ nodes: answers.map(nodeJson), differences });
        else {
          output.list(answers, nodeColumns(differences), nodeJson, 'no name servers');
          output.line('');
          output.list(ownersOf(views), ownerColumns(views, differences), (owner) => owner, 'nobody is known');
          for (const each of differences) output.note(sentence(each));
        }
        return answers.length === views.length ? undefined : ExitCode.FAILED;
      }),
    );
}

/** Where the views differ. Ages and positions in logs always do, a little, and are left out. */
export function differencesOf(views: readonly NameServerView[]): Difference[] {
  const found: Difference[] = [];
  const compare = (
    owner: string,
    what: Difference['what'],
    value: (view: NameServerView) => string | number,
    among: readonly NameServerView[] = views,
  ): void => {
    const values = among.map((view) => [view.nodeId, value(view)] as const);
    if (new Set(values.map(([, each]) => each)).size > 1) {
      found.push({ owner, what, values: Object.fromEntries(values) });
    }
  };
  compare('', 'instances', (view) => view.instances);
  compare('', 'overrides', (view) => view.overrides);
  for (const owner of ownersOf(views)) {
    const seen = (view: NameServerView): OwnerView | undefined => view.owners.find((each) => each.owner === owner);
    // To be itself is to be alive.
    const state = (view: NameServerView): string => {
      const text = seen(view)?.state ?? 'unknown';
      return text === 'self' ? 'alive' : text;
    };
    compare(owner, 'state', state);
    const knowing = views.filter((view) => seen(view) !== undefined);
    compare(owner, 'incarnation', (view) => seen(view)!.incarnation, knowing);
    compare(owner, 'instances', (view) => seen(view)!.instances, knowing);
  }
  return found;
}

function ownersOf(views: readonly NameServerView[]): string[] {
  return [...new Set(views.flatMap(({ owners }) => owners.map(({ owner }) => owner)))].sort();
}

function nodeColumns(differences: readonly Difference[]): Column<NodeAnswer>[] {
  const isMarked = (what: string): boolean => differences.some((each) => each.owner === '' && each.what === what);
  const of =
    (value: (view: NameServerView) => string | number) =>
    ({ view }: NodeAnswer): string | number =>
      view === undefined ? '-' : value(view);
  const marked = (what: 'instances' | 'overrides') => of((view) => (isMarked(what) ? `${view[what]} *` : view[what]));
  return [
    ['NODE', of((view) => view.nodeId)],
    ['ADDRESS', ({ address }) => address],
    ['STATE', ({ view, error }) => (view === undefined ? `no answer (${error?.codeName ?? '-'})` : stateOf(view))],
    ['INCARNATION', of((view) => view.incarnation)],
    ['SESSIONS', of((view) => view.sessions)],
    ['INSTANCES', marked('instances')],
    ['WATCHERS', of((view) => view.watchers)],
    ['OVERRIDES', marked('overrides')],
    ['LINKS', of((view) => `${view.peers.filter((each) => each.isConnected).length}/${view.peers.length}`)],
    ['STALE', of((view) => duration(view.staleMs))],
  ];
}

function ownerColumns(views: readonly NameServerView[], differences: readonly Difference[]): Column<string>[] {
  const isMarked = (owner: string): boolean => differences.some((each) => each.owner === owner);
  const cell = (view: NameServerView, owner: string): string => {
    const seen = view.owners.find((each) => each.owner === owner);
    const mark = isMarked(owner) ? ' *' : '';
    if (seen === undefined) return `-${mark}`;
    const age = seen.state === 'self' ? '' : ` ${duration(seen.ageMs)}`;
    return `${seen.state}${age}, ${seen.instances}${mark}`;
  };
  return [
    ['OWNER (instances)', (owner) => owner],
    ...views.map((view): Column<string> => [`SEEN BY ${view.nodeId}`, (owner) => cell(view, owner)]),
  ];
}

function stateOf({ isReady, isFrozen, isCold }: NameServerView): string {
  return [isReady ? 'ready' : 'not ready', ...(isFrozen ? ['frozen'] : []), ...(isCold ? ['cold'] : [])].join(', ');
}

function sentence({ owner, what, values }: Difference): string {
  const about = owner === '' ? what : `${what} of ${owner}`;
  const said = Object.entries(values).map(([node, value]) => `${value} at ${node}`);
  return `they differ about the ${about}: ${said.join(', ')}`;
}

function nodeJson({ address, view, error }: NodeAnswer): Record<string, unknown> {
  if (view !== undefined) return { address, ...view, error: null };
  return { address, error: { code: error?.codeName, message: error?.message } };
}
