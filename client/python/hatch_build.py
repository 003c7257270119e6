"""Puts the daemon and durablectl into the wheel when deploy/wheel/build.sh makes it.

Without DURABLED_WHEEL_BIN in the environment the wheel is the pure Python client.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Programs(BuildHookInterface):
    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        programs = os.environ.get("DURABLED_WHEEL_BIN")
        if not programs or version == "editable":
            return
        for name in ("durabled", "durablectl"):
            build_data["shared_scripts"][str(Path(programs, name))] = name
        # The licences of what is linked into them.
        for licence in sorted(Path(os.environ["DURABLED_WHEEL_LICENCES"]).iterdir()):
            build_data["extra_metadata"][str(licence)] = f"licences/{licence.name}"
        build_data["pure_python"] = False
        build_data["tag"] = os.environ["DURABLED_WHEEL_TAG"]
