import t from 'tap';
import { ErrorCode, isTaskdError } from '../../../src/base/errors.js';
import { encodePayload } from '../../../src/client/payload.js';

t.test('what has no JSON text is told in one line', (t) => {
  const cycle: Record<string, unknown> = {};
  cycle['self'] = { cycle };
  for (const value of [cycle, () => 1, { toJSON: () => undefined }, 1n]) {
    try {
      encodePayload(value, 'the arguments');
      t.fail('taken');
    } catch (error) {
      if (!isTaskdError(error, ErrorCode.INVALID)) throw error;
      t.match(error.message, /^the arguments have no JSON text \(.+\): pass plain data or bytes$/);
      t.notMatch(error.message, /\n/);
    }
  }
  t.same(encodePayload(undefined, 'the arguments'), new Uint8Array(0));
  t.end();
});
