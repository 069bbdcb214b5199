/** A message that is encoded already, for many receivers. It goes wherever the message itself would. */
export class Encoded {
  readonly bytes: Uint8Array;

  /** The bytes belong to it from now on. */
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
}
