/**
 * The settings of taskd: one table says each one's flag, environment variable and meaning; `readConfig` checks a whole
 * start at once and tells everything that is wrong, not only the first thing. Pure: the environment and the working
 * directory are parameters.
 */
import { resolve } from 'node:path';
import { z } from 'zod';
import { noQuota, type QuotaRates } from '../broker/client-quota.js';
import type { SpaceOptions } from '../log/disk-space.js';
import { type Address, formatAddress, isLoopback, parseAddress } from '../runtime/net.js';
import { sizeOf } from './quantities.js';

export const roleNames = ['nameserver', 'broker', 'scheduler'] as const;
export type Role = (typeof roleNames)[number];

export interface DaemonConfig {
  readonly roles: readonly Role[];
  readonly listen: Address;
  /** Absolute. Brokers and name servers keep something in it. */
  readonly dataFolder: string;
  /** For a name server: all of the cluster, itself included or not; empty: it is alone. */
  readonly nameServers: readonly Address[];
  readonly shards: number;
  /** Undefined: made from the host's name and the port. */
  readonly nodeId: string | undefined;
  /** Where it runs, for those who choose near ones; empty: nowhere in particular. */
  readonly zone: string;
  /** What a name server of two does without the other one. */
  readonly onPeerLoss: 'freeze' | 'expire';
  /** Absolute; the file with the instances that a name server serves though they never register. */
  readonly staticInstancesFile: string | undefined;
  /** Absolute; where a broker and a scheduler keep what they know of others. */
  readonly discoveryCacheFile?: string;
  readonly zeroCopy: ZeroCopyMode;
  /** A topic that is used and not there is made; never but in standalone. */
  readonly autoCreateTopics: boolean;
  readonly produceQuota: QuotaRates;
  readonly fetchQuota: QuotaRates;
  /** What a broker leaves free on its disk, and keeps for itself. */
  readonly space: SpaceOptions;
  /** A broker reads its old segments again at this rate, to find rot; 0: it doesn't. */
  readonly scrubBytesPerSecond: number;
  /** 0: no admin port. */
  readonly adminPort: number;
  readonly logLevel: LogLevel;
  readonly logFormat: LogFormat;
}

/** Whether a broker sends its files by the kernel: never, where it works, or not starting where it doesn't. */
export type ZeroCopyMode = 'off' | 'auto' | 'on';
export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';
export type LogFormat = 'auto' | 'json' | 'pretty';

/** What a broker keeps of its disk for what it must write when that is full; never more than 5 %. */
const reserveBytesMax = 64 * 1024 * 1024;
const scrubBytesPerSecond = 4 * 1024 * 1024;

/** One setting; `flag` is as commander wants it. */
export interface Setting {
  readonly flag: string;
  readonly env: string;
  readonly help: string;
  /** Where it is offered. */
  readonly commands: readonly Command[];
}

export type Command = 'standalone' | 'roles';
const both: readonly Command[] = ['standalone', 'roles'];

export type SettingName =
  | 'role'
  | 'listen'
  | 'port'
  | 'data'
  | 'nameServers'
  | 'shards'
  | 'nodeId'
  | 'zone'
  | 'onPeerLoss'
  | 'staticInstances'
  | 'discoveryCache'
  | 'autoCreate'
  | 'produceQuota'
  | 'fetchQuota'
  | 'zeroCopy'
  | 'minFree'
  | 'scrubRate'
  | 'adminPort'
  | 'logLevel'
  | 'logFormat';

