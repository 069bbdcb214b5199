/**
 * The one table of methods. Router, codec, client stubs, metrics and the printed reference read these rows. An id is
 * `service << 8 | number` and is never used again for something else.
 */
import type { Reader, Writer } from 'protobufjs/minimal.js';
import { taskd } from './generated/messages.js';

/** Encodes and decodes one message type; the generated classes are codecs. `In` is what may be given to encode. */
export interface Codec<T, In = T> {
  encode(message: In, writer?: Writer): Writer;
  decode(reader: Reader | Uint8Array, length?: number): T;
}

/** `control`: frames up to 1 MiB, no payload to speak of. `data`: up to 16 MiB. */
export type SizeClass = 'control' | 'data';

/** `call`: one request, one answer. `stream`: one request, then pushes. `oneway`: a request without an answer. */
export type MethodShape = 'call' | 'stream' | 'oneway';

/** The role a peer must have once authentication is on. */
export type AuthRole = 'none' | 'observer' | 'producer' | 'consumer' | 'worker' | 'node' | 'admin';

export interface Method<Q = unknown, A = unknown, QIn = Q, AIn = A> {
  readonly id: number;
  readonly name: string;
  readonly shape: MethodShape;
  readonly request: Codec<Q, QIn>;
  /** The answer's type; for a stream, that of each push. */
  readonly answer: Codec<A, AIn>;
  readonly idempotent: boolean;
  readonly size: SizeClass;
  readonly role: AuthRole;
  /** The deadline of a call that names none; 0 for streams and oneways. */
  readonly deadlineMs: number;
}

interface MessageClass {
  new (): unknown;
  // biome-ignore lint/suspicious/noExplicitAny: the generated classes differ in what they encode
  encode(message: any, writer?: Writer): Writer;
  decode(reader: Reader | Uint8Array, length?: number): unknown;
}
type Encodable<C> = C extends { encode(message: infer I, writer?: Writer): Writer } ? I : never;
/** The method whose request and answer are these generated classes. */
export type MethodOf<Q extends MessageClass, A extends MessageClass> = Method<
  InstanceType<Q>,
  InstanceType<A>,
  Encodable<Q>,
  Encodable<A>
>;

interface Traits {
  readonly shape?: MethodShape;
  readonly idempotent?: boolean;
  readonly size?: SizeClass;
  readonly role: AuthRole;
  readonly deadlineMs?: number;
}

const rows: Method[] = [];

function method<Q extends MessageClass, A extends MessageClass>(
  id: number,
  name: string,
  request: Q,
  answer: A,
  traits: Traits,
): MethodOf<Q, A> {
  const shape = traits.shape ?? 'call';
  const row = {
    id,
    name,
    shape,
    request,
    answer,
    idempotent: traits.idempotent ?? false,
    size: traits.size ?? 'control',
    role: traits.role,
    deadlineMs: traits.deadlineMs ?? (shape === 'call' ? 10_000 : 0),
  };
  rows.push(row as Method);
  return row as MethodOf<Q, A>;
}

// 0: the connection itself
export const hello: MethodOf<typeof taskd.Hello, typeof taskd.HelloOk> = method(
  0x0001,
  'connection.hello',
  taskd.Hello,
  taskd.HelloOk,
  { role: 'none', idempotent: true, deadlineMs: 5_000 },
);
export const auth: MethodOf<typeof taskd.Auth, typeof taskd.AuthOk> = method(
  0x0002,
  'connection.auth',
  taskd.Auth,
  taskd.AuthOk,
  { role: 'none', deadlineMs: 5_000 },
);

