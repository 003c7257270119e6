"""`durabled dev` beside the web runner of the official testing package: the rate and the time
of checkpoint calls, and memory with executions open.

    local_cloud.py DURABLED [RUNS [DIRECTORY]]

DURABLED is the daemon's program; DIRECTORY is where its data goes (a temporary one). Both
services take turns in each run: an execution alone, then some at once, each of whose
checkpoints starts and completes one step. The daemon commits each to its disk, the web
runner keeps them in memory. The functions are this file's too, the same for both: hosted
by the daemon through the Lambda Runtime API, and behind an Invoke endpoint for the web
runner. What they cost is in neither's memory, and in both times.

Prints medians with the smallest and the largest; read the ratios.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

FILE = Path(__file__).resolve()
CALLS = 600
AT_ONCE = 4  # the web runner invokes few more at once on two cores
OPEN = 1_000
PATIENCE_S = 120
PAYLOAD = json.dumps("x" * 100)
EXECUTIONS = "/2025-12-01/durable-executions/"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


class Wire:
    """Requests to one service over a connection that is kept while the service keeps it:
    little more than the system calls, since its time is part of what is measured."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._address = (str(parts.hostname), int(parts.port or 80))
        self._socket: socket.socket | None = None

    def ask(self, method: str, path: str, body: bytes = b"", headers: str = "") -> Answer:
        if self._socket is None:
            self._socket = socket.create_connection(self._address)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self._address[0]}\r\n{headers}"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._socket.sendall(head.encode() + body)
        data = b""
        while (end := data.find(b"\r\n\r\n")) < 0:
            if not (more := self._socket.recv(65536)):
                raise ConnectionError("the service hung up")
            data += more
        lines = data[:end].decode().split("\r\n")
        pairs = (line.split(": ", 1) for line in lines[1:])
        fields = {name.lower(): value for name, value in pairs}
        version, status, *_ = lines[0].split()
        # An answer without a length ends with its connection.
        size = end + 4 + int(fields.get("content-length", 1 << 30))
        while len(data) < size and (more := self._socket.recv(65536)):
            data += more
        if version == "HTTP/1.0" or fields.get("connection") == "close":
            self._socket.close()
            self._socket = None
        return Answer(int(status), fields, data[end + 4 :])


# --- the function ---------------------------------------------------------------------------


def checkpoint(wire: Wire, path: str, token: str, updates: list[dict[str, Any]]) -> str:
    """The next token."""
    body = json.dumps({"CheckpointToken": token, "Updates": updates}).encode()
    answer = wire.ask("POST", path, body)
    if answer.status != 200:
        raise RuntimeError(f"{answer.status}: {answer.body.decode()}")
    return str(json.loads(answer.body)["CheckpointToken"])


def step(number: int) -> list[dict[str, Any]]:
    same = {"Id": f"step-{number}", "Name": "step", "Type": "STEP", "SubType": "Step"}
    return [
        {**same, "Action": "START"},
        {**same, "Action": "SUCCEED", "Payload": PAYLOAD},
    ]


def function(url: str, envelope: dict[str, Any]) -> dict[str, Any]:
    """What each execution does: as its input says, many steps, or one and a long wait."""
    first = envelope["InitialExecutionState"]["Operations"][0]
    event = json.loads(first["ExecutionDetails"]["InputPayload"])
    path = f"{EXECUTIONS}{quote(envelope['DurableExecutionArn'], safe='')}/checkpoint"
    token = envelope["CheckpointToken"]
    wire = Wire(url)
    if "open" in event:
        wait = {"Id": "wait", "Type": "WAIT", "SubType": "Wait", "Action": "START"}
        checkpoint(
            wire, path, token, [*step(0), {**wait, "WaitOptions": {"WaitSeconds": 86_400}}]
        )
        with Path(event["open"]).open("ab") as notes:
            notes.write(b".")
        return {"Status": "PENDING"}
    time.sleep(max(0.0, event["at"] - time.time()))
    times = [time.time()]
    for number in range(event["calls"]):
        token = checkpoint(wire, path, token, step(number))
        times.append(time.time())
    return {"Status": "SUCCEEDED", "Result": json.dumps(times)}


def hosted() -> None:
    """A process of the daemon's: asks the Runtime API for invocations."""
    api = Wire(f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}")
    url = os.environ["AWS_ENDPOINT_URL_LAMBDA"]
    base = "/2018-06-01/runtime/invocation/"
    while True:
        given = api.ask("GET", f"{base}next")
        answer = json.dumps(function(url, json.loads(given.body))).encode()
        id_ = given.headers["lambda-runtime-aws-request-id"]
        api.ask("POST", f"{base}{id_}/response", answer)


