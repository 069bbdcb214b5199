/** What a server or a client has counted since it began; plain fields, read by whoever publishes them. */
export class RpcStats {
  connectionsAccepted = 0;
  /** Past their hello, now. */
  connectionsOpen = 0;
  /** Whose hello is not through, now. */
  connectionsPending = 0;
  /** Cut by us: broken rules, silence, stalls. */
  connectionsAborted = 0;
  /** Pending ones that had to make room. */
  connectionsEvicted = 0;
  /** Reset at once because there were too many. */
  connectionsRefused = 0;
  wrongProtocol = 0;
  calls = 0;
  oneways = 0;
  streams = 0;
  pushes = 0;
  /** Answered with an error. */
  errors = 0;
  /** Dropped unserved because their deadline had passed. */
  expired = 0;
  /** Given up by their caller. */
  cancelled = 0;
  /** Refused because too many were in flight. */
  refused = 0;
  /** Answers that came when nobody waited for them any more. */
  lateAnswers = 0;
}
