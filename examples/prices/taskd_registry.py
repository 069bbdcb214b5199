"""The registry's client in Python, as docs/protocol.md describes it under "The name servers"."""
import os
import random
import sys
import threading
import time

from taskd_connection import INVALID, RETRY_AFTER, RETRY_OTHER, SUPERSEDED, Connection, ConnectionLost, TaskdError, taskd

REGISTER, DEREGISTER, WATCH, BEAT, NODES = 0x0101, 0x0102, 0x0104, 0x0105, 0x0106
SUSPECT, DRAINING, DISABLED = 2, 3, 4
BEAT_S = 3.0
RAISES_A_MINUTE = 3


def servers_from(text):
    """`host:port,host:port` as addresses."""
    return [(host, int(port)) for host, port in (each.strip().rsplit(":", 1) for each in text.split(","))]


class View:
    """What a watch has told, over any number of name servers."""

    def __init__(self):
        self.instances = {}
        self.known = {}
        self.is_listed = False
        self._incoming = None
        self._is_sure = False

    def apply(self, event):
        """True when the list is whole, after this event."""
        state = event.state
        positions = {each.owner: each for each in state.revision}
        if event.full:
            self._incoming, self._is_sure = {}, True
        if self._incoming is None:
            self._merge(positions, state.behind)
            for each in event.changed:
                self._put(each, state.behind)
            if not state.behind:
                for each in event.removed:
                    self.instances.pop((each.service, each.instance_id), None)
            return self.is_listed
        self._is_sure = self._is_sure and state.authoritative and not state.behind
        for each in event.changed:
            self._incoming[each.service, each.instance_id] = each
        if event.more:
            return False
        for each in self._incoming.values():
            self._put(each, state.behind)
        if self._is_sure:  # only then what it leaves out is gone
            self.instances = {key: each for key, each in self.instances.items() if key in self._incoming}
            self.known = {}
        self._merge(positions, state.behind)
        self._incoming = None
        self.is_listed = True
        return True

    def cut(self):
        """The connection is gone: half a list is worth nothing."""
        self._incoming = None

    def _put(self, instance, is_behind):
        key = (instance.service, instance.instance_id)
        before = self.instances.get(key)
        if before is None or not is_behind or version_of(instance) >= version_of(before):
            self.instances[key] = instance

    def _merge(self, positions, is_behind):
        for owner, each in positions.items():
            known = [one for one in self.known.values() if one.owner == owner]
            last = max([each, *known], key=lambda one: (one.incarnation, one.sequence))
            for one in known:  # who is behind knew less of a former incarnation than we saw
                if not is_behind or one.incarnation == last.incarnation:
                    del self.known[owner, one.incarnation]
            self.known[owner, last.incarnation] = last


def version_of(instance):
    return instance.version.incarnation, instance.version.counter


class Watch:
    """A service as it is now."""

    def __init__(self, request):
        self.request = request
        self.known = threading.Event()
        self.error = None
        self._view = View()
        self._lock = threading.Lock()
        self._turn = 0

    def instances(self):
        with self._lock:
            return [each for _, each in sorted(self._view.instances.items())]

    def pick(self):
        """At random by weight among those that are up, else among the suspect ones; None: nobody may be called."""
        usable = [each for each in self.instances() if each.health not in (DRAINING, DISABLED) and each.addresses]
        chosen = [each for each in usable if each.health != SUSPECT] or usable
        return random.choices(chosen, [each.weight for each in chosen])[0] if chosen else None

    def open(self, connection):
        with self._lock:
            self._turn += 1
            turn = self._turn
            self._view.cut()
            request = taskd.WatchRequest()
            request.CopyFrom(self.request)
            request.known.extend(self._view.known.values())
        connection.open(WATCH, request, taskd.WatchEvent, lambda event: self._event(turn, connection, event))

    def _event(self, turn, connection, event):
        with self._lock:
            if turn != self._turn:
                return
            if isinstance(event, taskd.WatchEvent):
                if self._view.apply(event):
                    self.known.set()
                return
        if isinstance(event, TaskdError) and event.code == INVALID:
            self.error = event
            self.known.set()
        else:
            connection.close()  # all is opened again at the next name server


