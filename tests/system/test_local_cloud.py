"""The page of the local cloud, as a newcomer follows it: its blocks of commands, in order."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from conftest import BIN, HERE, PATIENCE_S, World, wait_for

PAGE = HERE.parents[1] / "deploy/local-cloud"


def blocks() -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```$", (PAGE / "README.md").read_text(), re.M | re.S)


class Terminal:
    """A shell that stays; each block is one input, as it stands on the page."""

    def __init__(self, directory: Path, env: dict[str, str], log: Path) -> None:
        self.log = log
        with log.open("wb") as sink:
            self.shell = subprocess.Popen(
                ["bash", "-eu"],
                stdin=subprocess.PIPE,
                stdout=sink,
                stderr=sink,
                cwd=directory,
                env=env,
                start_new_session=True,
            )
        self.entered = 0

    def enter(self, block: str) -> str:
        """What the shell prints for it, once it is through."""
        before = len(self.output())
        self.entered += 1
        end = f"block {self.entered} is through"
        assert self.shell.stdin
        self.shell.stdin.write(f"{block}\necho '{end}'\n".encode())
        self.shell.stdin.flush()
        wait_for(end, lambda: end in self.output() or self.shell.poll() is not None)
        said = self.output()[before:]
        assert self.shell.poll() is None, said
        return said

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def close(self) -> None:
        os.killpg(self.shell.pid, 9)
        self.shell.wait()


def newcomer(world: World) -> dict[str, str]:
    """The environment of one who has set up what the page says, and nothing else."""
    env = {
        **world.env,
        "PATH": f"{BIN}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "VIRTUAL_ENV": sys.prefix,
        "HOME": str(world.dir),
        "AWS_PAGER": "",
    }
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_ENDPOINT_URL_LAMBDA", "AWS_REGION"):
        env.pop(name, None)
    env["DURABLED_HTTP"] = "127.0.0.1:0"
    return env


def copy_page(world: World) -> Path:
    directory = world.dir / "local-cloud"
    shutil.copytree(PAGE, directory, ignore=shutil.ignore_patterns("venv", ".durabled"))
    return directory


def test_the_page(world: World) -> None:
    directory, env = copy_page(world), newcomer(world)
    set_up, *rest = blocks()
    # The set-up is that of the tests: the same packages are there.
    for package in ("awslambdaric", "awscli", "aws-durable-execution-sdk-python"):
        assert package in set_up + (PAGE / "src/requirements.txt").read_text()
        assert version(package)
    start, point, *steps = rest
    cloud = Terminal(directory, env, world.dir / "cloud.log")
    user = Terminal(directory, env, world.dir / "user.log")
    try:
        cloud.enter(start)
        wait_for("the cloud", lambda: "Try next" in cloud.output())
        user.enter(point)
        invoke, look, approve, see = steps
        assert '"StatusCode": 202' in user.enter(invoke)

        def waits() -> bool:
            show = subprocess.run(
                [BIN / "durablectl", "show", "refund-1001"],
                env=env,
                capture_output=True,
                text=True,
                timeout=PATIENCE_S,
                check=False,
            )
            return "callback succeed" in show.stdout

        wait_for("the callback", waits)
        assert "CallbackStarted" in user.enter(look)
        user.enter(approve)
        said = user.enter(see)
    finally:
        cloud.close()
        user.close()
    assert "paying back" in said
    assert "SUCCEEDED" in said
    assert '"120 paid back for 1001"' in said


def test_the_lines_that_dev_prints(world: World) -> None:
    directory, env = copy_page(world), newcomer(world)
    cloud = Terminal(directory, env, world.dir / "cloud.log")
    user = Terminal(directory, env, world.dir / "user.log")
    try:
        cloud.enter("durabled dev &")
        printed = wait_for(
            "its lines",
            lambda: re.search(r"^Try next.*\n((?:  .*\n)+)\n", cloud.output(), re.M),
        )
        lines = printed[1].splitlines()
        assert len(lines) == 3
        said = [user.enter(line) for line in lines]
    finally:
        cloud.close()
        user.close()
    assert '"StatusCode": 202' in said[1]
    assert "refund" in said[2]
