import type { taskd } from '../../wire/generated/messages.js';

/** A frame between name servers. The core fills in the sender. */
export type PeerMessage = taskd.PeerFrame.$Properties;

/**
 * What the driver has to do, in the order given.
 *
 * - `changed`: the instance looks different in the view, appeared or is gone; tell the watchers of its service.
 * - `send`: over the links to all configured peers that are up, or to the one with this node id; a frame that can't be
 *   sent now is dropped, never kept: whoever misses it pulls. `unsent` tells the core of one to a single peer.
 * - `store`: make the incarnation durable, then call `incarnationStored`. Nothing is sent with it before.
 * - `end`: close the session's connection, so that its client registers anew.
 * - `state`: `viewState` changed beyond its revision; watchers get it.
 * - `protection`: a service began or ceased to be protected; its watchers get the state.
 * - `wake`: call `flush` at this time (monotonic ms); a later effect of this kind replaces the one before.
 * - `stop`: another living process has this node's id; the driver stops this one with the reason.
 */
export type RegistryEffect =
  | {
      readonly kind: 'changed';
      readonly namespace: string;
      readonly group: string;
      readonly service: string;
      readonly instanceId: string;
    }
  | { readonly kind: 'send'; readonly to: string; readonly message: PeerMessage }
  | { readonly kind: 'store'; readonly incarnation: number }
  | { readonly kind: 'end'; readonly sessionId: number }
  | { readonly kind: 'state' }
  | {
      readonly kind: 'protection';
      readonly namespace: string;
      readonly group: string;
      readonly service: string;
      readonly isProtected: boolean;
    }
  | { readonly kind: 'wake'; readonly atMs: number }
  | { readonly kind: 'stop'; readonly reason: string };

/** The `to` of a `send` that goes to every peer. */
export const allPeers = '*';
