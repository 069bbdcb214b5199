import type { MetricSet } from '../base/counters.js';
import { taskd } from '../wire/generated/messages.js';

/** Kinds of frames between name servers, as metrics name them. */
const kinds = {
  beat: 'beat',
  digest: 'digest',
  delta: 'delta',
  deltaAck: 'delta_ack',
  pull: 'pull',
  snapshotChunk: 'snapshot_chunk',
  ownerLeave: 'owner_leave',
  incarnationQuestion: 'incarnation_question',
  incarnationTold: 'incarnation_told',
  hidden: 'hidden',
  overridesPull: 'overrides_pull',
  overrides: 'overrides',
} as const;
type Kind = keyof typeof kinds;
const kindList = Object.keys(kinds) as Kind[];

/** Counts the frames to and from other name servers. */
export class PeerTraffic {
  digestBytes = 0;
  readonly #sent = new Map<Kind, number>(kindList.map((kind) => [kind, 0]));
  readonly #received = new Map<Kind, number>(kindList.map((kind) => [kind, 0]));

  /** A frame left for so many peers. */
  sent(frame: taskd.PeerFrame.$Properties, peers: number): void {
    const kind = kindOf(frame);
    if (kind === undefined || peers === 0) return;
    this.#sent.set(kind, this.#sent.get(kind)! + peers);
    if (kind === 'digest') this.digestBytes += peers * taskd.PeerFrame.encode(frame).finish().length;
  }

  received(frame: taskd.PeerFrame.$Properties): void {
    const kind = kindOf(frame);
    if (kind !== undefined) this.#received.set(kind, this.#received.get(kind)! + 1);
  }

  registerMetrics(metrics: MetricSet): void {
    for (const kind of kindList) {
      const label = { kind: kinds[kind] };
      const sent = 'Frames sent to other name servers';
      metrics.counter('nameserver_frames_sent_total', sent, () => this.#sent.get(kind)!, label);
      const received = 'Frames of other name servers';
      metrics.counter('nameserver_frames_received_total', received, () => this.#received.get(kind)!, label);
    }
    const help = 'Bytes of digests sent to other name servers';
    metrics.counter('nameserver_digest_bytes_total', help, () => this.digestBytes);
  }
}

function kindOf(frame: taskd.PeerFrame.$Properties): Kind | undefined {
  for (const kind of kindList) if (frame[kind] !== undefined && frame[kind] !== null) return kind;
  return undefined;
}
