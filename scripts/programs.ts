/**
 * The programs of taskd as child processes: started, waited for by what they say, killed. Programs are found relative
 * to this file, so it doesn't matter where the clone lies or from where a script is called.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { connect, createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** The clone's top folder; this file lies in build/scripts/. */
export const root: string = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A program that runs until it is told to stop. Its standard output is read line by line. */
export class Program {
  readonly name: string;
  readonly process: ChildProcess;
  /** Resolves when the process is over and all it said was read. Never rejects. */
  readonly exited: Promise<Exit>;
  /** The last lines of standard output and error, for whoever must explain a failure. */
  readonly lastLines: string[] = [];
  #exit: Exit | undefined;
  readonly #waiting: Set<(line: string | undefined) => void> = new Set();

  constructor(name: string, script: string, argv: readonly string[], environment: Record<string, string> = {}) {
    this.name = name;
    this.process = spawn(process.execPath, [script, ...argv], {
      env: { ...cleanEnvironment(), ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.process.stdout!, this.process.stderr!]) {
      createInterface({ input: stream }).on('line', (line) => {
        this.lastLines.push(line);
        if (this.lastLines.length > 50) this.lastLines.shift();
        for (const waiter of [...this.#waiting]) waiter(line);
      });
    }
    this.exited = new Promise((resolve) => {
      this.process.once('error', () => this.#over({ code: null, signal: null }, resolve));
      this.process.once('close', (code, signal) => this.#over({ code, signal }, resolve));
    });
  }

  get isRunning(): boolean {
    return this.#exit === undefined;
  }

  get pid(): number {
    return this.process.pid ?? -1;
  }

  /** The first line from now on that `pick` makes something of. Rejects when the process ends before. */
  waitFor<T>(what: string, pick: (line: string) => T | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      const waiter = (line: string | undefined): void => {
        const found = line === undefined ? undefined : pick(line);
        if (line !== undefined && found === undefined) return;
        this.#waiting.delete(waiter);
        if (found !== undefined) resolve(found);
        else reject(new Error(`${this.name} ended before ${what}:\n${this.lastLines.join('\n')}`));
      };
      if (!this.isRunning) return waiter(undefined);
      this.#waiting.add(waiter);
    });
  }

  /** Sends a signal and waits for the end. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Exit> {
    if (this.isRunning) this.process.kill(signal);
    return this.exited;
  }

  #over(exit: Exit, resolve: (exit: Exit) => void): void {
    this.#exit = exit;
    for (const waiter of [...this.#waiting]) waiter(undefined);
    resolve(exit);
  }
}

/** A `taskd` process that is ready. */
export interface Taskd {
  readonly program: Program;
  /** host:port */
  readonly listen: string;
  /** The JSON line that said it is ready. */
  readonly ready: Readonly<Record<string, unknown>>;
}

/** Starts `taskd` and waits for its line that says it is ready. Rejects with what it said when it ends instead. */
export async function startTaskd(argv: readonly string[], environment: Record<string, string> = {}): Promise<Taskd> {
  const program = new Program('taskd', join(root, 'bin', 'taskd.cjs'), argv, environment);
  const ready = await program.waitFor('it was ready', (line) => {
    if (!line.startsWith('{')) return undefined;
    const fields = JSON.parse(line) as Record<string, unknown>;
    return fields['msg'] === 'taskd is ready' ? fields : undefined;
  });
  return { program, ready, listen: String(ready['listen']) };
}

export interface Ended extends Exit {
  readonly out: string;
  readonly err: string;
}

/** Runs a program of bin/ to its end. */
export function runProgram(
  name: 'taskd' | 'taskctl',
  argv: readonly string[],
  options: { readonly environment?: Record<string, string>; readonly cwd?: string } = {},
): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(root, 'bin', `${name}.cjs`), ...argv], {
      env: { ...cleanEnvironment(), ...options.environment },
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    });
    let out = '';
    let err = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      err += text;
    });
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ code, signal, out, err }));
  });
}

/** A port of 127.0.0.1 that was free a moment ago. For settings that don't take 0. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

/** True when something accepts connections at that port of 127.0.0.1. */
export function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/**
 * Our environment without settings of taskd that the person at the keyboard happens to have, and without what the test
 * runner loads into every process that it starts.
 */
function cleanEnvironment(): NodeJS.ProcessEnv {
  const isKept = ([name]: [string, unknown]): boolean => !name.startsWith('TASKD_') && name !== 'NODE_OPTIONS';
  return Object.fromEntries(Object.entries(process.env).filter(isKept));
}
