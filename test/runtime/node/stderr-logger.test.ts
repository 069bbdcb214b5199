import t from 'tap';
import { StderrLogger } from '../../../src/runtime/node/stderr-logger.js';

t.test('warnings and errors are lines, with what errors say', (t) => {
  const lines: string[] = [];
  const logger = new StderrLogger((line) => void lines.push(line));
  logger.debug();
  logger.info();
  logger.warn({}, 'plain');
  logger.child({ app: 'mail' }).error({ error: new Error('no way'), times: 2 }, 'it failed');
  t.same(lines, ['taskd warning: plain\n', 'taskd error: it failed {"app":"mail","error":"no way","times":2}\n']);
  t.end();
});

t.test('what comes again and again is written once in ten seconds', (t) => {
  const lines: string[] = [];
  let nowMs = 0;
  const logger = new StderrLogger(
    (line) => void lines.push(line),
    () => nowMs,
  );
  for (; nowMs < 15_000; nowMs += 100) logger.warn({ server: 'a' }, 'away');
  logger.child({}).warn({ server: 'a' }, 'away');
  logger.warn({ server: 'b' }, 'away');
  t.same(lines, [
    'taskd warning: away {"server":"a"}\n',
    'taskd warning: away {"server":"a"} (and 99 times before)\n',
    'taskd warning: away {"server":"b"}\n',
  ]);
  for (let i = 0; i < 5_000; i++) logger.warn({ i }, 'x'.repeat(5_000));
  t.ok(lines.every((line) => line.length < 2_100));
  t.end();
});
