import t from 'tap';
import { ErrorCode } from '../../../src/base/errors.js';
import { recordBytesMax } from '../../../src/base/limits.js';
import { taskd } from '../../../src/wire/generated/messages.js';
import { encode, Harness, RunState } from './harness.js';

/** Records that a broker accepts and that no honest client writes: they must be refused, each time the log is read. */
function active(): Harness {
  const h = new Harness();
  h.acquire();
  return h;
}

t.test('a retry ladder too long to be spread over a call is refused, by replay and by the owner', (t) => {
  const h = active();
  const delaysMs = new Array<number>(500_000).fill(1);
  const run = h.client(encode.submit({ retry: { delaysMs } }));
  t.equal(h.core.run(run)?.state, RunState.REFUSED);
  const job = h.client(encode.put({ retry: { delaysMs } }));
  t.match(h.core.verdict(job), { accepted: false, code: ErrorCode.INVALID });
  t.end();
});

t.test("a job's name that fills a record is refused in one that the log takes", (t) => {
  const h = active();
  const name = 'n'.repeat(recordBytesMax - 100);
  const { RecordType } = taskd;
  const records = [
    encode.put({ name }),
    encode.pause(name),
    encode.resume(name),
    encode.remove(name),
    encode.pause(''),
  ];
  for (const record of records) {
    const offset = h.client(record);
    const verdict = h.core.verdict(offset);
    t.match(verdict, { accepted: false, code: ErrorCode.INVALID }, `type ${record.type}`);
    t.ok(verdict!.message.length < 1_000);
  }
  const written = h.log.flatMap((batch) => batch.records);
  t.ok(
    written.every(({ type, value }) => type !== RecordType.JOB_REFUSED || value!.length < 1_000),
    'the owner writes no refusal as long as what it refuses',
  );
  t.end();
});

t.test('a processor or a ladder that is refused for its length is not kept', (t) => {
  const h = active();
  const named = h.core.run(h.client(encode.submit({ processor: 'p'.repeat(1_000_000) })));
  t.match(named, { appId: 7, state: RunState.REFUSED, processor: '' });
  const laddered = h.core.run(h.client(encode.submit({ retry: { delaysMs: new Array<number>(5_000).fill(1) } })));
  t.match(laddered, { appId: 7, state: RunState.REFUSED, processor: 'p' });
  t.end();
});
