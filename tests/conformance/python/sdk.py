"""Which SDK the handlers get when they import `durabled`."""

from __future__ import annotations

import importlib
import pkgutil
import sys

OFFICIAL = "aws_durable_execution_sdk_python"


def use(package: str) -> None:
    """From here on `durabled` and the modules below it are those of `package`. What was
    imported from durabled before stays what it is."""
    for name in list(sys.modules):
        if name.partition(".")[0] == "durabled":
            del sys.modules[name]
    root = importlib.import_module(package)
    for module in pkgutil.walk_packages(root.__path__, f"{package}."):
        importlib.import_module(module.name)
    for name, found in list(sys.modules.items()):
        if name.partition(".")[0] == package:
            sys.modules["durabled" + name.removeprefix(package)] = found
