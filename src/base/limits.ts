import { assert } from './errors.js';

/**
 * Every limit that more than one folder must agree on, with its unit last. A limit that only one file needs lives in
 * that file. Relations between them are asserted when this module loads.
 */

const KIB = 1024;
const MIB = 1024 * KIB;

/** Bytes a connection may send in all until its hello is through. */
export const preHelloBytesMax: number = 16 * KIB;
/** Time from accept until the hello must be through. */
export const helloDeadlineMs: number = 5_000;
/** Connections at once whose hello is not through; the oldest makes room for the next. */
export const preHelloConnectionsMax: number = 1_024;
/**
 * Connections of one server at once, those before their hello included; one more is reset. Some systems let a process
 * have only 20,000 descriptors: the rest is for segments, the log and other servers.
 */
export const connectionsMax: number = 15_000;
/** The same for a process that is a name server and nothing else: it has hardly any files. */
export const nameServerConnectionsMax: number = 18_000;
/** Memory for frames that are not complete, over all connections of a server; who needs more is cut. */
export const gatheredBytesMax: number = 256 * MIB;
/** Time from the first byte of a frame until it must be complete, after the hello. */
export const unfinishedFrameMs: number = 60_000;
/** Produced records of all connections of a broker that were appended and are not answered yet; more is BUSY. */
export const produceBytesMax: number = 256 * MIB;
/** The same for one connection. */
export const peerProduceBytesMax: number = 64 * MIB;
/** Frame length of control methods. */
export const controlFrameBytesMax: number = 1 * MIB;
/** Frame length of data methods: produce and fetch. */
export const frameBytesMax: number = 16 * MIB;
/** Meta of a data frame. */
export const metaBytesMax: number = 1 * MIB;
/** Time between heartbeats on an idle connection; three of them without a byte close it. */
export const heartbeatMs: number = 3_000;
/** Calls a server lets one connection have in flight. */
export const inFlightCallsMax: number = 4_096;
/** Calls that wait at the client for a slot; the next gets BUSY. */
export const queuedCallsMax: number = 65_536;
/** Bytes waiting to leave on one connection: above high, reading from that peer stops; below low, it goes on. */
export const writeHighWaterBytes: number = 1 * MIB;
export const writeLowWaterBytes: number = 256 * KIB;
/** In so long a peer must take all that waits for it, or so many bytes of it; else it is closed. */
export const writeStallMs: number = 30_000;
export const writeStallBytes: number = 256 * KIB;
/** Time a server gives its peers to leave after GOAWAY. */
export const drainMs: number = 10_000;

/** One batch, header included. */
export const recordBatchBytesMax: number = 8 * MIB;
export const recordBytesMax: number = 4 * MIB;
export const batchRecordsMax: number = 65_535;
export const keyBytesMax: number = 64 * KIB;
export const headersMax: number = 64;
/** What the body of a compressed batch may grow to at whoever reads its records. Logs may have batches that large. */
export const expandedBytesMax: number = 64 * MIB;
/**
 * What the compressed batches of one produce request may grow to, together: what the request could carry uncompressed.
 * They are unpacked in the turn in which the request comes, and all zeros take a millisecond a MiB.
 */
export const producedExpandedBytesMax: number = frameBytesMax;
/** One write group: what one pwritev and one fdatasync make durable. */
export const writeGroupBytesMax: number = 16 * MIB;
/** A segment file rolls at this size. */
export const segmentBytesMax: number = 64 * MIB;

/** Batches of one producer and partition that may be unacknowledged, and the window in which a repeat is recognised. */
export const producerWindowBatches: number = 5;
/** Ids of ordinary producers lie below; those from here on are movers', which only brokers may use. */
export const moverProducerIdMin: number = 2 ** 48;
/** Producers whose state one partition keeps. */
export const partitionProducersMax: number = 100_000;
/** Names of topics, apps, jobs, processors, services: characters. */
export const nameLengthMax: number = 128;
/** Arguments or a result of a run, kept inline in the log. */
export const runArgumentsBytesMax: number = 64 * KIB;

/** Time between the beats of a group's member. */
export const groupBeatMs: number = 1_000;
/** Without a beat for so long a member is out, unless it asked for another time between the two bounds. */
export const groupSessionMs: number = 6_000;
export const groupSessionMsMin: number = 1_000;
export const groupSessionMsMax: number = 5 * 60_000;
/** Time that a member has to let go of a partition, unless it asked for another one up to the bound. */
export const groupReleaseMs: number = 60_000;
export const groupReleaseMsMax: number = 60 * 60_000;
/** A member's note beside a committed offset, as UTF-8. */
export const offsetMetadataBytesMax: number = 1 * KIB;

assert(preHelloBytesMax < controlFrameBytesMax, 'a frame before the hello is smaller than one after it');
assert(preHelloConnectionsMax < connectionsMax, 'connections without a hello leave room for others');
assert(frameBytesMax * 8 <= gatheredBytesMax, 'some of the largest frames may be on their way at once');
assert(recordBatchBytesMax + metaBytesMax < frameBytesMax, 'the largest batch fits in a frame');
assert(recordBytesMax < recordBatchBytesMax, 'the largest record fits in a batch');
assert(recordBatchBytesMax <= producedExpandedBytesMax, 'what fits uncompressed may be compressed');
assert(producedExpandedBytesMax <= expandedBytesMax, 'what a broker takes can be read');
assert(recordBatchBytesMax <= writeGroupBytesMax, 'the largest batch fits in a write group');
assert(writeGroupBytesMax <= segmentBytesMax, 'a write group fits in a segment');
assert(frameBytesMax < peerProduceBytesMax, 'the largest request may be appended');
assert(peerProduceBytesMax < produceBytesMax, 'one connection leaves room for others');
assert(writeLowWaterBytes < writeHighWaterBytes, 'the low water mark lies below the high one');
assert(groupBeatMs <= groupSessionMsMin, 'a member beats within the shortest session');
assert(groupSessionMsMin <= groupSessionMs && groupSessionMs <= groupSessionMsMax, 'the session lies in its bounds');
assert(groupReleaseMs <= groupReleaseMsMax, 'the time to let go lies in its bounds');
assert(runArgumentsBytesMax < recordBytesMax, 'arguments fit in a record');
