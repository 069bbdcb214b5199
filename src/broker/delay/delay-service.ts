import type { ServerCall } from '../../rpc/service.js';
import type { taskd } from '../../wire/generated/messages.js';
import type { DelayLadder } from './ladder.js';

/** Answers the two methods of delay; what clients store comes by `produce`, into the levels' topics. */
export class DelayService {
  readonly #ladder: DelayLadder;

  constructor(ladder: DelayLadder) {
    this.#ladder = ladder;
  }

  open(request: taskd.OpenDelayLevelRequest, call: ServerCall<taskd.IOpenDelayLevelResponse>): void {
    this.#ladder.open(request.level).then(
      () => call.reply({}),
      (error) => call.fail(error),
    );
  }

  cancel(request: taskd.CancelDelayedRequest, call: ServerCall<taskd.ICancelDelayedResponse>): void {
    const { partition, level, offset, deliverAtMs } = request;
    this.#ladder.cancel(partition, level, offset, deliverAtMs).then(
      (cancelled) => call.reply({ cancelled }),
      (error) => call.fail(error),
    );
  }
}
