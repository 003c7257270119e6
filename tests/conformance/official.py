"""The handlers of the official SDKs."""

from __future__ import annotations

import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
SDK = "aws_durable_execution_sdk_python"

# What stands beside the handlers without being one.
OTHERS = ["conftest.py", "sdk.py", "service.py", "switched.py", "worker.py"]


def python(directory: Path) -> list[str | Path]:
    """The Python client's handlers, with their import switched back to the SDK whose
    interface it has."""
    code = directory / "functions"
    code.mkdir()
    for path in (HERE / "python").glob("*.py"):
        if path.name not in OTHERS and not path.name.startswith("test_"):
            source = path.read_text()
            switched = re.sub(r"^(from|import) durabled\b", rf"\1 {SDK}", source, flags=re.M)
            (code / path.name).write_text(switched)
    return [sys.executable, code / "catalog.py"]
