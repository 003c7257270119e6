"""A sandbox of Lambda's, as AWS's own Runtime Interface Emulator makes it: the Extensions API
and the Runtime API, a real /opt/extensions, the runtime, the Timeout, resets."""

from __future__ import annotations

import os
import platform
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from lambda_sandbox import LOCAL, Between, lines
from test_hosting import Host

from conftest import BIN, HERE, World, wait_for

ARCHITECTURE = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
PROGRAM = HERE.parents[1] / f"build/emulator/samcli/local/rapid/aws-lambda-rie-{ARCHITECTURE}"
BRIDGE = [sys.executable, str(HERE / "lambda/bridge.py")]

# Its own /opt, and a /proc for process ids of its own: all of a sandbox ends with it.
NAMESPACES = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
if os.geteuid() != 0:
    NAMESPACES.append("--map-root-user")
SET_UP = (
    "mount -t tmpfs tmpfs /opt && mkdir /opt/extensions && "
    'cp -P "$0" /opt/extensions/durabled && exec "$@"'
)


def free_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


def try_namespaces() -> None:
    """Skips the test where the emulator cannot have a /opt of its own."""
    probe = [*NAMESPACES, "mount", "-t", "tmpfs", "tmpfs", "/opt"]
    tried = subprocess.run(probe, capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        pytest.skip(f"may not mount here: {tried.stderr.strip()}")


class Emulator(Host):
    """A function whose sandbox is the emulator's; its invocations, and the service behind the
    extension, are of `durabled dev`. Both are reached by other addresses than theirs: a
    bridge carries the invocations, and what is between may change the requests."""

    def __init__(
        self,
        world: World,
        handler: str,
        *,
        timeout_s: int = 300,
        durable: bool = True,
        extension: Path = BIN / "durabled",
        **env: str,
    ) -> None:
        assert PROGRAM.exists(), "`bash tests/run.sh lambda` gets the emulator"
        try_namespaces()
        address = free_address()
        kind = "--function" if durable else "--plain-function"
        function = [kind, "f", "--", *BRIDGE, address]
        super().__init__(world, *function, options=("--require-signature",))
        self.between = Between(self.url)
        options = ["--runtime-interface-emulator-address", address]
        options += ["--runtime-api-address", free_address()]
        runtime = [sys.executable, "-m", "awslambdaric", handler]
        self.process = world.spawn(
            [*NAMESPACES, "sh", "-c", SET_UP, str(extension), str(PROGRAM), *options, *runtime],
            "emulator.log",
            **LOCAL,
            AWS_REGION="us-east-1",
            AWS_ENDPOINT_URL_LAMBDA=self.between.url,
            AWS_LAMBDA_FUNCTION_TIMEOUT=str(timeout_s),
            DURABLED_SOCKET=str(world.dir / "extension.sock"),
            DURABLED_LOG_LEVEL=env.pop("DURABLED_LOG_LEVEL", "DEBUG"),
            **env,
        )
        wait_for("the emulator", lambda: listens(address))

    def run(self, payload: Any) -> tuple[bool, Any]:
        return self.call(payload, "f:$LATEST")

    def said(self, text: str) -> list[str]:
        """The emulator's own lines with `text`."""
        return [line for line in self.process.output().splitlines() if text in line]

    def logged(self, code: str) -> list[dict[str, Any]]:
        """The extension's lines."""
        return [line for line in lines(self.process) if line.get("code") == code]

    def shut_down(self) -> int:
        """As the sandbox that is used no more."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        os.kill(int(children.read_text()), signal.SIGTERM)
        return self.process.popen.wait(30)


def listens(address: str) -> bool:
    host, port = address.split(":")
    try:
        socket.create_connection((host, int(port))).close()
    except ConnectionRefusedError:
        return False
    return True
