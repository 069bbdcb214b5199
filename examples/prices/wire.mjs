// Messages on a socket: four bytes of length, big-endian, then one Protobuf message.
import { fileURLToPath } from 'node:url';
import protobuf from 'protobufjs';

const root = protobuf.loadSync(fileURLToPath(new URL('prices.proto', import.meta.url)));
export const Ask = root.lookupType('prices.Ask');
export const Price = root.lookupType('prices.Price');

const bytesMax = 64 * 1024;

export function send(socket, type, message) {
  const body = type.encode(message).finish();
  const length = Buffer.alloc(4);
  length.writeUInt32BE(body.length);
  socket.write(Buffer.concat([length, body]));
}

/** Calls back with each message that comes; whoever sends what is none, or is too long, is cut. */
export function receive(socket, type, onMessage) {
  let kept = Buffer.alloc(0);
  socket.on('data', (chunk) => {
    kept = Buffer.concat([kept, chunk]);
    while (kept.length >= 4) {
      const length = kept.readUInt32BE();
      if (length > bytesMax) return socket.destroy(new Error(`a message of ${length} bytes`));
      if (kept.length < 4 + length) return;
      const body = kept.subarray(4, 4 + length);
      kept = kept.subarray(4 + length);
      try {
        onMessage(type.decode(body));
      } catch (error) {
        return socket.destroy(error);
      }
    }
  });
}
