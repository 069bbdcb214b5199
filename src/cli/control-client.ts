/** What taskctl needs of a client: the part of `TaskdClient` that its commands use, so that tests can stand in for it. */

export interface RunInfo {
  readonly id: string;
  readonly app: string;
  readonly job: string;
  readonly processor: string;
  readonly state: string;
  readonly attempt: number;
  readonly attemptsMax: number;
  readonly lost: number;
  readonly priority: number;
  readonly dueMs: number;
  readonly createdMs: number;
  readonly startedMs: number;
  readonly endedMs: number;
  readonly workerId: string;
  readonly arguments: Uint8Array;
  readonly result: Uint8Array;
  readonly error: string;
  readonly waitsFor: string;
  readonly replayOf?: string;
}

export interface RetryRule {
  readonly attemptsMax?: number;
  readonly delaysMs?: readonly number[];
}

export interface JobInfo {
  readonly app: string;
  readonly name: string;
  readonly version: number;
  readonly processor: string;
  readonly arguments: Uint8Array;
  readonly cron: string;
  readonly zone: string;
  readonly timeoutMs: number;
  readonly priority: number;
  readonly paused: boolean;
  readonly nextFireMs?: number;
  readonly fires: number;
  readonly skipped: number;
  readonly refusal: string;
}

export interface NewJob {
  readonly processor: string;
  readonly arguments?: unknown;
  readonly cron?: string;
  readonly zone?: string;
  readonly retry?: RetryRule;
  readonly timeoutMs?: number;
  readonly priority?: number;
  readonly paused?: boolean;
  readonly expectedVersion?: number;
}

export interface NewRun {
  readonly processor: string;
  readonly arguments?: unknown;
  readonly runAtMs?: number;
  readonly delayMs?: number;
  readonly priority?: number;
  readonly retry?: RetryRule;
  readonly timeoutMs?: number;
}

export interface RunFilter {
  readonly states?: readonly string[];
  readonly job?: string;
  readonly limit?: number;
}

export interface AppInfo {
  readonly name: string;
  readonly shard: number;
}

export interface AppStats {
  readonly scheduled: number;
  readonly ready: number;
  readonly running: number;
  readonly retryWait: number;
  readonly dead: number;
  readonly workers: readonly unknown[];
}

export interface TopicInfo {
  readonly topicId: number;
  readonly name: string;
  readonly partitions: number;
  readonly replicas: number;
  readonly internal: boolean;
}

export interface NodeInfo {
  readonly service: string;
  readonly instanceId: string;
  readonly addresses: readonly string[];
  readonly health: string;
  readonly metadata: Readonly<Record<string, string>>;
}

export interface ControlClient {
  readonly jobs: {
    put(app: string, name: string, job: NewJob): Promise<JobInfo>;
    get(app: string, name: string): Promise<JobInfo>;
    list(app: string): Promise<readonly JobInfo[]>;
    pause(app: string, name: string): Promise<unknown>;
    resume(app: string, name: string): Promise<unknown>;
    remove(app: string, name: string): Promise<unknown>;
  };
  readonly runs: {
    submit(app: string, run: NewRun): Promise<{ readonly id: string }>;
    get(id: string): Promise<RunInfo>;
    list(app: string, filter: RunFilter): Promise<readonly RunInfo[]>;
    cancel(id: string): Promise<unknown>;
    result(id: string, timeoutMs?: number): Promise<RunInfo>;
  };
  readonly dead: {
    list(app: string, limit?: number): Promise<readonly RunInfo[]>;
    get(id: string): Promise<RunInfo>;
    replay(id: string): Promise<{ readonly id: string }>;
  };
  readonly apps: {
    list(): Promise<readonly AppInfo[]>;
    stats(app: string): Promise<AppStats>;
  };
  readonly topics: { list(): Promise<readonly TopicInfo[]> };
  nodes(): Promise<readonly NodeInfo[]>;
  close(): Promise<void>;
}
