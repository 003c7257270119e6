"""Signs requests with botocore. `build/venv/bin/python tests/system/sigv4.py` writes what
comes of it as the table of tests/unit/codec/test_sigv4.c; test_signatures.py says whether
that is up to date."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

TABLE = Path(__file__).parents[1] / "unit/codec/sigv4.inc"
HOST = "localhost:4566"
WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
EXECUTIONS = "/2025-12-01/durable-executions/"
ARN = (
    "arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Af%3A%24LATEST"
    "%2Fdurable-execution%2Fjob-1%2F0d1c"
)
INVOKE = "/2015-03-31/functions/order:$LATEST/invocations"


class Case(NamedTuple):
    name: str
    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    access_key: str = "local"
    secret: str = "local"
    token: str | None = None
    region: str = "us-east-1"
    service: str = "lambda"


CASES = [
    Case("an escaped ARN", "GET", EXECUTIONS + ARN),
    Case("an ARN as it is", "POST", INVOKE, body=b'{"order": "1"}'),
    Case(
        "a body of JSON",
        "POST",
        f"{EXECUTIONS}{ARN}/checkpoint",
        (("Content-Type", "application/json"),),
        b'{"CheckpointToken": "a+b/c==", "Updates": []}',
    ),
    Case(
        "a token", "GET", f"{EXECUTIONS}{ARN}/state?CheckpointToken=a%2Bb%2Fc%3D%3D&MaxItems=0"
    ),
    Case("a callback", "POST", "/2025-12-01/durable-execution-callbacks/a%2Bb%2Fc%3D/succeed"),
    Case("a callback as it is", "POST", "/2025-12-01/durable-execution-callbacks/a+b//c=/fail"),
    Case(
        "a name twice",
        "GET",
        "/2025-12-01/functions/f/durable-executions?Statuses=RUNNING&Statuses=FAILED"
        "&MaxItems=5&Statuses=RUNNING",
    ),
    Case("names around the equals sign", "GET", "/a?ab=1&a-b=2&a.b=3&a=4&a0=5&a%2Fb=6&A=7"),
    Case("values around the equals sign", "GET", "/a?a=b&a=-&a=&a=%3D&a=b0"),
    Case("no values", "GET", "/a?Marker=&ReverseOrder&="),
    Case("an empty query", "GET", "/a?"),
    Case("the root", "GET", "/"),
    Case("letters beyond ASCII", "GET", "/a/%C3%A9?name=%C3%A9~%20x"),
    Case("what need not be escaped, and what must", "GET", "/-_.~/!*'(),;@&+="),
    Case("dots and slashes", "GET", "/a/./b//../c/d/.."),
    Case("a slash at the end", "GET", "//a/../b/"),
    Case("above the root", "GET", "/../../"),
    Case("bytes", "POST", INVOKE, body=bytes(range(256))),
    Case("a session's keys", "GET", "/a", access_key="ASIA1", token="IQoJb3Jp+/=="),
    Case("other keys", "GET", "/a", access_key="AKIDEXAMPLE", secret="wJalr/K7MDENG+bPxRf"),
    Case(
        "space in headers",
        "POST",
        INVOKE,
        (
            ("X-Amz-Invocation-Type", "  Event "),
            ("X-Amz-Tenant-Id", "a   b\t c"),
            ("X-Amz-Empty", ""),
        ),
    ),
    Case(
        "headers twice",
        "GET",
        "/a",
        (("X-B", "2"), ("X-A", "z"), ("x-b", " 1  x"), ("X-A", "a"), ("X-A-B", "c")),
    ),
    Case("another region", "GET", "/a", region="eu-central-1"),
    Case("another service", "POST", "/", body=b"Action=X", service="sts"),
    Case("a long query", "GET", "/a?" + "&".join(f"k{i * 7 % 40}=%2F{i}" for i in range(40))),
]


class Signed(NamedTuple):
    headers: list[tuple[str, str]]
    canonical: str
    authorization: str


class Recorder(botocore.auth.SigV4Auth):
    """Keeps what was signed."""

    def canonical_request(self, request: Any) -> Any:
        self.canonical = super().canonical_request(request)
        names = {name for name, _ in self.headers_to_sign(request).items()}
        self.headers = [(k, v) for k, v in request.headers.items() if k.lower() in names]
        return self.canonical


def sign(case: Case, when: datetime = WHEN, host: str = HOST) -> Signed:
    request = AWSRequest(case.method, f"http://{host}{case.target}", data=case.body)
    request.headers["Host"] = host
    for name, value in case.headers:
        request.headers[name] = value
    keys = Credentials(case.access_key, case.secret, case.token)
    signer = Recorder(keys, case.service, case.region)
    with mock.patch.object(botocore.auth, "get_current_datetime", return_value=when):
        signer.add_auth(request)
    return Signed(signer.headers, signer.canonical, request.headers["Authorization"])


def literal(data: str | bytes) -> str:
    """A literal of C. Bytes that are not plain have three octal digits: what follows can't
    be read as one more."""
    data = data.encode() if isinstance(data, str) else data
    plain = (chr(b) if 0x20 <= b < 0x7F and b not in b'"\\?' else f"\\{b:03o}" for b in data)
    return '"' + "".join(plain) + '"'


def row(case: Case) -> str:
    signed = sign(case)
    headers = "".join(
        f"         {{DD_SPAN({literal(name)}), DD_SPAN({literal(value)})}},\n"
        for name, value in signed.headers
    )
    return (
        f"    {{{literal(case.name)}, {literal(case.method)}, {literal(case.target)},\n"
        f"     {len(signed.headers)},\n     {{\n{headers}     }},\n"
        f"     DD_SPAN({literal(case.body)}),\n"
        f"     {literal(case.access_key)}, {literal(case.secret)},\n"
        f"     {literal(case.region)}, {literal(case.service)},\n"
        f"     {literal(signed.canonical)},\n"
        f"     {literal(signed.authorization)}}},\n"
    )


def table() -> str:
    head = "/* Made by tests/system/sigv4.py with botocore. */\n"
    return head + "".join(row(case) for case in CASES)


if __name__ == "__main__":
    TABLE.write_text(table())
