import type { NameServerOptions } from '../../src/nameserver/name-server.js';

/** The options of a name server without others. */
export const loneNameServer: NameServerOptions = {
  folder: '/var/taskd/nameserver',
  peers: [],
  onPeerLoss: 'freeze',
  staticInstances: [],
  onFatal: (reason) => {
    throw new Error(reason);
  },
};
