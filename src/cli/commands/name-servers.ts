import type { Command } from 'commander';
import { ErrorCode, TaskdError } from '../../base/errors.js';
import { defaultNamespace } from '../../discovery/instance.js';
import { formatAddress } from '../../runtime/net.js';
import {
  type InstanceOverride,
  instanceJson,
  type OverrideModeText,
  type RegisteredInstance,
  type ServiceCount,
} from '../name-server-views.js';
import type { NameServers, Word } from '../name-servers.js';
import type { Column, Output } from '../output.js';
import { distance, isoInstant, parseCount } from '../quantities.js';
import { addInstanceWatch } from './instance-watch.js';
import { addNameServerNodes } from './name-server-nodes.js';
import { inScope, type ScopeFlags, scopeOf, type WithNameServers } from './registry-session.js';

const weightMax = 10_000;
/** Names that an error lists. */
const namesMax = 20;

/** The commands for name servers, and for what is registered with them. */
export function addNameServers(program: Command, withNameServers: WithNameServers): void {
  const ns = program.command('ns').description('name servers: what is registered with them, and what people say of it');
  addNameServerNodes(ns, withNameServers);
  addServices(ns, withNameServers);
  addInstances(ns, withNameServers);
  addInstanceWatch(ns, withNameServers);
  addOverrides(ns, withNameServers);
}

function addServices(ns: Command, withNameServers: WithNameServers): void {
  ns.command('services')
    .description('the services that have instances')
    .option('--namespace <name>', 'only this namespace', '')
    .option('--group <name>', 'only this group; "" is the one without a name')
    .addHelpText('after', '\nExamples:\n  taskctl ns services\n  taskctl ns services --namespace shop --json')
    .action(({ namespace, group }: { readonly namespace: string; readonly group?: string }) =>
      withNameServers(async ({ names, output }) => {
        const { items, isFrozen } = await names.services(namespace);
        warnIfFrozen(output, isFrozen);
        const services = items.filter((each) => group === undefined || each.group === group);
        output.list(services, serviceColumns, (each) => each, 'no services');
        return undefined;
      }),
    );
}

function addInstances(ns: Command, withNameServers: WithNameServers): void {
  inScope(ns.command('instances <service>'))
    .description('the instances of a service')
    .option('--selector <terms>', 'only what matches, such as zone=east,!canary', '')
    .addHelpText(
      'after',
      `
Examples:
  taskctl ns instances taskd.broker
  taskctl ns instances billing --selector 'tag=gpu,zone in (east,west)' --json`,
    )
    .action((service: string, flags: ScopeFlags & { readonly selector: string }) =>
      withNameServers(async ({ names, output }) => {
        const scope = scopeOf(flags);
        const { items, isFrozen } = await names.instances({ ...scope, selector: flags.selector }, service);
        warnIfFrozen(output, isFrozen);
        if (items.length === 0 && !(await isThere(names, scope, service))) throw await noService(names, scope, service);
        const said = new Map<string, InstanceOverride>();
        for (const each of await names.overrides(scope.namespace)) {
          if (each.group === scope.group && each.service === service) said.set(each.instanceId, each);
        }
        output.list(
          items,
          instanceColumns(said),
          (each) => ({ ...instanceJson(each), override: overrideJson(said.get(each.instanceId)) }),
          `no instance of ${service} matches`,
        );
        return undefined;
      }),
    );
}

function addOverrides(ns: Command, withNameServers: WithNameServers): void {
  const setMode = (verb: string, mode: OverrideModeText, description: string, sentence: string): void => {
    inScope(ns.command(`${verb} <service> <instance>`))
      .description(description)
      .addHelpText('after', `\nExample:\n  taskctl ns ${verb} billing billing-1`)
      .action((service: string, instanceId: string, flags: ScopeFlags) =>
        say(withNameServers, { ...scopeOf(flags), service, instanceId, mode }, () => sentence),
      );
  };
  setMode('drain', 'draining', 'nothing new for an instance; what it works on goes on', 'gets nothing new');
  setMode('disable', 'disabled', 'an instance is not to be called at all', 'is not called any more');
  setMode('enable', 'enabled', 'takes back drain and disable; a weight that was set stays', 'may be called');

  inScope(ns.command('weight <service> <instance> <weight>'))
    .description('another weight for an instance, 1 to 10000, or "reset" for the one that it registers')
    .addHelpText(
      'after',
      '\nExamples:\n  taskctl ns weight billing billing-1 10\n  taskctl ns weight billing billing-1 reset',
    )
    .action(async (service: string, instanceId: string, text: string, flags: ScopeFlags, command: Command) => {
      let weight = 0;
      try {
        if (text !== 'reset') weight = parseCount(1, weightMax)(text);
      } catch {
        command.error(`error: the weight is ${JSON.stringify(text)}: a whole number from 1 to ${weightMax}, or reset`);
      }
      await say(withNameServers, { ...scopeOf(flags), service, instanceId, weight }, () =>
        weight === 0 ? 'has the weight that it registers' : `has the weight ${weight}`,
      );
    });

  ns.command('overrides')
    .description('what people have said of instances, registered now or not')
    .option('--namespace <name>', 'only this namespace', '')
    .addHelpText('after', '\nExample:\n  taskctl ns overrides')
    .action(({ namespace }: { readonly namespace: string }) =>
      withNameServers(async ({ names, output, nowMs }) => {
        const overrides = await names.overrides(namespace);
        output.list(overrides, overrideColumns(nowMs), overrideJson, 'nobody has said anything');
        return undefined;
      }),
    );
}

