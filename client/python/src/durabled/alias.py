"""The official SDK's name for this package.

    from durabled import alias; alias.install()

makes `import aws_durable_execution_sdk_python`, and any of its modules, import this
package: for code that cannot be changed, such as plugins of others.
"""

from __future__ import annotations

import importlib
import sys

OFFICIAL = "aws_durable_execution_sdk_python"
MODULES = (
    "__about__",
    "concurrency",
    "concurrency.models",
    "config",
    "constants",
    "context",
    "exceptions",
    "execution",
    "filesystem_serdes",
    "identifier",
    "lambda_service",
    "logger",
    "plugin",
    "plugin_discovery",
    "preview",
    "retries",
    "serdes",
    "types",
    "waits",
)


def install() -> None:
    """Before the official name is imported; refused when the SDK itself was."""
    package = sys.modules[__name__.partition(".")[0]]
    if sys.modules.get(OFFICIAL, package) is not package:
        raise ImportError(f"{OFFICIAL} is imported already, and is not {package.__name__}")
    sys.modules[OFFICIAL] = package
    for name in MODULES:
        module = importlib.import_module(f"{package.__name__}.{name}")
        sys.modules[f"{OFFICIAL}.{name}"] = module
