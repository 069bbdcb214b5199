import fc from 'fast-check';
import t from 'tap';
import { ErrorCode } from '../../src/base/errors.js';
import { offsetSecMax, ZoneOffsets } from '../../src/timer/zone-offsets.js';

const names = ['UTC', 'Europe/Berlin', 'Australia/Lord_Howe', 'Pacific/Apia', 'America/St_Johns', 'Africa/Casablanca'];

t.test('segments follow each other without a hole, and each offset is what Intl says', (t) => {
  fc.assert(
    fc.property(fc.constantFrom(...names), fc.integer({ min: 0, max: 4_000_000_000 }), (name, from) => {
      const zone = ZoneOffsets.of(name);
      const format = new Intl.DateTimeFormat('en-US', { timeZone: name, timeZoneName: 'longOffset' });
      const offsetOf = (sec: number): number => {
        const text = format.formatToParts(sec * 1_000).find(({ type }) => type === 'timeZoneName')!.value;
        const [, sign, hours, minutes] = /^GMT(?:([+-])(\d\d):(\d\d))?$/.exec(text)!;
        return (sign === '-' ? -60 : 60) * (60 * Number(hours ?? 0) + Number(minutes ?? 0));
      };
      let segment = zone.segmentAt(from);
      for (let i = 0; i < 6; i++) {
        if (segment.startSec > from || segment.endSec <= from || Math.abs(segment.offsetSec) >= offsetSecMax)
          return false;
        for (const sec of [from, segment.startSec, segment.endSec - 1]) {
          if (offsetOf(sec) !== segment.offsetSec || zone.segmentAt(sec) !== segment) return false;
        }
        from = segment.endSec;
        const next = zone.segmentAt(from);
        if (next.startSec !== segment.endSec) return false;
        segment = next;
      }
      return true;
    }),
    { numRuns: 40 },
  );
  t.end();
});

t.test('unknown names are refused', (t) => {
  for (const name of ['', 'Mars/Olympus', 'Europe/Berlin\n']) {
    t.throws(() => ZoneOffsets.of(name), { code: ErrorCode.INVALID });
  }
  t.equal(ZoneOffsets.of('UTC'), ZoneOffsets.of('UTC'));
  t.end();
});