export const settings: Readonly<Record<SettingName, Setting>> = {
  role: {
    flag: '--role <roles>',
    env: 'TASKD_ROLE',
    help: `what this process is: ${roleNames.join(', ')}, or several with commas`,
    commands: ['roles'],
  },
  listen: {
    flag: '--listen <host:port>',
    env: 'TASKD_LISTEN',
    help: 'where to listen; port 0 lets the system choose (default: 127.0.0.1:7400)',
    commands: both,
  },
  port: {
    flag: '--port <n>',
    env: 'TASKD_PORT',
    help: 'short for --listen 127.0.0.1:<n>',
    commands: both,
  },
  data: {
    flag: '--data <dir>',
    env: 'TASKD_DATA',
    help: 'the data folder, made when missing (default: ./taskd-data)',
    commands: both,
  },
  nameServers: {
    flag: '--name-servers <list>',
    env: 'TASKD_NAME_SERVERS',
    help: 'the name servers, as host:port with commas between; a name server without it is alone',
    commands: ['roles'],
  },
  shards: {
    flag: '--shards <n>',
    env: 'TASKD_SHARDS',
    help: 'partitions of the jobs topic; fixed when the data folder is first used (default: 16)',
    commands: both,
  },
  nodeId: {
    flag: '--node-id <name>',
    env: 'TASKD_NODE_ID',
    help: 'the name of this process among the others (default: host name and port)',
    commands: both,
  },
  zone: {
    flag: '--zone <name>',
    env: 'TASKD_ZONE',
    help: 'where this process runs, such as a data centre; told to whoever looks it up (default: none)',
    commands: both,
  },
  onPeerLoss: {
    flag: '--on-peer-loss <mode>',
    env: 'TASKD_ON_PEER_LOSS',
    help: 'two name servers only, without the other one: freeze its instances, or let them expire (default: freeze)',
    commands: ['roles'],
  },
  staticInstances: {
    flag: '--static-instances <file>',
    env: 'TASKD_STATIC_INSTANCES',
    help: 'YAML with instances that a name server serves although they never register',
    commands: both,
  },
  discoveryCache: {
    flag: '--discovery-cache <file>',
    env: 'TASKD_DISCOVERY_CACHE',
    help: 'whom a broker or scheduler knows, for starts without name servers (default: <data>/discovery-cache, if given)',
    commands: ['roles'],
  },
  zeroCopy: {
    flag: '--zero-copy <mode>',
    env: 'TASKD_ZERO_COPY',
    help: "send files with the kernel's sendfile: auto where it works, off, or on: don't start without (default: auto)",
    commands: both,
  },
  autoCreate: {
    flag: '--auto-create <on|off>',
    env: 'TASKD_AUTO_CREATE',
    help: 'make a topic with one partition when a client uses one that is not there (default: on)',
    commands: ['standalone'],
  },
  produceQuota: {
    flag: '--produce-quota <rates>',
    env: 'TASKD_PRODUCE_QUOTA',
    help: 'bytes a second that each client may send, such as 10MiB or 10MiB,importer=100MiB (default: no limit)',
    commands: both,
  },
  fetchQuota: {
    flag: '--fetch-quota <rates>',
    env: 'TASKD_FETCH_QUOTA',
    help: 'the same for what each client may read',
    commands: both,
  },
  minFree: {
    flag: '--min-free <size>',
    env: 'TASKD_MIN_FREE',
    help: 'records of users are refused while less of the disk is free, such as 2GiB (default: 5 %, at most 10GiB)',
    commands: both,
  },
  scrubRate: {
    flag: '--scrub-rate <size>',
    env: 'TASKD_SCRUB_RATE',
    help: 'bytes a second at which old segments are read again to find rot; 0B: never (default: 4MiB)',
    commands: both,
  },
  adminPort: {
    flag: '--admin-port <n>',
    env: 'TASKD_ADMIN_PORT',
    help: 'loopback port of /metrics and /healthz; 0: none (default: 7401)',
    commands: both,
  },
  logLevel: {
    flag: '--log-level <level>',
    env: 'TASKD_LOG_LEVEL',
    help: 'debug, info, warn, error or silent (default: info)',
    commands: both,
  },
  logFormat: {
    flag: '--log-format <format>',
    env: 'TASKD_LOG_FORMAT',
    help: 'json, pretty, or auto: pretty on a terminal (default: auto)',
    commands: both,
  },
};

/** Variables that begin with TASKD_ and are read by something else than taskd itself. */
const foreignVariables: ReadonlySet<string> = new Set(['TASKD_SERVER']);

/** Everything that is wrong with a start, one line each: the key, its value, and what to do. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly lines: readonly string[];

  constructor(lines: readonly string[]) {
    super(lines.join('\n'));
    this.lines = lines;
  }
}

function refuse(context: z.RefinementCtx, message: string): never {
  context.addIssue({ code: 'custom', message });
  return z.NEVER;
}

function wholeNumber(min: number, max: number, remedy: string): z.ZodType<number, string> {
  return z.string().transform((text, context) => {
    const value = Number(text);
    if (/^\d{1,9}$/.test(text) && value >= min && value <= max) return value;
    return refuse(context, `must be a whole number from ${min} to ${max}; ${remedy}`);
  });
}

function oneOf<T extends string>(values: readonly T[]): z.ZodType<T, string> {
  return z.string().transform((text, context) => {
    const value = values.find((known) => known === text);
    return value ?? refuse(context, `must be one of ${values.join(', ')}`);
  });
}

function list<T>(what: string, item: (text: string) => T | undefined): z.ZodType<T[], string> {
  return z.string().transform((text, context) => {
    const items: T[] = [];
    for (const part of text.split(',')) {
      const value = item(part.trim());
      if (value === undefined) return refuse(context, `${JSON.stringify(part.trim())} is not ${what}`);
      items.push(value);
    }
    return items;
  });
}

const listenAddress: z.ZodType<Address, string> = z.string().transform((text, context) => {
  const address = parseAddress(text);
  if (address === undefined) return refuse(context, 'must be host:port or [v6]:port, such as 127.0.0.1:7400');
  if (isLoopback(address.host)) return address;
  return refuse(
    context,
    'is not a loopback address, and taskd can not authenticate its peers yet: listen on 127.0.0.1 or [::1], and let ' +
      'other machines in through a tunnel (ssh -L)',
  );
});

const rateMin = 1024;

/** `10MiB`, `importer=100MiB`, or both: a rate for every client, and others for some, by their client ids. */
const quotaRates: z.ZodType<QuotaRates, string> = z.string().transform((text, context) => {
  let perClient: number | undefined;
  const clients = new Map<string, number>();
  for (const part of text.split(',')) {
    const [name, size] = part.includes('=') ? part.trim().split('=', 2) : [undefined, part.trim()];
    const rate = sizeOf(size ?? '');
    if (rate === undefined || rate < rateMin || name === '') {
      return refuse(
        context,
        `${JSON.stringify(part.trim())} is no rate of at least 1KiB: write 10MiB or importer=100MiB`,
      );
    }
    if (name === undefined) perClient = rate;
    else clients.set(name, rate);
  }
  return { perClient, clients };
});