def endpoint(url: str, port: int) -> None:
    """What the web runner invokes: some processes, as the daemon has, on one port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            envelope = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = json.dumps(function(url, envelope)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    for _ in range(AT_ONCE - 1):
        if os.fork() == 0:
            break
    server.serve_forever()


# --- the services ---------------------------------------------------------------------------


def wait_for(check: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (found := check()):
        if time.monotonic() > deadline:
            raise TimeoutError("the service is not where it should be")
        time.sleep(0.1)
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Service(ABC):
    """One of the two, on a port of its own, with its processes."""

    name: str

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.url = f"http://127.0.0.1:{free_port()}"
        self.port = str(urlsplit(self.url).port)
        self.wire = Wire(self.url)
        self.processes: list[subprocess.Popen[bytes]] = []
        self.launch()
        wait_for(self._listens)

    @abstractmethod
    def launch(self) -> None:
        """Starts the service, as the first process, and what it needs."""

    @abstractmethod
    def start(self, event: dict[str, Any]) -> str:
        """Starts an execution, and gives its ARN."""

    def run(self, *argv: str | Path, **env: str) -> None:
        with (self.directory / "log").open("ab") as log:
            self.processes.append(
                subprocess.Popen(
                    argv,
                    stdout=log,
                    stderr=log,
                    cwd=self.directory,
                    env={
                        **os.environ,
                        "AWS_ACCESS_KEY_ID": "local",
                        "AWS_SECRET_ACCESS_KEY": "local",
                        "AWS_REGION": "us-east-1",
                        **env,
                    },
                    start_new_session=True,
                )
            )

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", int(self.port))).close()
        except ConnectionRefusedError:
            return False
        return True

    def result(self, arn: str) -> list[float]:
        """What an execution returned, when it has ended."""

        def ended() -> dict[str, Any] | None:
            answer = self.wire.ask("GET", EXECUTIONS + quote(arn, safe=""))
            execution: dict[str, Any] = json.loads(answer.body)
            return execution if execution["Status"] != "RUNNING" else None

        execution = wait_for(ended)
        assert execution["Status"] == "SUCCEEDED", execution
        return list(json.loads(execution["Result"]))

    def memory(self) -> float:
        """RssAnon of the service, in MiB."""
        status = Path(f"/proc/{self.processes[0].pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("RssAnon"))
        return int(line.split()[1]) / 1024

    def cpu_s(self) -> float:
        """User and system time of the service so far."""
        stat = Path(f"/proc/{self.processes[0].pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        for process in reversed(self.processes):
            os.killpg(process.pid, 9)
            process.wait()


class Durabled(Service):
    name = "durabled dev"
    program: Path

    def launch(self) -> None:
        options = ["--data", "data", "--socket", "d.sock", "--http", f"127.0.0.1:{self.port}"]
        command = [sys.executable, FILE, "--hosted"]
        self.run(self.program, "dev", *options, "--function", "bench", "--", *command)

    def start(self, event: dict[str, Any]) -> str:
        answer = self.wire.ask(
            "POST",
            "/2015-03-31/functions/bench/invocations?Qualifier=%24LATEST",
            json.dumps(event).encode(),
            "X-Amz-Invocation-Type: Event\r\n",
        )
        return answer.headers["x-amz-durable-execution-arn"]


class WebRunner(Service):
    name = "web runner"

    def launch(self) -> None:
        function_port = str(free_port())
        self.run(
            Path(sys.executable).parent / "dex-local-runner",
            *("start-server", "--host", "127.0.0.1", "--port", self.port),
            *("--lambda-endpoint", f"http://127.0.0.1:{function_port}"),
            *("--local-runner-endpoint", self.url, "--store-type", "memory"),
            *("--log-level", "ERROR"),
        )
        self.run(sys.executable, FILE, "--endpoint", self.url, function_port)

    def start(self, event: dict[str, Any]) -> str:
        request = {
            "AccountId": "000000000000",
            "FunctionName": "bench",
            "FunctionQualifier": "$LATEST",
            "ExecutionName": os.urandom(8).hex(),
            "ExecutionTimeoutSeconds": 172_800,
            "ExecutionRetentionPeriodDays": 1,
            "Input": json.dumps(event),
        }
        answer = self.wire.ask("POST", "/start-durable-execution", json.dumps(request).encode())
        return str(json.loads(answer.body)["ExecutionArn"])


# --- the measurements -----------------------------------------------------------------------


@dataclass(frozen=True)
class Calls:
    rate: float
    """A second."""
    half_ms: float
    """Half of them take no more."""
    cpu_us: float
    """The service's for each."""


