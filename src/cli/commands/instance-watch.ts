import type { Command } from 'commander';
import type { TaskdError } from '../../base/errors.js';
import { type Instance, isSameInstance } from '../../discovery/instance.js';
import { formatAddress } from '../../runtime/net.js';
import { instanceJson } from '../name-server-views.js';
import type { NameServers } from '../name-servers.js';
import { type Column, type Output, renderTable } from '../output.js';
import {
  inScope,
  type RegistrySession,
  type ScopeFlags,
  type Screen,
  scopeOf,
  type WithNameServers,
} from './registry-session.js';

/** A table is drawn again at most so often. */
const drawMs = 200;

const clearScreen = '\u001b[H\u001b[2J';

/** A true difference between two lists. */
export interface InstanceChange {
  readonly change: 'added' | 'changed' | 'removed';
  readonly instance: Instance;
  /** What a changed one was. */
  readonly before?: Instance;
}

export function addInstanceWatch(ns: Command, withNameServers: WithNameServers): void {
  inScope(ns.command('watch [service]'))
    .description('a live view of a service, or of all in the group, until Ctrl-C')
    .option('--selector <terms>', 'only what matches, such as zone=east,!canary', '')
    .addHelpText(
      'after',
      `
A table on a terminal, else a line for each change; with --json each change is a line of JSON, and so is the moment
when all that there was is told ("listed"), or when no name server answers ("lost") and when one does again ("reached").

Examples:
  taskctl ns watch billing
  taskctl ns watch --namespace shop --json`,
    )
    .action((service = '', flags: ScopeFlags & { readonly selector: string }) =>
      withNameServers(async (session) => {
        const scope = { ...scopeOf(flags), selector: flags.selector };
        // Tells at once when nobody is there, or when the selector is none.
        await session.names.instances(scope, service);
        const { output, screen } = session;
        const view =
          screen === undefined || output.isJson ? new ChangeLines(output) : new LiveTable(output, screen, service);
        await watchInstances(session, service, scope, view);
        return undefined;
      }),
    );
}

/** Shows what a watch tells. */
interface View {
  listed(instances: readonly Instance[]): void;
  connected(isConnected: boolean): void;
  /** From time to time. */
  tick(): void;
}

function watchInstances(
  { names, onStop }: Pick<RegistrySession, 'names' | 'onStop'>,
  service: string,
  scope: Parameters<NameServers['watch']>[1],
  view: View,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined;
    let isOver = false;
    const over = (end: () => void): void => {
      isOver = true;
      clearInterval(timer);
      end();
    };
    onStop(() => over(resolve));
    const refused = (error: TaskdError): void => over(() => reject(error));
    const watch = names.watch(service, scope, (instances) => view.listed(instances), refused);
    // Undefined until the first connection is made.
    let isConnected: boolean | undefined;
    const tick = (): void => {
      if (watch.isConnected !== (isConnected ?? false)) {
        const isFirst = isConnected === undefined;
        isConnected = watch.isConnected;
        if (!isFirst) view.connected(isConnected);
      }
      view.tick();
    };
    if (!isOver) timer = setInterval(tick, drawMs);
  });
}

/** What is different in `now`, by service and id; both lists are in that order. */
export function changesBetween(before: readonly Instance[], now: readonly Instance[]): InstanceChange[] {
  const old = new Map(before.map((each) => [keyOf(each), each]));
  const changes: InstanceChange[] = [];
  for (const instance of now) {
    const was = old.get(keyOf(instance));
    old.delete(keyOf(instance));
    if (was === undefined) changes.push({ change: 'added', instance });
    else if (!isSameInstance(was, instance)) changes.push({ change: 'changed', instance, before: was });
  }
  for (const instance of old.values()) changes.push({ change: 'removed', instance });
  return changes;
}

/** A line for each change. */
class ChangeLines implements View {
  readonly #output: Output;
  #last: readonly Instance[] | undefined;

  constructor(output: Output) {
    this.#output = output;
  }