// 1: the name server
export const register: MethodOf<typeof taskd.RegisterRequest, typeof taskd.RegisterResponse> = method(
  0x0101,
  'registry.register',
  taskd.RegisterRequest,
  taskd.RegisterResponse,
  { role: 'node', idempotent: true },
);
export const deregister: MethodOf<typeof taskd.DeregisterRequest, typeof taskd.DeregisterResponse> = method(
  0x0102,
  'registry.deregister',
  taskd.DeregisterRequest,
  taskd.DeregisterResponse,
  { role: 'node', idempotent: true },
);
export const listInstances: MethodOf<typeof taskd.ListInstancesRequest, typeof taskd.ListInstancesResponse> = method(
  0x0103,
  'registry.list',
  taskd.ListInstancesRequest,
  taskd.ListInstancesResponse,
  { role: 'observer', idempotent: true, size: 'data' },
);
export const watchInstances: MethodOf<typeof taskd.WatchRequest, typeof taskd.WatchEvent> = method(
  0x0104,
  'registry.watch',
  taskd.WatchRequest,
  taskd.WatchEvent,
  { role: 'observer', shape: 'stream', size: 'data' },
);
export const beat: MethodOf<typeof taskd.BeatRequest, typeof taskd.BeatResponse> = method(
  0x0105,
  'registry.beat',
  taskd.BeatRequest,
  taskd.BeatResponse,
  { role: 'node', idempotent: true },
);
export const listNodes: MethodOf<typeof taskd.NodesRequest, typeof taskd.NodesResponse> = method(
  0x0106,
  'registry.nodes',
  taskd.NodesRequest,
  taskd.NodesResponse,
  { role: 'observer', idempotent: true },
);
export const listServices: MethodOf<typeof taskd.ListServicesRequest, typeof taskd.ListServicesResponse> = method(
  0x0107,
  'registry.services',
  taskd.ListServicesRequest,
  taskd.ListServicesResponse,
  { role: 'observer', idempotent: true, size: 'data' },
);
export const setOverride: MethodOf<typeof taskd.SetOverrideRequest, typeof taskd.SetOverrideResponse> = method(
  0x0108,
  'registry.override',
  taskd.SetOverrideRequest,
  taskd.SetOverrideResponse,
  { role: 'admin', idempotent: true },
);
export const listOverrides: MethodOf<typeof taskd.ListOverridesRequest, typeof taskd.ListOverridesResponse> = method(
  0x0109,
  'registry.overrides',
  taskd.ListOverridesRequest,
  taskd.ListOverridesResponse,
  { role: 'observer', idempotent: true, size: 'data' },
);

/** Between name servers; never the answer's type, since there is none. */
export const registryPeer: MethodOf<typeof taskd.PeerFrame, typeof taskd.Empty> = method(
  0x0110,
  'registry.peer',
  taskd.PeerFrame,
  taskd.Empty,
  { role: 'node', shape: 'oneway', size: 'data' },
);

// 2: the broker
export const createTopic: MethodOf<typeof taskd.CreateTopicRequest, typeof taskd.CreateTopicResponse> = method(
  0x0201,
  'broker.createTopic',
  taskd.CreateTopicRequest,
  taskd.CreateTopicResponse,
  { role: 'admin' },
);
export const describeTopics: MethodOf<typeof taskd.DescribeTopicsRequest, typeof taskd.DescribeTopicsResponse> = method(
  0x0202,
  'broker.describeTopics',
  taskd.DescribeTopicsRequest,
  taskd.DescribeTopicsResponse,
  { role: 'observer', idempotent: true, size: 'data' },
);
export const initProducer: MethodOf<typeof taskd.InitProducerRequest, typeof taskd.InitProducerResponse> = method(
  0x0203,
  'broker.initProducer',
  taskd.InitProducerRequest,
  taskd.InitProducerResponse,
  { role: 'producer', idempotent: true },
);
export const produce: MethodOf<typeof taskd.ProduceRequest, typeof taskd.ProduceResponse> = method(
  0x0204,
  'broker.produce',
  taskd.ProduceRequest,
  taskd.ProduceResponse,
  { role: 'producer', idempotent: true, size: 'data', deadlineMs: 30_000 },
);
export const fetch: MethodOf<typeof taskd.FetchRequest, typeof taskd.FetchResponse> = method(
  0x0205,
  'broker.fetch',
  taskd.FetchRequest,
  taskd.FetchResponse,
  { role: 'consumer', idempotent: true, size: 'data', deadlineMs: 60_000 },
);
export const listOffsets: MethodOf<typeof taskd.ListOffsetsRequest, typeof taskd.ListOffsetsResponse> = method(
  0x0206,
  'broker.listOffsets',
  taskd.ListOffsetsRequest,
  taskd.ListOffsetsResponse,
  { role: 'consumer', idempotent: true },
);
export const alterTopic: MethodOf<typeof taskd.AlterTopicRequest, typeof taskd.AlterTopicResponse> = method(
  0x0207,
  'broker.alterTopic',
  taskd.AlterTopicRequest,
  taskd.AlterTopicResponse,
  { role: 'admin' },
);
export const deleteTopic: MethodOf<typeof taskd.DeleteTopicRequest, typeof taskd.DeleteTopicResponse> = method(
  0x0208,
  'broker.deleteTopic',
  taskd.DeleteTopicRequest,
  taskd.DeleteTopicResponse,
  { role: 'admin' },
);
export const cancelDelayed: MethodOf<typeof taskd.CancelDelayedRequest, typeof taskd.CancelDelayedResponse> = method(
  0x0209,
  'broker.cancelDelayed',
  taskd.CancelDelayedRequest,
  taskd.CancelDelayedResponse,
  { role: 'producer', idempotent: true },
);
export const openDelayLevel: MethodOf<typeof taskd.OpenDelayLevelRequest, typeof taskd.OpenDelayLevelResponse> = method(
  0x020a,
  'broker.openDelayLevel',
  taskd.OpenDelayLevelRequest,
  taskd.OpenDelayLevelResponse,
  { role: 'producer', idempotent: true },
);

