"""What the suite asks of AWS besides Lambda, on loopback: CloudFormation says which functions
there are, CloudWatch Logs what they wrote, and DynamoDB counts. And what an extension asks of
its sandbox."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape


class Stubs:
    """Serves the three on `url`. `lines` gives what the functions wrote, in order."""

    def __init__(self, functions: Iterable[str], lines: Callable[[], list[str]]) -> None:
        self._functions = list(functions)
        self._lines = lines
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        stubs = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                kind, answer = stubs.answer(self.headers.get("X-Amz-Target"), body)
                self.send_response(200 if answer else 400)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, target: str | None, body: bytes) -> tuple[str, bytes]:
        """The content's type, and the content; none of what is not known."""
        if target is None:
            fields = {key: values[0] for key, values in parse_qs(body.decode()).items()}
            return "text/xml", self.cloudformation(fields).encode()
        asked = json.loads(body)
        match target:
            case "Logs_20140328.FilterLogEvents":
                return "application/x-amz-json-1.1", json.dumps(self.logs(asked)).encode()
            case "DynamoDB_20120810.UpdateItem":
                return "application/x-amz-json-1.0", json.dumps(self.count(asked)).encode()
            case _:
                return "text/plain", b""

    def cloudformation(self, fields: dict[str, str]) -> str:
        """A stack whose functions have their logical names."""
        action = fields["Action"]
        if action == "ListStackResources":
            members = "".join(f"<member>{_resource(name)}</member>" for name in self._functions)
            result = f"<StackResourceSummaries>{members}</StackResourceSummaries>"
        elif action == "DescribeStackResource":
            name = fields["LogicalResourceId"]
            result = f"<StackResourceDetail>{_resource(name)}</StackResourceDetail>"
        elif action == "DeleteStack":
            result = ""
        else:
            return ""
        return (
            f'<{action}Response xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/">'
            f"<{action}Result>{result}</{action}Result></{action}Response>"
        )

    def logs(self, asked: dict[str, Any]) -> dict[str, Any]:
        """The JSON lines that name the execution the filter names. A line's time is its place:
        what was written later comes later, whatever the clock's resolution."""
        found = re.search(r'executionArn = "([^"]+)"', asked["filterPattern"])
        assert found, asked
        events = []
        for place, line in enumerate(self._lines()):
            if found[1] not in line:
                continue
            try:
                record = json.loads(line)
            except ValueError:
                continue  # one that no formatter made
            if found[1] in (record.get("durableExecutionArn"), record.get("executionArn")):
                moment = asked["startTime"] + place
                events.append({"timestamp": moment, "ingestionTime": moment, "message": line})
        return {"events": events}

    def count(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Every update is taken for the one there is: add one to the key's attemptCount."""
        with self._lock:
            key = json.dumps([asked["TableName"], asked["Key"]], sort_keys=True)
            self._counts[key] += 1
            return {"Attributes": {"attemptCount": {"N": str(self._counts[key])}}}


class ExtensionsApi:
    """Knows every extension, and has no event for any."""

    def __init__(self) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(200)
                self.send_header("Lambda-Extension-Identifier", "an-id")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def do_GET(self) -> None:
                threading.Event().wait()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()


def _resource(name: str) -> str:
    return "".join(
        f"<{key}>{escape(value)}</{key}>"
        for key, value in {
            "LogicalResourceId": name,
            "PhysicalResourceId": name,
            "ResourceType": "AWS::Lambda::Function",
            "ResourceStatus": "CREATE_COMPLETE",
            "LastUpdatedTimestamp": "2026-01-01T00:00:00Z",
        }.items()
    )