@dataclass
class Figures:
    """One of each for every run."""

    sync_ms: list[float] = field(default_factory=list)
    alone_ms: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)
    at_once_ms: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    idle_mib: list[float] = field(default_factory=list)
    open_mib: list[float] = field(default_factory=list)


def calls(service: Service, at_once: int) -> Calls:
    # Time enough for every process to be there.
    event = {"calls": CALLS, "at": time.time() + 3}
    arns = [service.start(event) for _ in range(at_once)]
    time.sleep(max(0.0, event["at"] - time.time() - 0.1))
    before_s = service.cpu_s()
    runs = [service.result(arn) for arn in arns]
    cpu_s = service.cpu_s() - before_s
    taken = [1e3 * (b - a) for run in runs for a, b in pairwise(run)]
    # The rate is of the time in which all of them ran.
    begin, end = max(run[0] for run in runs), min(run[-1] for run in runs)
    done = sum(begin < moment <= end for run in runs for moment in run[1:])
    return Calls(done / (end - begin), statistics.median(taken), 1e6 * cpu_s / len(taken))


def sync_ms(directory: Path) -> float:
    """What a commit to this disk costs at least: half of 200 writes of a page take no more."""
    taken = []
    with (directory / "page").open("wb", buffering=0) as file:
        for _ in range(200):
            file.write(b"x" * 4096)
            before = time.perf_counter()
            os.fdatasync(file.fileno())
            taken.append(1e3 * (time.perf_counter() - before))
    return statistics.median(taken)


def hold_open(service: Service) -> None:
    notes = service.directory / "notes"
    for _ in range(OPEN):
        service.start({"open": str(notes)})
    wait_for(lambda: notes.exists() and notes.stat().st_size == OPEN)
    time.sleep(2)  # for what follows the last answers


def measure(kind: type[Service], figures: Figures, directory: Path) -> None:
    directory.mkdir()
    service = kind(directory)
    try:
        figures.idle_mib.append(service.memory())
        calls(service, AT_ONCE)  # the processes start
        figures.sync_ms.append(sync_ms(directory))
        figures.alone_ms.append(calls(service, 1).half_ms)
        found = calls(service, AT_ONCE)
        figures.rate.append(found.rate)
        figures.at_once_ms.append(found.half_ms)
        figures.cpu_us.append(found.cpu_us)
    finally:
        service.close()
    # Memory with those alone that are open.
    (directory / "open").mkdir()
    service = kind(directory / "open")
    try:
        hold_open(service)
        figures.open_mib.append(service.memory())
    finally:
        service.close()


def spread(values: list[float]) -> str:
    digits = 0 if min(values) >= 100 else 2
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:,.{digits}f} ({low:,.{digits}f} to {high:,.{digits}f})"


def report(ours: Figures, theirs: Figures) -> None:
    rows = [
        ("checkpoint calls a second, 4 executions at once", ours.rate, theirs.rate),
        ("checkpoint call, p50, 4 executions at once, ms", ours.at_once_ms, theirs.at_once_ms),
        ("checkpoint call, p50, one execution alone, ms", ours.alone_ms, theirs.alone_ms),
        ("service's CPU a call, us", ours.cpu_us, theirs.cpu_us),
        ("RssAnon, idle, MiB", ours.idle_mib, theirs.idle_mib),
        ("RssAnon, 1,000 executions open, MiB", ours.open_mib, theirs.open_mib),
    ]
    print(f"{'':48} {Durabled.name:28} {WebRunner.name:28} ratio")
    for name, our, their in rows:
        ratios = [a / b for a, b in zip(our, their, strict=True)]
        print(f"{name:48} {spread(our):28} {spread(their):28} {spread(ratios)}")
    print(
        f"the disk alone: fdatasync of a page, p50, ms: {spread(ours.sync_ms + theirs.sync_ms)}"
    )


def main() -> None:
    if sys.argv[1] == "--hosted":
        hosted()
    elif sys.argv[1] == "--endpoint":
        endpoint(sys.argv[2], int(sys.argv[3]))
    else:
        Durabled.program = Path(sys.argv[1]).resolve()
        runs = int(sys.argv[2]) if len(sys.argv) > 2 else 3
        ours, theirs = Figures(), Figures()
        with tempfile.TemporaryDirectory(dir=sys.argv[3] if len(sys.argv) > 3 else None) as top:
            for run in range(runs):
                measure(Durabled, ours, Path(top).resolve() / f"ours-{run}")
                measure(WebRunner, theirs, Path(top).resolve() / f"theirs-{run}")
        report(ours, theirs)


if __name__ == "__main__":
    main()
