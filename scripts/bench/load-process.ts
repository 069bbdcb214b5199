import { type ChildProcess, fork } from 'node:child_process';

/** A process that carries load. It tells us of itself by messages, and ends with us. */
export class LoadProcess {
  readonly #child: ChildProcess;

  constructor(script: string, args: readonly string[]) {
    this.#child = fork(script, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  }

  /** The next message that it sends; rejects when it ends first. */
  message<T>(): Promise<T> {
    return new Promise((resolve, reject) => {
      const failed = (code: number | null): void => reject(new Error(`a load process ended with code ${code}`));
      this.#child.once('exit', failed);
      this.#child.once('message', (message) => {
        this.#child.off('exit', failed);
        resolve(message as T);
      });
    });
  }

  /** Sends it a word, or what else it understands, and resolves with its next message. */
  ask<T>(message: string | object): Promise<T> {
    const answer = this.message<T>();
    this.#child.send(message);
    return answer;
  }

  stop(): void {
    this.#child.kill('SIGTERM');
  }
}
