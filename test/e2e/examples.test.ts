import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Program, root, startTaskd, type Taskd } from '../../scripts/programs.js';

/** The service of examples/prices, in JavaScript and, where there is a Python with protobuf, in both languages. */
const folder = join(root, 'examples', 'prices');
const data = mkdtempSync(join(tmpdir(), 'taskd-examples-'));
const python = process.env['TASKD_TEST_PYTHON'] ?? 'python3';
let server: Taskd | undefined;
t.teardown(async () => {
  await server?.program.stop('SIGKILL');
  rmSync(data, { recursive: true, force: true });
});
server = await startTaskd(['standalone', '--data', join(data, 'data'), '--port', '0', '--admin-port', '0']);
const environment = { TASKD_SERVER: server.listen, PYTHONDONTWRITEBYTECODE: '1' };

const node = (script: string, ...argv: string[]) => new Program(script, join(folder, script), argv, environment);

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs a script of Python to its end. */
function runPython(argv: readonly string[]): Promise<Ran> {
  return new Promise((resolve) => {
    const env = { ...process.env, ...environment };
    execFile(python, argv, { env, cwd: folder, timeout: 60_000 }, (error, out, err) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
      resolve({ code, out, err });
    });
  });
}

/** Starts a server of the example and waits until it is registered. */
async function serving(program: Program): Promise<Program> {
  await program.waitFor('it was registered', (line) => (line.startsWith('serving ') ? line : undefined));
  return program;
}

/** A server in Python, which a few lines of JavaScript start: `Program` runs Node's own programs. */
function pythonServer(id: string): Program {
  const start =
    `const child = require('node:child_process').spawn(process.argv[1], ['server.py', process.argv[2]], ` +
    `{ cwd: process.argv[3], stdio: 'inherit' });` +
    `process.on('SIGTERM', () => child.kill('SIGTERM'));` +
    `child.on('exit', (code) => process.exit(code ?? 1));`;
  return new Program('server.py', '-e', [start, '--', python, id, folder], environment);
}

/** What a caller says, which must end well. */
async function told(t: Test, caller: Program): Promise<string[]> {
  t.match(await caller.exited, { code: 0 }, caller.lastLines.join('\n'));
  return caller.lastLines;
}

t.test('two instances share the calls; one that leaves gets none, one that dies is passed over', async (t) => {
  const [one, two] = await Promise.all([serving(node('server.mjs', 'js-1')), serving(node('server.mjs', 'js-2'))]);
  t.teardown(() => Promise.all([one.stop('SIGKILL'), two.stop('SIGKILL')]));
  t.strictSame(await told(t, node('caller.mjs', '10')), ['js-1 answered 5', 'js-2 answered 5']);

  const three = await serving(node('server.mjs', 'js-3'));
  await two.stop('SIGKILL');
  const answers = await told(t, node('caller.mjs', '10'));
  t.notOk(answers.includes('js-2 answered 1'));
  t.ok(answers.some((line) => line.startsWith('js-1 answered')) && answers.some((line) => line.startsWith('js-3')));
  t.equal((await three.stop('SIGTERM')).code, 0);
  t.strictSame(await told(t, node('caller.mjs', '4', '!gpu,language=js')), ['js-1 answered 4']);
});

t.test('in JavaScript and in Python: each finds and calls the other', async (t) => {
  const { code } = await runPython(['-c', 'import google.protobuf']);
  if (code !== 0) {
    t.comment(`not run: the example in Python, as ${python} has no protobuf (see examples/README.md)`);
    return;
  }
  const [js, py] = await Promise.all([serving(node('server.mjs', 'js-4')), serving(pythonServer('py-4'))]);
  t.teardown(() => Promise.all([js.stop('SIGKILL'), py.stop('SIGTERM')]));
  t.strictSame(await told(t, node('caller.mjs', '4', 'language=python')), ['py-4 answered 4']);
  t.match(await runPython(['caller.py', '4', 'language=js']), { code: 0, out: 'js-4 answered 4\n' });
  t.match(await runPython(['caller.py', '4', '=']), { code: 1, err: /no term of a selector/ });
  const both = await runPython(['caller.py', '40']);
  t.match(both, { code: 0, out: /^js-4 answered \d+\npy-4 answered \d+\n$/ });
  t.equal((await py.stop('SIGTERM')).code, 0);
  t.match(await runPython(['caller.py', '4']), { code: 0, out: 'js-4 answered 4\n' }, 'who leaves says goodbye');
  t.match(await runPython(['caller.py', '4', 'language=python']), { code: 1, err: /nobody serves prices/ });
});

t.test('every .proto file is read without a compiler', async (t) => {
  const { code } = await runPython(['-c', 'import google.protobuf']);
  if (code !== 0) {
    t.comment(`not run: the reader of .proto files in Python, as ${python} has no protobuf`);
    return;
  }
  const script =
    'import os, proto_files\n' +
    'names = sorted(os.listdir("../../proto"))\n' +
    'files = proto_files.ProtoFiles("../../proto", *names)\n' +
    'override = files.SetOverrideRequest(weight=0)\n' +
    'assert override.HasField("weight") and not files.SetOverrideRequest().HasField("weight")\n' +
    'instance = files.Instance(metadata={"a": "b"}, addresses=[files.Endpoint(host="h", port=1)])\n' +
    'assert files.Instance.FromString(instance.SerializeToString()) == instance\n' +
    'print(files.Hello(client_id="c1", kind="client", software="x/1", deadline_ms=5000).SerializeToString().hex())\n';
  const ran = await runPython(['-c', script]);
  t.equal(ran.code, 0, ran.err);
  const golden = readFileSync(join(root, 'test', 'golden', 'frames.txt'), 'utf8');
  t.ok(golden.includes(ran.out.trim()), `the hello of the golden frames: ${ran.out}`);
});
