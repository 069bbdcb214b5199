import { CommanderError } from 'commander';
import t from 'tap';
import { parseCommandLine } from '../../src/cli/command-line.js';

function parse(...argv: string[]): { out: string; err: string; code: number | undefined; parsed: unknown } {
  const seen = { out: '', err: '', code: undefined as number | undefined, parsed: undefined as unknown };
  try {
    seen.parsed = parseCommandLine(argv, {
      out: (text) => {
        seen.out += text;
      },
      err: (text) => {
        seen.err += text;
      },
    });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    seen.code = error.exitCode;
  }
  return seen;
}

t.test('the two ways to start', async (t) => {
  t.match(parse('standalone', '--data', 'd', '--port=1').parsed, {
    command: 'standalone',
    flags: { data: 'd', port: '1' },
  });
  t.match(parse('--role=broker', '--name-servers', '127.0.0.1:1').parsed, {
    command: 'roles',
    flags: { role: 'broker', nameServers: '127.0.0.1:1' },
  });
});

t.test('help and version', async (t) => {
  const help = parse('--help');
  t.equal(help.code, 0);
  t.match(help.out, /Examples:[\s\S]*taskd standalone[\s\S]*Exit codes:/);
  t.match(parse('standalone', '--help').out, /--shards/);
  t.match(parse('--version'), { code: 0, out: /^\d+\.\d+\.\d+\n$/ });
});

t.test('wrong flags are one line', async (t) => {
  for (const argv of [
    ['standalone', '--prot', '1'],
    ['start'],
    ['--port=1', 'standalone'],
    ['standalone', 'now'],
    ['--port'],
  ]) {
    const { err, code } = parse(...argv);
    t.match(err, /^taskd: [^\n]+\n$/, argv.join(' '));
    t.not(code, 0);
  }
  t.match(parse('standalone', '--prot', '1').err, /unknown option '--prot' \(Did you mean --port\?\)/);
});
