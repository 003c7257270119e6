"""The sample's inventory service: takes two seconds to reserve anything.

Prints a line for each request it takes. Reserving the same order again gives the same
reservation, as a service must that is called by steps that may run twice.
"""

from __future__ import annotations

import argparse
import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SECONDS = 2


class Inventory(BaseHTTPRequestHandler):
    def do_PUT(self) -> None:
        order = self.path.rpartition("/")[2]
        print(f"request {order}", flush=True)
        time.sleep(SECONDS)
        body = json.dumps({"order": order, "reserved": True}).encode()
        try:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            print(f"gone {order}", flush=True)

    def log_message(self, format: str, *args: object) -> None:
        """The requests are printed above."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="default: any that is free")
    parser.add_argument("--port-file", type=Path, help="where to write the port")
    options = parser.parse_args()
    server = ThreadingHTTPServer(("127.0.0.1", options.port), Inventory)
    port = server.server_address[1]
    if options.port_file:
        # Whole or not at all: somebody waits for it.
        made = options.port_file.with_suffix(".new")
        made.write_text(f"{port}\n")
        made.rename(options.port_file)
    print(f"listening on http://127.0.0.1:{port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
