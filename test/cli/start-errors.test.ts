import t from 'tap';
import { ErrorCode, TaskdError } from '../../src/base/errors.js';
import { readConfig } from '../../src/cli/config.js';
import { ExitCode, exitCodeOf } from '../../src/cli/exit-codes.js';
import { AdminPortError, explainStart, ZeroCopyError } from '../../src/cli/start-errors.js';
import { storageFailed } from '../../src/log/storage-error.js';
import { FileError } from '../../src/runtime/files.js';
import { NetError } from '../../src/runtime/net.js';

t.test('why a start failed is one line with a remedy', async (t) => {
  const config = readConfig('standalone', {}, {}, '/');
  const cases: [unknown, ExitCode, RegExp][] = [
    [new NetError('EADDRINUSE', 'listen'), ExitCode.ADDRESS, /^127.0.0.1:7400 is in use.*--listen or --port$/],
    [new NetError('EACCES', 'listen'), ExitCode.ADDRESS, /\(EACCES\)/],
    [
      new AdminPortError('x', { cause: { code: 'EADDRINUSE' } }),
      ExitCode.ADDRESS,
      /^--admin-port .* is 7401: it is in use/,
    ],
    [new ZeroCopyError('no koffi'), ExitCode.USAGE, /^--zero-copy .* is on, .*: no koffi; use auto$/],
    [new FileError('ENOSPC', '/x'), ExitCode.DATA, /ENOSPC.*free some space/],
    [storageFailed('it failed', 'mend the disk', new FileError('ENOSPC', '/x')), ExitCode.DATA, /free some space/],
    [new FileError('EACCES', '/x'), ExitCode.DATA, /^\/x can not be used \(EACCES\).*--data$/],
    [new TaskdError(ErrorCode.CONFLICT, '/x is in use by another taskd: stop it'), ExitCode.DATA, /^\/x is in use/],
    [new TaskdError(ErrorCode.NOT_SENT, 'nobody there'), ExitCode.FAILED, /^nobody there$/],
    [new Error('odd'), ExitCode.FAILED, /^could not start: odd$/],
  ];
  for (const [error, exitCode, line] of cases) {
    const failure = explainStart(error, config);
    t.equal(failure.exitCode, exitCode);
    t.match(failure.line, line);
    t.notMatch(failure.line, /\n/);
  }
});

t.test('every error code has an exit code that is not 0', async (t) => {
  for (const code of Object.values(ErrorCode)) t.not(exitCodeOf(new TaskdError(code, 'x')), 0);
  t.equal(exitCodeOf(new TaskdError(ErrorCode.NOT_FOUND, 'x')), 3);
  t.equal(exitCodeOf(new TypeError('x')), 1);
});
