"""The suite's own command line, told that logs are there as soon as they are written (it
waits 20 seconds for each, as CloudWatch needs), and where else requirements are:

    suite.py REQUIREMENTS OPTION...
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from aws_durable_execution_conformance_tests import app
from aws_durable_execution_conformance_tests.cloudwatch import CloudWatchLogRetriever

events_of = CloudWatchLogRetriever.get_execution_log_events


def events_now(self: CloudWatchLogRetriever, *args: Any, **options: Any) -> list[Any]:
    return events_of(self, *args, **{**options, "wait_seconds": 0})


CloudWatchLogRetriever.get_execution_log_events = events_now
CloudWatchLogRetriever.EVENT_POLL_TIMEOUT_SECONDS = 0
app.TESTS_DIR = Path(sys.argv[1])
app.run(sys.argv[2:])