const size: z.ZodType<number, string> = z.string().transform((text, context) => {
  const bytes = sizeOf(text);
  return bytes ?? refuse(context, 'is no size: write a number and a unit, such as 512MiB or 2GiB');
});

const schema = z.object({
  role: list(`a role; choose from ${roleNames.join(', ')}`, (text) => roleNames.find((name) => name === text)),
  listen: listenAddress,
  port: wholeNumber(0, 65_535, '0 lets the system choose'),
  data: z.string().refine((text) => text.trim() !== '' && !text.includes('\0'), 'must name a folder'),
  nameServers: list('host:port, such as 127.0.0.1:7400', parseAddress),
  shards: wholeNumber(1, 1_024, 'the default, 16, is right for most'),
  nodeId: z
    .string()
    .regex(
      /^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/,
      'must be 1 to 128 letters, digits, dots, colons, dashes or underscores',
    ),
  zone: z.string().regex(/^[\x21-\x7e]{1,128}$/, 'must be 1 to 128 printable ASCII characters without spaces'),
  onPeerLoss: oneOf(['freeze', 'expire']),
  discoveryCache: z.string().refine((text) => !/^\s*$|\0|\/$/.test(text), 'must name a file'),
  staticInstances: z.string().refine((text) => text.trim() !== '' && !text.includes('\0'), 'must name a file'),
  zeroCopy: oneOf(['off', 'auto', 'on']),
  autoCreate: oneOf(['on', 'off']),
  produceQuota: quotaRates,
  fetchQuota: quotaRates,
  minFree: size,
  scrubRate: size,
  adminPort: wholeNumber(0, 65_535, '0 turns it off'),
  logLevel: oneOf(['debug', 'info', 'warn', 'error', 'silent']),
  logFormat: oneOf(['auto', 'json', 'pretty']),
});
const partial = schema.partial();

export type Flags = Readonly<Partial<Record<SettingName, string>>>;

/**
 * The configuration of one start: a flag wins over the environment, which wins over the default.
 * Throws a `ConfigError` with every fault there is.
 */
