import type { Apps } from '../client/apps.js';
import type { NodeInfo } from '../client/client-network.js';
import type { Consumer } from '../client/consumer/consumer.js';
import type { ConsumerOptions } from '../client/consumer/consumer-options.js';
import type { DeadLetters } from '../client/dead-letters.js';
import type { DeadRecords } from '../client/dead-records.js';
import type { Groups } from '../client/groups.js';
import type { Jobs } from '../client/jobs.js';
import type { Runs } from '../client/runs.js';
import type { TopicProducer } from '../client/topic-producer.js';
import type { Topics } from '../client/topics.js';

/** What taskctl needs of a client: the part of `TaskdClient` that its commands use, so that tests can stand in for it. */
export interface ControlClient {
  readonly jobs: Pick<Jobs, 'put' | 'get' | 'list' | 'pause' | 'resume' | 'remove'>;
  readonly runs: Pick<Runs, 'submit' | 'get' | 'list' | 'cancel' | 'result'>;
  readonly dead: Pick<DeadLetters, 'list' | 'get' | 'replay'>;
  readonly deadRecords: Pick<DeadRecords, 'list' | 'get' | 'replay' | 'purge'>;
  readonly groups: Pick<Groups, 'list' | 'describe' | 'reset' | 'remove'>;
  readonly apps: Pick<Apps, 'list' | 'stats'>;
  readonly topics: Pick<Topics, 'list' | 'create' | 'alter' | 'remove' | 'describe'>;
  producer(): Pick<TopicProducer, 'send' | 'room' | 'flush'>;
  consumer(options: ConsumerOptions): Pick<Consumer, 'run' | 'close' | 'stats'>;
  cancelDelayed(id: string): Promise<boolean>;
  nodes(): Promise<readonly NodeInfo[]>;
  close(): Promise<void>;
}
