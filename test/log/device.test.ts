import t from 'tap';
import { Device, syncsMax } from '../../src/log/device.js';

t.test('the device runs so many at once, and one that fails ends its turn, too', async (t) => {
  const device = new Device();
  let running = 0;
  let most = 0;
  const work = async (): Promise<void> => {
    most = Math.max(most, ++running);
    await new Promise(setImmediate);
    running--;
    if (most % 3 === 0) throw new Error('EIO');
  };
  const all = Array.from({ length: 5 * syncsMax }, (_, i) => device.sync(i % 4 === 0, work));
  t.equal(device.syncsWaiting, 4 * syncsMax);
  await Promise.allSettled(all);
  t.equal(most, syncsMax);
  t.equal(device.syncsRunning, 0);
  t.equal(device.syncsWaiting, 0);
});
