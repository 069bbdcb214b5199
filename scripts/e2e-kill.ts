/** `npm run e2e:kill [-- ROUNDS [SEED]]`: 20 kills of standalone under load, and the account. */
import { killRounds } from './kill-rounds.js';

const [rounds = 20, seed = Date.now() % 1_000_000] = process.argv.slice(2).map(Number);
process.stdout.write(`seed ${seed}\n`);
const account = await killRounds(rounds, seed, (text) => process.stdout.write(`${text}\n`));
process.stdout.write(`${JSON.stringify(account, null, 2)}\n`);
const isGood = account.lost.length === 0 && account.startedAfterSuccess.length === 0;
process.stdout.write(isGood ? 'nothing lost, nothing started after it succeeded\n' : 'WRONG\n');
process.exitCode = isGood ? 0 : 1;
