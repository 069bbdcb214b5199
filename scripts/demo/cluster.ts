import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Program, root, startTaskd, type Taskd } from '../programs.js';

/** The servers of the demo: one standalone process, or one for each role. */
export class Cluster {
  readonly #folder: string;
  readonly #separate: boolean;
  #processes: Taskd[] = [];
  /** The arguments of each process, with the ports that were chosen at the first start. */
  #commands: string[][] = [];

  constructor(folder: string, separate: boolean) {
    this.#folder = folder;
    this.#separate = separate;
  }

  get names(): string {
    return this.#separate ? 'the name server, the broker and the scheduler' : 'the server';
  }

  get pids(): string {
    return this.#processes.map(({ program }) => program.pid).join(', ');
  }

  /** Where clients and workers begin. */
  get servers(): string {
    return this.#processes[0]!.listen;
  }

  async start(): Promise<void> {
    const data = join(this.#folder, 'data');
    if (!this.#separate) {
      await this.#add(['standalone', '--data', data], '127.0.0.1:0');
      return;
    }
    await this.#add(['--role=nameserver', '--data', join(this.#folder, 'names')], '127.0.0.1:0');
    const nameServers = ['--name-servers', this.servers];
    await this.#add(['--role=broker', '--data', data, ...nameServers], '127.0.0.1:0');
    await this.#add(['--role=scheduler', ...nameServers], '127.0.0.1:0');
  }

  /** `kill -9` of every process, and the same commands again. */
  async killAndRestart(): Promise<void> {
    await Promise.all(this.#processes.map(({ program }) => program.stop('SIGKILL')));
    this.#processes = await Promise.all(this.#commands.map((argv) => startTaskd(argv)));
  }

  /** Stops in good order, the name server last; true when every process ended with 0. */
  async stop(): Promise<boolean> {
    let isGood = true;
    for (const { program } of [...this.#processes].reverse()) {
      const { code } = await program.stop('SIGTERM');
      if (code !== 0) isGood = false;
    }
    return isGood;
  }

  kill(): void {
    for (const { program } of this.#processes) if (program.isRunning) program.process.kill('SIGKILL');
  }

  async #add(argv: string[], listen: string): Promise<void> {
    const common = [...argv, '--admin-port', '0', '--log-format', 'json'];
    const taskd = await startTaskd([...common, '--listen', listen]);
    this.#processes.push(taskd);
    this.#commands.push([...common, '--listen', taskd.listen]);
  }
}

/** The worker processes of the demo. */
export class WorkerFleet {
  readonly #servers: string;
  readonly #files: string;
  readonly #folder: string;
  readonly programs: Map<string, Program> = new Map<string, Program>();

  /** `files`: the folder whose files are inspected; `folder`: where the lists of starts go. */
  constructor(servers: string, files: string, folder: string) {
    this.#servers = servers;
    this.#files = files;
    this.#folder = join(folder, 'starts');
    mkdirSync(this.#folder);
  }

  get startsFolder(): string {
    return this.#folder;
  }

  /** Starts a worker and waits until it works. */
  async add(name: string): Promise<Program> {
    const script = join(root, 'build', 'scripts', 'demo', 'worker.js');
    const program = new Program(name, script, [name, this.#servers, this.#files, join(this.#folder, name)]);
    this.programs.set(name, program);
    await program.waitFor('it worked', (line) => (line === 'working' ? true : undefined));
    return program;
  }

  async stop(): Promise<void> {
    await Promise.all([...this.programs.values()].map((program) => program.stop('SIGTERM')));
  }

  kill(): void {
    for (const program of this.programs.values()) if (program.isRunning) program.process.kill('SIGKILL');
  }
}
