/** The first eight bytes of each side: `TASKD`, zero, major, minor. */
export const protocolMajor = 1;
export const protocolMinor = 0;
export const prefaceBytes = 8;

const magic: Uint8Array = Uint8Array.of(0x54, 0x41, 0x53, 0x4b, 0x44, 0);

export const preface: Uint8Array = Uint8Array.of(...magic, protocolMajor, protocolMinor);

/** False as soon as one of the bytes there are (up to six) is not the magic's. */
export function isMagic(bytes: Uint8Array): boolean {
  const count = Math.min(bytes.length, magic.length);
  for (let i = 0; i < count; i++) if (bytes[i] !== magic[i]) return false;
  return true;
}

/** What somebody who does not speak our protocol seems to speak; for the log. */
export function guessProtocol(bytes: Uint8Array): string {
  if (bytes[0] === 0x16 && bytes[1] === 0x03) return 'TLS';
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, 8)).toString('latin1');
  if (/^(?:GET|POST|PUT|HEAD|PRI|OPTIONS|DELETE|PATCH|CONNECT)/.test(text)) return 'HTTP';
  if (text.startsWith('SSH-')) return 'SSH';
  return 'an unknown protocol, or a port scan';
}