  listed(instances: readonly Instance[]): void {
    for (const change of changesBetween(this.#last ?? [], instances)) this.#change(change);
    if (this.#last === undefined) this.#event('listed', { instances: instances.length });
    this.#last = instances;
  }

  connected(isConnected: boolean): void {
    this.#event(isConnected ? 'reached' : 'lost', {});
  }

  tick(): void {}

  #change({ change, instance, before }: InstanceChange): void {
    const at = new Date().toISOString();
    if (this.#output.isJson) this.#output.line(JSON.stringify({ at, change, ...instanceJson(instance) }));
    else {
      const what = before === undefined ? described(instance) : differences(before, instance);
      this.#output.text(`${at}  ${change.padEnd(7)}  ${instance.service}/${instance.instanceId}  ${what}`);
    }
  }

  #event(change: string, fields: Readonly<Record<string, unknown>>): void {
    const at = new Date().toISOString();
    if (this.#output.isJson) this.#output.line(JSON.stringify({ at, change, ...fields }));
    else if (change !== 'listed') this.#output.note(`${at}  ${eventTexts[change]}`);
  }
}

const eventTexts: Readonly<Record<string, string>> = {
  lost: 'no name server answers; what was known stays',
  reached: 'a name server answers again',
};

/** A table that is drawn anew. */
class LiveTable implements View {
  readonly #output: Output;
  readonly #screen: Screen;
  readonly #title: string;
  #instances: readonly Instance[] | undefined;
  #isConnected = true;
  #isDrawn = false;
  #changedAt = new Date();

  constructor(output: Output, screen: Screen, service: string) {
    this.#output = output;
    this.#screen = screen;
    this.#title = service === '' ? 'all services' : service;
  }

  listed(instances: readonly Instance[]): void {
    this.#instances = instances;
    this.#changedAt = new Date();
    this.#isDrawn = false;
  }

  connected(isConnected: boolean): void {
    this.#isConnected = isConnected;
    this.#isDrawn = false;
  }

  tick(): void {
    if (this.#isDrawn || this.#instances === undefined) return;
    this.#isDrawn = true;
    this.#output.frame(`${clearScreen}${tableFrame(this.#title, this.#instances, this.#screen, this.#status())}`);
  }

  #status(): string {
    const changed = `last change ${this.#changedAt.toISOString()}`;
    return this.#isConnected ? changed : `${eventTexts['lost']}; ${changed}`;
  }
}

/** A table of at most the screen's size under a line that says what it is. */
export function tableFrame(title: string, instances: readonly Instance[], screen: Screen, status: string): string {
  // The heading, the titles of the columns, what is left out, and the cursor.
  const room = Math.max(1, screen.rows - 4);
  const shown = instances.slice(0, room);
  const count = instances.length === 1 ? '1 instance' : `${instances.length} instances`;
  const lines = [`${title}: ${count}, ${status}`];
  if (shown.length > 0) lines.push(...renderTable(shown, columns).trimEnd().split('\n'));
  if (shown.length < instances.length) lines.push(`… and ${instances.length - shown.length} more`);
  return `${lines.map((line) => line.slice(0, screen.columns)).join('\n')}\n`;
}

const columns: Column<Instance>[] = [
  ['SERVICE', (each) => each.service],
  ['ID', (each) => each.instanceId],
  ['ADDRESSES', (each) => each.addresses.map(formatAddress).join(' ')],
  ['ZONE', (each) => each.zone || '-'],
  ['WEIGHT', (each) => each.weight],
  ['HEALTH', (each) => each.health],
  ['TAGS', (each) => each.tags.join(' ') || '-'],
];

function described(instance: Instance): string {
  const { health, weight, zone, tags } = instance;
  const parts = [addresses(instance), health, `weight ${weight}`];
  if (zone !== '') parts.push(`zone ${zone}`);
  if (tags.length > 0) parts.push(`tags ${tags.join(' ')}`);
  return parts.join(', ');
}

/** What changed, as `name before → now`. */
function differences(before: Instance, now: Instance): string {
  const aspects: [string, (each: Instance) => string][] = [
    ['health', (each) => each.health],
    ['weight', (each) => String(each.weight)],
    ['addresses', addresses],
    ['zone', (each) => each.zone || '-'],
    ['tags', (each) => each.tags.join(' ') || '-'],
    ['metadata', (each) => JSON.stringify(each.metadata)],
    ['incarnation', (each) => String(each.incarnation)],
  ];
  const changed = aspects.filter(([, text]) => text(before) !== text(now));
  return changed.map(([name, text]) => `${name} ${text(before)} → ${text(now)}`).join(', ');
}

function addresses(instance: Instance): string {
  return instance.addresses.map(formatAddress).join(' ');
}

function keyOf({ service, instanceId }: Instance): string {
  return `${service}\n${instanceId}`;
}
