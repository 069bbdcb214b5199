import { partitionOf, topicIdOf } from '../../../base/place.js';
import type { taskd } from '../../../wire/generated/messages.js';
import type { Group, SeatState } from './group.js';
import type { Member } from './member.js';
import { topicPartitionsOf } from './place.js';

type Piece = Omit<taskd.GroupPiece.$Properties, 'after' | 'index' | 'count'>;

/** Of one piece, far below what a record may have. */
const seatsPerPiece = 500;
const offsetBytesMax = 256 * 1024;
const offsetBytes = 32;

/** All that replay knows of a group, in pieces: members before the seats that name them. `Group.restore` takes them in. */
export function piecesOf(group: Group): Piece[] {
  const { name, assignor, epoch, idleSince, idleSinceMs } = group;
  const head = { group: name, assignor, epoch, idleSince, idleSinceMs };
  const former = [...group.former()].map(([instanceId, memberIds]) => ({ instanceId, memberIds }));
  const pieces: Piece[] = [{ ...head, former }];
  // One each: a member may name many topics.
  for (const member of group.members.values()) pieces.push({ ...head, members: [memberState(member)] });
  const seats = seatsOf(group);
  for (let at = 0; at < seats.length; at += seatsPerPiece) {
    pieces.push({ ...head, seats: seats.slice(at, at + seatsPerPiece) });
  }
  let offsets: taskd.CommittedOffset.$Properties[] = [];
  let bytes = 0;
  for (const [place, { offset, metadata }] of group.offsets) {
    offsets.push({ topicId: topicIdOf(place), partition: partitionOf(place), offset, metadata });
    bytes += offsetBytes + 3 * metadata.length;
    if (bytes < offsetBytesMax) continue;
    pieces.push({ ...head, offsets });
    offsets = [];
    bytes = 0;
  }
  if (offsets.length > 0) pieces.push({ ...head, offsets });
  return pieces;
}

function memberState(member: Member): taskd.GroupMemberState.$Properties {
  const { group, memberId, instanceId, topics, sessionTimeoutMs, releaseTimeoutMs, clientId, host } = member;
  const about = { clientId, host, sessionTimeoutMs, releaseTimeoutMs };
  const joined = { group, memberId, instanceId, topics: [...topics], ...about };
  return { joined, epoch: member.epoch, joinEpoch: member.joinEpoch };
}

/** Seats that are alike are one entry. */
function seatsOf(group: Group): taskd.GroupSeats.$Properties[] {
  const alike = new Map<string, { readonly seat: SeatState; readonly places: number[] }>();
  for (const [place, seat] of group.seats()) {
    const { owner, target, grantedEpoch, revokedEpoch } = seat;
    const key = `${owner}\n${target}\n${grantedEpoch}\n${revokedEpoch}`;
    const entry = alike.get(key);
    if (entry === undefined) alike.set(key, { seat, places: [place] });
    else entry.places.push(place);
  }
  return [...alike.values()].map(({ seat, places }) => ({ ...seat, partitions: topicPartitionsOf(places) }));
}
