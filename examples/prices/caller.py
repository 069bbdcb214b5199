"""python3 caller.py [count] [selector]: asks for prices, each time whom `pick` chooses, and says who answered."""
import collections
import os
import socket
import sys

from prices_wire import prices, receive, send
from taskd_registry import Registry, servers_from

count, selector = (sys.argv[1:] + ["20", ""][len(sys.argv) - 1 :])[:2]
registry = Registry(servers_from(os.environ.get("TASKD_SERVER", "127.0.0.1:7400")))
watch = registry.watch("prices", selector=selector)
watch.known.wait()
if watch.error is not None:
    sys.exit(f"refused: {watch.error}")

connections = {}


def ask(instance, number, sku):
    """Asks over the connection to that instance; raises OSError when it doesn't answer."""
    address = (instance.addresses[0].host, instance.addresses[0].port)
    if address not in connections:
        sock = socket.create_connection(address, timeout=2)
        connections[address] = (sock, sock.makefile("rb"))
    sock, file = connections[address]
    try:
        send(sock, prices.Ask(id=number, sku=sku))
        price = receive(file, prices.Price)
        if price is None:
            raise ConnectionError("it went away")
        return price
    except OSError:
        del connections[address]
        raise


answers = collections.Counter()
for number in range(1, int(count) + 1):
    instance = watch.pick()
    if instance is None:
        sys.exit("nobody serves prices now")
    try:
        price = ask(instance, number, "apple")
    except OSError as error:
        print(f"{instance.instance_id}: {error}", file=sys.stderr)
        continue
    answers[price.instance_id] += 1
for each in sorted(answers):
    print(f"{each} answered {answers[each]}")
registry.close()