/** Sets an override, of an instance that is registered or that somebody has said something of before. */
function say(withNameServers: WithNameServers, word: Word, sentence: () => string): Promise<void> {
  return withNameServers(async ({ names, output }) => {
    const { namespace, group, service, instanceId } = word;
    const { items } = await names.instances({ namespace, group, selector: '' }, service);
    if (!items.some((each) => each.instanceId === instanceId)) {
      const said = (await names.overrides(namespace)).filter(
        (each) => each.group === group && each.service === service,
      );
      if (!said.some((each) => each.instanceId === instanceId)) {
        if (items.length === 0) throw await noService(names, word, service);
        const ids = items.map((each) => each.instanceId);
        const what = `${service} has no instance ${JSON.stringify(instanceId)}${place(word)}`;
        throw new TaskdError(ErrorCode.NOT_FOUND, `${what}; it has: ${listed(ids)}`);
      }
    }
    const override = await names.override(word);
    const isNothing = override.mode === 'enabled' && override.weight === 0;
    const rest =
      word.mode === 'enabled' && override.weight > 0 ? `, with the weight ${override.weight} that was set` : '';
    output.done(`${service}/${instanceId} ${sentence()}${rest}`, { ...overrideJson(override), isInForce: !isNothing });
    return undefined;
  });
}

async function isThere(names: NameServers, scope: Required<ScopeFlags>, service: string): Promise<boolean> {
  const { items } = await names.services(scope.namespace);
  return items.some((each) => each.group === scope.group && each.service === service);
}

async function noService(names: NameServers, scope: Required<ScopeFlags>, service: string): Promise<TaskdError> {
  const all = (await names.services('')).items;
  const others = all.filter((each) => each.namespace === scope.namespace && each.group === scope.group);
  const what = `there is no service ${JSON.stringify(service)}${place(scope)}`;
  const elsewhere = all.filter((each) => each.service === service).map((each) => place(each).trim());
  const hint = elsewhere.length === 0 ? '' : `; there is one ${elsewhere.join(', and one ')}`;
  const there = others.length === 0 ? 'there is none' : `there are: ${listed(others.map((each) => each.service))}`;
  return new TaskdError(ErrorCode.NOT_FOUND, `${what}; ${there}${hint}`);
}

/** Where a service is looked for. */
function place({ namespace, group }: { readonly namespace: string; readonly group: string }): string {
  const inNamespace = namespace === defaultNamespace && group === '' ? '' : ` in the namespace ${namespace}`;
  return group === '' ? inNamespace : `${inNamespace} and the group ${group}`;
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, namesMax).join(', ');
  return names.length <= namesMax ? shown : `${shown} and ${names.length - namesMax} more`;
}

function warnIfFrozen(output: Output, isFrozen: boolean): void {
  if (isFrozen) output.note('the name server that answers does not reach most of the others: this may be old');
}

const serviceColumns: Column<ServiceCount>[] = [
  ['NAMESPACE', (each) => each.namespace],
  ['GROUP', (each) => each.group || '-'],
  ['SERVICE', (each) => each.service],
  ['INSTANCES', (each) => each.instances],
  ['HEALTHY', (each) => each.healthy],
  ['PROTECTED', (each) => (each.isProtected ? 'yes' : '-')],
];

function instanceColumns(said: ReadonlyMap<string, InstanceOverride>): Column<RegisteredInstance>[] {
  return [
    ['ID', (each) => each.instanceId],
    ['ADDRESSES', (each) => each.addresses.map(formatAddress).join(' ')],
    ['ZONE', (each) => each.zone || '-'],
    ['WEIGHT', (each) => ((said.get(each.instanceId)?.weight ?? 0) > 0 ? `${each.weight} (set)` : each.weight)],
    ['HEALTH', (each) => each.health],
    ['TAGS', (each) => each.tags.join(' ') || '-'],
    ['OWNER', (each) => each.owner || '-'],
    ['VERSION', (each) => each.version],
  ];
}

function overrideColumns(nowMs: number): Column<InstanceOverride>[] {
  return [
    ['NAMESPACE', (each) => each.namespace],
    ['GROUP', (each) => each.group || '-'],
    ['SERVICE', (each) => each.service],
    ['ID', (each) => each.instanceId],
    ['MODE', (each) => each.mode],
    ['WEIGHT', (each) => each.weight || '-'],
    ['SAID', (each) => distance(each.atMs, nowMs)],
    ['AT', (each) => each.nodeId],
  ];
}

function overrideJson(override: InstanceOverride | undefined): Record<string, unknown> | null {
  if (override === undefined) return null;
  const { atMs, weight, ...rest } = override;
  return { ...rest, weight: weight === 0 ? null : weight, at: isoInstant(atMs) };
}