// 3: consumer groups
export const joinGroup: MethodOf<typeof taskd.JoinGroupRequest, typeof taskd.GroupPush> = method(
  0x0301,
  'groups.join',
  taskd.JoinGroupRequest,
  taskd.GroupPush,
  { role: 'consumer', shape: 'stream' },
);
export const groupBeat: MethodOf<typeof taskd.GroupBeat, typeof taskd.Empty> = method(
  0x0302,
  'groups.beat',
  taskd.GroupBeat,
  taskd.Empty,
  { role: 'consumer', shape: 'oneway' },
);
export const leaveGroup: MethodOf<typeof taskd.LeaveGroupRequest, typeof taskd.LeaveGroupResponse> = method(
  0x0303,
  'groups.leave',
  taskd.LeaveGroupRequest,
  taskd.LeaveGroupResponse,
  { role: 'consumer', idempotent: true },
);
export const commitOffsets: MethodOf<typeof taskd.CommitOffsetsRequest, typeof taskd.CommitOffsetsResponse> = method(
  0x0304,
  'groups.commit',
  taskd.CommitOffsetsRequest,
  taskd.CommitOffsetsResponse,
  { role: 'consumer', idempotent: true },
);
export const fetchOffsets: MethodOf<typeof taskd.FetchOffsetsRequest, typeof taskd.FetchOffsetsResponse> = method(
  0x0305,
  'groups.offsets',
  taskd.FetchOffsetsRequest,
  taskd.FetchOffsetsResponse,
  { role: 'consumer', idempotent: true, size: 'data' },
);
export const listGroups: MethodOf<typeof taskd.ListGroupsRequest, typeof taskd.ListGroupsResponse> = method(
  0x0306,
  'groups.list',
  taskd.ListGroupsRequest,
  taskd.ListGroupsResponse,
  { role: 'observer', idempotent: true },
);
export const describeGroup: MethodOf<typeof taskd.DescribeGroupRequest, typeof taskd.DescribeGroupResponse> = method(
  0x0307,
  'groups.describe',
  taskd.DescribeGroupRequest,
  taskd.DescribeGroupResponse,
  { role: 'observer', idempotent: true, size: 'data' },
);
export const resetOffsets: MethodOf<typeof taskd.ResetOffsetsRequest, typeof taskd.ResetOffsetsResponse> = method(
  0x0308,
  'groups.reset',
  taskd.ResetOffsetsRequest,
  taskd.ResetOffsetsResponse,
  { role: 'admin', idempotent: true },
);
export const removeGroup: MethodOf<typeof taskd.RemoveGroupRequest, typeof taskd.RemoveGroupResponse> = method(
  0x0309,
  'groups.remove',
  taskd.RemoveGroupRequest,
  taskd.RemoveGroupResponse,
  { role: 'admin', idempotent: true },
);

