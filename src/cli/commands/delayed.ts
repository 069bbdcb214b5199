import { type Command, InvalidArgumentError } from 'commander';
import { parseDelayedId } from '../../base/delay-level.js';
import { ErrorCode, TaskdError } from '../../base/errors.js';
import type { WithSession } from './session.js';

/** Records that wait for their time. */
export function addDelayed(program: Command, withSession: WithSession): void {
  const delayed = program.command('delayed').description('records that wait for their time');

  delayed
    .command('cancel')
    .argument('<id>', 'as `taskctl produce --delay` has shown it', parseId)
    .description('take back a record before it is delivered')
    .addHelpText('after', '\nExample:\n  taskctl delayed cancel 2:5:1234:1764120000000')
    .action((id: string) =>
      withSession(async ({ client, output }) => {
        if (!(await client.cancelDelayed(id))) {
          const text = `there is nothing to cancel by ${id}: it was delivered, or cancelled before, or never was`;
          throw new TaskdError(ErrorCode.NOT_FOUND, text);
        }
        output.done(`${id} will not be delivered`, { id, cancelled: true });
        return undefined;
      }),
    );
}

function parseId(text: string): string {
  try {
    parseDelayedId(text);
    return text;
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}
