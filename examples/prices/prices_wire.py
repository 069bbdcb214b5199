"""Messages on a socket: four bytes of length, big-endian, then one Protobuf message."""
import os
import struct

from proto_files import ProtoFiles

prices = ProtoFiles(os.path.dirname(os.path.abspath(__file__)), "prices.proto")
LENGTH = struct.Struct(">I")
BYTES_MAX = 64 * 1024


def send(sock, message):
    body = message.SerializeToString()
    sock.sendall(LENGTH.pack(len(body)) + body)


def receive(file, message_type):
    """The next message; None at the end."""
    start = file.read(LENGTH.size)
    if len(start) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(start)
    if length > BYTES_MAX:
        raise ValueError(f"a message of {length} bytes")
    body = file.read(length)
    return message_type.FromString(body) if len(body) == length else None