// 4: the scheduler, for clients
export const resolveApp: MethodOf<typeof taskd.ResolveAppRequest, typeof taskd.ResolveAppResponse> = method(
  0x0401,
  'scheduler.resolveApp',
  taskd.ResolveAppRequest,
  taskd.ResolveAppResponse,
  { role: 'observer', idempotent: true },
);
export const listApps: MethodOf<typeof taskd.ListAppsRequest, typeof taskd.ListAppsResponse> = method(
  0x0402,
  'scheduler.listApps',
  taskd.ListAppsRequest,
  taskd.ListAppsResponse,
  { role: 'observer', idempotent: true },
);
export const getJob: MethodOf<typeof taskd.GetJobRequest, typeof taskd.GetJobResponse> = method(
  0x0403,
  'scheduler.getJob',
  taskd.GetJobRequest,
  taskd.GetJobResponse,
  { role: 'observer', idempotent: true },
);
export const listJobs: MethodOf<typeof taskd.ListJobsRequest, typeof taskd.ListJobsResponse> = method(
  0x0404,
  'scheduler.listJobs',
  taskd.ListJobsRequest,
  taskd.ListJobsResponse,
  { role: 'observer', idempotent: true },
);
export const getRun: MethodOf<typeof taskd.GetRunRequest, typeof taskd.GetRunResponse> = method(
  0x0405,
  'scheduler.getRun',
  taskd.GetRunRequest,
  taskd.GetRunResponse,
  { role: 'observer', idempotent: true, deadlineMs: 60_000 },
);
export const listRuns: MethodOf<typeof taskd.ListRunsRequest, typeof taskd.ListRunsResponse> = method(
  0x0406,
  'scheduler.listRuns',
  taskd.ListRunsRequest,
  taskd.ListRunsResponse,
  { role: 'observer', idempotent: true, size: 'data' },
);
export const appStats: MethodOf<typeof taskd.AppStatsRequest, typeof taskd.AppStatsResponse> = method(
  0x0407,
  'scheduler.appStats',
  taskd.AppStatsRequest,
  taskd.AppStatsResponse,
  { role: 'observer', idempotent: true },
);

// 5: the scheduler, for workers
export const attach: MethodOf<typeof taskd.AttachRequest, typeof taskd.SessionPush> = method(
  0x0501,
  'worker.attach',
  taskd.AttachRequest,
  taskd.SessionPush,
  { role: 'worker', shape: 'stream', size: 'data' },
);
export const sessionPing: MethodOf<typeof taskd.SessionPingRequest, typeof taskd.SessionPingResponse> = method(
  0x0502,
  'worker.sessionPing',
  taskd.SessionPingRequest,
  taskd.SessionPingResponse,
  { role: 'worker', idempotent: true, deadlineMs: 6_000 },
);
export const claim: MethodOf<typeof taskd.ClaimRequest, typeof taskd.ClaimResponse> = method(
  0x0503,
  'worker.claim',
  taskd.ClaimRequest,
  taskd.ClaimResponse,
  { role: 'worker', idempotent: true },
);
export const reports: MethodOf<typeof taskd.Reports, typeof taskd.Empty> = method(
  0x0504,
  'worker.reports',
  taskd.Reports,
  taskd.Empty,
  { role: 'worker', shape: 'oneway', size: 'data' },
);
export const returnLeases: MethodOf<typeof taskd.ReturnedLeases, typeof taskd.Empty> = method(
  0x0505,
  'worker.returnLeases',
  taskd.ReturnedLeases,
  taskd.Empty,
  { role: 'worker', shape: 'oneway' },
);
export const draining: MethodOf<typeof taskd.Draining, typeof taskd.Empty> = method(
  0x0506,
  'worker.draining',
  taskd.Draining,
  taskd.Empty,
  { role: 'worker', shape: 'oneway' },
);

/** All methods by id. */
export const methods: ReadonlyMap<number, Method> = new Map(rows.map((row) => [row.id, row]));
