"""The handlers of the official SDKs."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

from serving import Argv

HERE = Path(__file__).parent
BUILD = HERE.parents[1] / "build"
SDK = "aws_durable_execution_sdk_python"

# What stands beside the handlers without being one.
OTHERS = ["sdk.py", "service.py", "switched.py", "worker.py"]


def python(directory: Path, env: dict[str, str]) -> Argv:
    """The Python client's handlers, with their import switched back to the SDK whose
    interface it has."""
    env["VIRTUAL_ENV"] = sys.prefix
    code = directory / "functions"
    code.mkdir()
    for path in (HERE / "python").glob("*.py"):
        if path.name not in OTHERS and not path.name.startswith("test_"):
            source = path.read_text()
            switched = re.sub(r"^(from|import) durabled\b", rf"\1 {SDK}", source, flags=re.M)
            (code / path.name).write_text(switched)
    return [sys.executable, code / "catalog.py"]


def javascript(directory: Path, env: dict[str, str]) -> Argv:
    """Handlers of our own, beside the packages that they need, for the Node.js that npm has."""
    node = BUILD / "node/node_modules/node/bin"
    env["PATH"] = f"{node}{os.pathsep}{env['PATH']}"
    code = directory / "functions"
    shutil.copytree(HERE / "javascript", code)
    (code / "node_modules").symlink_to(BUILD / "javascript/node_modules")
    return [node / "node", code / "catalog.mjs"]
