"""python3 server.py [id]: answers prices, and registers itself so that callers find it."""
import os
import signal
import socketserver
import sys
import threading

from prices_wire import prices, receive, send
from taskd_registry import Registry, servers_from

instance_id = sys.argv[1] if len(sys.argv) > 1 else f"py-{os.getpid()}"
CENTS = {"apple": 50, "pear": 70}


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        while (ask := receive(self.rfile, prices.Ask)) is not None:
            price = prices.Price(id=ask.id, cents=CENTS.get(ask.sku, 0), instance_id=instance_id)
            if ask.sku not in CENTS:
                price.problem = f"no {ask.sku} here"
            send(self.request, price)


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # a caller that is gone is no reason to say anything


server = Server(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
registry = Registry(servers_from(os.environ.get("TASKD_SERVER", "127.0.0.1:7400")))
registration = registry.register("prices", instance_id, server.server_address, metadata={"language": "python"})
registration.registered.wait()
if registration.error is not None:
    sys.exit(f"refused: {registration.error}")
print(f"serving {instance_id} at {server.server_address[1]}", flush=True)

# First out of the list, so that nobody is sent here any more; then the door is closed.
stop = threading.Event()
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda *_: stop.set())
stop.wait()
registry.close()
server.shutdown()
