import type { Assignor, AssignQuestion } from './assignor.js';

/**
 * Each topic in ranges, one a member, in the order of the members' names. Topics with the same number of partitions and
 * the same members are cut alike, so that one member has partition n of all of them: for joins of streams by key. It
 * moves more than it must when members come and go.
 */
export class RangeAssignor implements Assignor {
  readonly name = 'range';

  assign({ topics, result }: AssignQuestion): void {
    for (const { first, partitions, members } of topics) {
      const least = Math.floor(partitions / members.length);
      const larger = partitions % members.length;
      let partition = first;
      members.forEach((member, i) => {
        const end = partition + least + (i < larger ? 1 : 0);
        result.fill(member, partition, end);
        partition = end;
      });
    }
  }
}