export function readConfig(
  command: Command,
  flags: Flags,
  environment: Readonly<Record<string, string | undefined>>,
  workingDirectory: string,
): DaemonConfig {
  const faults: string[] = [];
  const raw: Partial<Record<SettingName, string>> = {};
  const origin = new Map<SettingName, string>();
  for (const name of Object.keys(settings) as SettingName[]) {
    const setting = settings[name];
    if (!setting.commands.includes(command)) continue;
    const flag = flags[name];
    const value = flag ?? environment[setting.env];
    if (value === undefined) continue;
    raw[name] = value;
    origin.set(name, flag === undefined ? setting.env : flagOf(name));
  }
  // The two ways to name a port: a flag wins over the environment, and two of the same kind are one too many.
  if (raw.port !== undefined && raw.listen !== undefined) {
    if (flags.port === undefined && flags.listen !== undefined) delete raw.port;
    else if (flags.listen === undefined && flags.port !== undefined) delete raw.listen;
    else {
      faults.push(
        `${origin.get('port')} is ${JSON.stringify(raw.port)} and ${origin.get('listen')} is ` +
          `${JSON.stringify(raw.listen)}: both say where to listen; give one of them`,
      );
    }
  }
  faults.push(...unknownVariables(environment));

  const checked = partial.safeParse(raw);
  if (!checked.success) {
    for (const issue of checked.error.issues) {
      const name = issue.path[0] as SettingName;
      faults.push(`${origin.get(name)} is ${JSON.stringify(raw[name])}: ${issue.message}`);
    }
  }
  const values = checked.data ?? {};
  const roles: readonly Role[] =
    command === 'standalone' ? roleNames : roleNames.filter((role) => values.role?.includes(role));
  if (command === 'roles' && raw.role === undefined) {
    faults.push(`--role (${settings.role.env}) is missing: say --role=${roleNames.join('|')}, or "taskd standalone"`);
  }
  if (roles.length > 0 && !roles.includes('nameserver') && raw.nameServers === undefined) {
    faults.push(
      `--name-servers (${settings.nameServers.env}) is missing: a ${roles.join(' and ')} must find the others; ` +
        'give the address of a process with --role=nameserver',
    );
  }
  const listen = values.listen ?? { host: '127.0.0.1', port: values.port ?? 7_400 };
  const nameServers = values.nameServers ?? [];
  const cluster = roles.includes('nameserver') ? 1 + otherNameServers(nameServers, listen).length : 0;
  if (values.onPeerLoss !== undefined && cluster !== 2) {
    faults.push(
      `${origin.get('onPeerLoss')} is ${JSON.stringify(raw.onPeerLoss)}: it is for two name servers, and this start ` +
        `${cluster === 0 ? 'is none' : `has ${cluster}`}; leave it out`,
    );
  }
  if (values.staticInstances !== undefined && !roles.includes('nameserver')) {
    faults.push(`${origin.get('staticInstances')} is for a name server: leave it out, or add nameserver to --role`);
  }
  const looksUp = command === 'roles' && roles.some((role) => role !== 'nameserver');
  if (values.discoveryCache !== undefined && !looksUp && roles.length > 0) {
    faults.push(`${origin.get('discoveryCache')} is for a broker or a scheduler: leave it out, or add one to --role`);
  }
  const adminPort = values.adminPort ?? 7_401;
  if (adminPort !== 0 && adminPort === listen.port) {
    faults.push(
      `--admin-port (${settings.adminPort.env}) is ${adminPort}, where taskd itself is to listen: ` +
        'choose another one, or 0 for none',
    );
  }
  if (faults.length > 0) throw new ConfigError(faults);
  const data = values.data ?? 'taskd-data';
  // A scheduler alone keeps nothing else on disk, so it writes into no folder that nobody named.
  const hasFolder = values.data !== undefined || roles.some((role) => role !== 'scheduler');
  const cache = values.discoveryCache ?? (hasFolder ? `${data}/discovery-cache` : undefined);
  return {
    roles,
    listen,
    dataFolder: resolve(workingDirectory, data),
    nameServers,
    shards: values.shards ?? 16,
    nodeId: values.nodeId,
    zone: values.zone ?? '',
    onPeerLoss: values.onPeerLoss ?? 'freeze',
    staticInstancesFile:
      values.staticInstances === undefined ? undefined : resolve(workingDirectory, values.staticInstances),
    ...(looksUp && cache !== undefined ? { discoveryCacheFile: resolve(workingDirectory, cache) } : {}),
    autoCreateTopics: command === 'standalone' && values.autoCreate !== 'off',
    produceQuota: values.produceQuota ?? noQuota,
    fetchQuota: values.fetchQuota ?? noQuota,
    zeroCopy: values.zeroCopy ?? 'auto',
    space: { reserveBytesMax, ...(values.minFree === undefined ? {} : { minFreeBytes: values.minFree }) },
    scrubBytesPerSecond: values.scrubRate ?? scrubBytesPerSecond,
    adminPort,
    logLevel: values.logLevel ?? 'info',
    logFormat: values.logFormat ?? 'auto',
  };
}

/** The name servers of a list without the one that listens at `self`. */
export function otherNameServers(nameServers: readonly Address[], self: Address): Address[] {
  const plain = ({ host, port }: Address): string =>
    formatAddress({ host: host === 'localhost' ? '127.0.0.1' : host, port });
  const seen = new Set([plain(self)]);
  return nameServers.filter((each) => !seen.has(plain(each)) && seen.add(plain(each)));
}

/** `--name-servers` of `nameServers`. */
function flagOf(name: SettingName): string {
  return settings[name].flag.split(' ')[0]!;
}

function unknownVariables(environment: Readonly<Record<string, string | undefined>>): string[] {
  const known = new Set<string>(Object.values(settings).map((setting) => setting.env));
  const faults: string[] = [];
  for (const [name, value] of Object.entries(environment)) {
    if (!name.startsWith('TASKD_') || known.has(name) || foreignVariables.has(name)) continue;
    faults.push(
      `${name} is ${JSON.stringify(value)}: there is no such setting; unset it, or use one of ${[...known].join(', ')}`,
    );
  }
  return faults;
}
