"""One connection to a taskd server, as docs/protocol.md describes it. Standard library and protobuf only."""
import os
import queue
import socket
import struct
import threading
import zlib

from proto_files import ProtoFiles

PROTO = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "proto")
taskd = ProtoFiles(PROTO, "connection.proto", "registry.proto")

PREFACE = b"TASKD\0\x01\x00"
REQ, RES, ERR, ONEWAY, PUSH, CREDIT, CANCEL, END, PING, PONG, GOAWAY = range(1, 12)
CRC, IGNORABLE = 1, 2
HELLO = 0x0001
HEADER = struct.Struct(">IBBHII")  # length, kind, flags, method, correlation, metaLen
FRAME_MAX = 16 * 1024 * 1024
HELLO_CORRELATION = 1  # slot 0, generation 1

RETRY_OTHER, RETRY_AFTER = 3, 4
INVALID, SUPERSEDED = 18, 51


class TaskdError(Exception):
    """What a server refused. Act on `code` and `retry`, never on the text."""

    def __init__(self, info):
        super().__init__(info.message)
        self.code, self.retry, self.hint = info.code, info.retry, info.hint
        self.retry_after_s = info.retry_after_ms / 1000


class ConnectionLost(Exception):
    pass


class Connection:
    """
    Dials, says hello, and answers pings; a thread of its own reads. Whoever has it says something every `heartbeat_s`.
    Raises OSError, ConnectionLost or TaskdError.
    """

    def __init__(self, address, client_id, kind="client", timeout_s=1.0):
        self.is_leaving = False
        self._lock = threading.Lock()
        self._free = None  # slots, with their generations
        self._waiting = {}  # correlation: (answer type, queue or callback)
        self._socket = socket.create_connection(address, timeout=timeout_s)
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            hello = taskd.Hello(client_id=client_id, kind=kind, software="prices.py/1", deadline_ms=int(timeout_s * 1000))
            self._socket.sendall(PREFACE)
            self._write(REQ, HELLO, HELLO_CORRELATION, hello)
            if self._read(8)[:7] != PREFACE[:7]:
                raise ConnectionLost("the other side is no taskd of this major version")
            kind, _, _, meta = self._frame()
            if kind == ERR:
                raise TaskdError(taskd.ErrorInfo.FromString(meta))
            if kind != RES:
                raise ConnectionLost(f"a frame of kind {kind} in place of a hello")
            self.server = taskd.HelloOk.FromString(meta)
        except BaseException:
            self._socket.close()
            raise
        self.heartbeat_s = self.server.heartbeat_ms / 1000
        # Slot 0 had its generation 1 with the hello.
        self._free = [[slot, 1] for slot in reversed(range(min(self.server.in_flight_max, 64)))]
        # Every byte counts as a sign of life.
        self._socket.settimeout(3 * self.heartbeat_s)
        self.is_open = True
        threading.Thread(target=self._reader, daemon=True).start()

    def call(self, method, request, answer_type, timeout_s=3.0):
        answers = queue.SimpleQueue()
        request.deadline_ms = int(timeout_s * 1000)
        correlation = self._begin(answer_type, answers.put)
        self._write(REQ, method, correlation, request)
        try:
            answer = answers.get(timeout=timeout_s)
        except queue.Empty:
            self._done(correlation)
            self._write(CANCEL, method, correlation)
            raise ConnectionLost("no answer in time") from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def open(self, method, request, push_type, on_event, credit=16):
        """`on_event` gets each push and, last, the exception that ended the stream, or None; in the reader's thread."""
        request.credit = credit

        def event(event):
            if isinstance(event, push_type):
                self._write(CREDIT, method, correlation, taskd.Credit(pushes=1))
            on_event(event)

        correlation = self._begin(push_type, event)
        self._write(REQ, method, correlation, request)

    def close(self):
        """The first FIN is ours, always."""
        self.is_open = False
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def _begin(self, answer_type, callback):
        with self._lock:
            if not self.is_open:
                raise ConnectionLost("the connection is closed")
            if not self._free:
                raise ConnectionLost("too many calls at once")
            slot, generation = self._free.pop()
            generation = generation % 65535 + 1
            correlation = slot << 16 | generation
            self._waiting[correlation] = (answer_type, callback)
            return correlation

    def _done(self, correlation):
        with self._lock:
            entry = self._waiting.pop(correlation, None)
            if entry is not None:
                self._free.append([correlation >> 16, correlation & 0xFFFF])
            return entry

    def _write(self, kind, method, correlation, message=None):
        meta = b"" if message is None else message.SerializeToString()
        frame = HEADER.pack(12 + len(meta), kind, 0, method, correlation, len(meta)) + meta
        with self._lock:
            try:
                self._socket.sendall(frame)
            except OSError as error:
                raise ConnectionLost(str(error)) from error

    def _read(self, count):
        parts = bytearray()
        while len(parts) < count:
            part = self._socket.recv(count - len(parts))
            if not part:
                raise ConnectionLost("the server has closed the connection")
            parts += part
        return bytes(parts)

    def _frame(self):
        start = self._read(HEADER.size)
        length, kind, flags, method, correlation, meta_length = HEADER.unpack(start)
        if not 12 <= length <= FRAME_MAX or meta_length > length - 12:
            raise ConnectionLost(f"a frame of {length} bytes with {meta_length} of meta")
        rest = self._read(length - 12)
        if flags & CRC:
            rest, crc = rest[:-4], rest[-4:]
            if zlib.crc32(start[4:] + rest) != int.from_bytes(crc, "big"):
                raise ConnectionLost("a frame with a wrong checksum")
        if kind > GOAWAY and not flags & IGNORABLE:
            raise ConnectionLost(f"a frame of kind {kind}")
        return kind, method, correlation, rest[:meta_length]

    def _reader(self):
        end = ConnectionLost("the connection is closed")
        try:
            while True:
                kind, _, correlation, meta = self._frame()
                if kind == PING:
                    self._write(PONG, 0, 0, taskd.Heartbeat(opaque=taskd.Heartbeat.FromString(meta).opaque))
                elif kind == GOAWAY:
                    self.is_leaving = True
                elif kind == ERR and correlation == 0:
                    raise TaskdError(taskd.ErrorInfo.FromString(meta))
                elif kind == PUSH:
                    entry = self._waiting.get(correlation)
                    if entry is not None:
                        entry[1](entry[0].FromString(meta))
                elif kind in (RES, ERR, END):
                    entry = self._done(correlation)
                    if entry is not None:  # else it is late
                        entry[1](self._ending(kind, meta, entry[0]))
        except (OSError, ConnectionLost, TaskdError) as error:
            end = error if isinstance(error, (ConnectionLost, TaskdError)) else ConnectionLost(str(error))
        finally:
            self.is_open = False
            self._socket.close()
            for correlation in list(self._waiting):
                entry = self._done(correlation)
                if entry is not None:
                    entry[1](end)

    @staticmethod
    def _ending(kind, meta, answer_type):
        if kind == RES:
            return answer_type.FromString(meta)
        if kind == END and not meta:
            return None
        return TaskdError(taskd.ErrorInfo.FromString(meta))