class Registration:
    """One instance of ours. `registered` is set once a name server has it, or has refused it for good: see `error`."""

    def __init__(self, instance):
        self.instance = instance
        self.registered = threading.Event()
        self.error = None
        self._incarnation = int(time.time() * 1000)
        self._counter = random.randrange(1 << 20)  # twins of one millisecond must not have one version
        self._raises = []

    def send(self, connection):
        """Registers with a version above all before; raises what the name server says."""
        self._counter += 1
        self.instance.version.incarnation = self._incarnation
        self.instance.version.counter = self._counter
        try:
            connection.call(REGISTER, taskd.RegisterRequest(instance=self.instance), taskd.RegisterResponse)
            self.registered.set()
        except TaskdError as error:
            if error.code == SUPERSEDED:
                if self.rise(*map(int, error.hint.split("."))):
                    self.send(connection)
            elif error.retry in (RETRY_OTHER, RETRY_AFTER):
                raise
            else:  # INVALID, QUOTA: it will not do anywhere
                self._refuse(error)

    def rise(self, incarnation, counter):
        """Somebody has this version: we are the instance, so ours must be above it. False: there is nothing to do."""
        if (incarnation, counter) < (self._incarnation, self._counter):
            return False
        now = time.monotonic()
        self._raises = [at for at in self._raises if at > now - 60] + [now]
        if len(self._raises) > RAISES_A_MINUTE:
            self._refuse(ConnectionLost("another living process has this name too"))
            return False
        self._incarnation, self._counter = incarnation + 1, 0
        return True

    def _refuse(self, error):
        self.error = error
        self.registered.set()
        print(f"{self.instance.service}/{self.instance.instance_id} is given up: {error}", file=sys.stderr)

    def is_the_one(self, told):
        own = self.instance
        names = ("namespace", "group", "service", "instance_id")
        return all(getattr(told, name) == getattr(own, name) for name in names)


class Registry:
    """Keeps what it registers registered, and what it watches known, at one of the name servers at a time."""

    def __init__(self, servers, client_id=None):
        self._servers = servers
        self._client_id = client_id or f"py-{os.getpid()}"
        self._registrations = []
        self._watches = []
        self._changed = threading.Event()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def register(self, service, instance_id, address, namespace="taskd", **fields):
        """Keeps an instance registered, over all name servers, until `close`."""
        instance = taskd.Instance(namespace=namespace, service=service, instance_id=instance_id, **fields)
        instance.addresses.add(host=address[0], port=address[1])
        registration = Registration(instance)
        self._registrations.append(registration)
        self._changed.set()
        return registration

    def watch(self, service, namespace="taskd", group="", selector=""):
        """`known` is set once the first list has come."""
        request = taskd.WatchRequest(namespace=namespace, service=service, group=group, selector=selector)
        watch = Watch(request)
        self._watches.append(watch)
        self._changed.set()
        return watch

    def close(self):
        """Deregisters all, if a name server answers within 2 seconds."""
        self._is_closed = True
        self._changed.set()
        self._thread.join(2)

    def _run(self):
        wait_s = 0.5
        while not self._is_closed:
            for server in random.sample(self._servers, len(self._servers)):
                try:
                    self._session(server)
                    wait_s = 0.5
                except (OSError, ConnectionLost, TaskdError):
                    pass
                if self._is_closed:
                    return
                # Each at a random time: all clients of a dead name server come at once otherwise.
                self._changed.wait(random.uniform(0, wait_s))
            wait_s = min(2 * wait_s, 5)

    def _session(self, server):
        connection = Connection(server, self._client_id)
        done = set()
        try:
            self._beat(connection)  # NOT_READY: the next one
            while connection.is_open and not connection.is_leaving:
                self._changed.clear()
                for each in [*self._registrations, *self._watches]:
                    if each in done or each.error is not None:
                        continue
                    each.send(connection) if isinstance(each, Registration) else each.open(connection)
                    done.add(each)
                if self._is_closed:
                    self._deregister(connection)
                    return
                self._changed.wait(min(BEAT_S, connection.heartbeat_s))
                if self._is_closed:
                    continue
                answer = self._beat(connection)
                registered = [each for each in done if isinstance(each, Registration) and each.error is None]
                if answer.held != len(registered) and not answer.superseded:
                    return  # it has lost track of us, or we of it: a new connection begins anew
                if answer.frozen and self._is_better_elsewhere(server):
                    return
        finally:
            connection.close()

    def _beat(self, connection):
        """Every frame is a sign of life; this one is there for who has nothing else to say."""
        answer = connection.call(BEAT, taskd.BeatRequest(), taskd.BeatResponse)
        for told in answer.superseded:
            for each in self._registrations:
                if each.error is None and each.is_the_one(told) and each.rise(told.seen.incarnation, told.seen.counter):
                    each.send(connection)
        return answer

    def _is_better_elsewhere(self, current):
        for server in self._servers:
            if server == current:
                continue
            try:
                other = Connection(server, self._client_id)
                try:
                    nodes = other.call(NODES, taskd.NodesRequest(), taskd.NodesResponse)
                finally:
                    other.close()
                if nodes.ready and not nodes.frozen:
                    return True
            except (OSError, ConnectionLost, TaskdError):
                pass
        return False

    def _deregister(self, connection):
        for each in self._registrations:
            own = each.instance
            request = taskd.DeregisterRequest(
                namespace=own.namespace, group=own.group, service=own.service, instance_id=own.instance_id,
                version=own.version,
            )
            connection.call(DEREGISTER, request, taskd.DeregisterResponse)
