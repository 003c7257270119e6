"""The layer's zip, laid below /opt as Lambda does it: what is in it, and that it runs with
nothing else there. DURABLED_LAYER names the zip, for any architecture that qemu-user has.

With the system tests' surroundings: `pytest -p conftest`, tests/system being on PYTHONPATH.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shlex
import shutil
import ssl
import stat
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
from lambda_sandbox import LOCAL, ExtensionsApi, Server, lines, reply
from peer import Peer

from conftest import Mount, Process, World, wait_for

ZIP = Path(os.environ["DURABLED_LAYER"])
TOP = Path(__file__).parents[2]
ARCH = ZIP.stem.removeprefix("durabled-layer-")
MACHINE = {"x86_64": "x86_64", "arm64": "aarch64"}[ARCH]
EMULATOR = [] if platform.machine() == MACHINE else [f"qemu-{MACHINE}-static"]
PEM = re.compile(rb"-----BEGIN CERTIFICATE-----\n.*?-----END CERTIFICATE-----\n", re.DOTALL)


def unpack(into: Path) -> Path:
    """The modes and the links of the zip, too."""
    with zipfile.ZipFile(ZIP) as archive:
        for entry in archive.infolist():
            path, mode = into / entry.filename, entry.external_attr >> 16
            path.parent.mkdir(parents=True, exist_ok=True)
            if stat.S_ISLNK(mode):
                path.symlink_to(archive.read(entry).decode())
            else:
                path.write_bytes(archive.read(entry))
                path.chmod(stat.S_IMODE(mode))
    return into


@pytest.fixture
def opt(world: World) -> Path:
    return unpack(world.dir / "root/opt")


def test_what_is_in_it(opt: Path) -> None:
    with zipfile.ZipFile(ZIP) as archive:
        names = archive.namelist()
    assert names == sorted(names, key=lambda name: Path(name).parts)
    links = {path.relative_to(opt): path for path in opt.rglob("*") if path.is_symlink()}
    assert sorted(map(str, links)) == ["bin/durablectl", "bootstrap", "durabled-wrap"]
    program = opt / "extensions/durabled"
    assert {path.resolve() for path in links.values()} == {program.resolve()}
    executable = [
        path for path in opt.rglob("*") if path.is_file() and os.access(path, os.X_OK)
    ]
    assert {path.resolve() for path in executable} == {program.resolve()}
    assert os.listdir(opt / "extensions") == ["durabled"]  # Lambda starts all that is there
    assert sorted(os.listdir(opt / "python")) == ["durabled", "msgpack"]
    assert {path.suffix for path in (opt / "python").rglob("*.*")} == {".py", ".typed"}


def test_the_licence_of_each_source_is_in_it(opt: Path) -> None:
    rows = (TOP / "deploy/static/sources.txt").read_text().splitlines()
    sources = {row.split()[0] for row in rows if row and not row.startswith("#")}
    licences = list((opt / "licenses").iterdir())
    assert {licence.stem for licence in licences} == sources | {"durabled", "musl"}
    assert all(licence.stat().st_size > 500 for licence in licences)


def test_it_is_small() -> None:
    """Lambda takes 50 MB; larger by a tenth, and something came in that nobody meant."""
    assert ZIP.stat().st_size < 2_000_000


def test_the_same_bytes_from_another_place(world: World) -> None:
    """With other times and another umask, too."""
    other = world.dir / "other"
    for part in ("deploy/layer", "client/python/src", f"build/static/{ARCH}/licences"):
        shutil.copytree(TOP / part, other / part, copy_function=shutil.copyfile)
    for part in (f"build/static/{ARCH}/python_msgpack", f"build/static-{ARCH}/bin"):
        shutil.copytree(TOP / part, other / part, symlinks=True, copy_function=shutil.copy)
    command = f"umask 077 && bash deploy/layer/build.sh {ARCH}"
    subprocess.run(["bash", "-c", command], cwd=other, check=True, capture_output=True)
    assert (other / "build/dist" / ZIP.name).read_bytes() == ZIP.read_bytes()


def test_an_order_with_nothing_but_the_layer(world: World, opt: Path) -> None:
    """Its daemon, its durablectl, and its client, which decodes without C."""

    def ctl(*arguments: str) -> str:
        done = subprocess.run(
            [*EMULATOR, str(opt / "bin/durablectl"), *arguments],
            env=world.env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.stdout + done.stderr

    daemon = world.spawn(
        [*EMULATOR, str(opt / "extensions/durabled"), "serve", "--data", str(world.data)],
        "daemon.log",
    )
    (world.dir / "app.py").write_text(
        "import durabled, msgpack\n"
        f"assert durabled.__file__.startswith({str(opt)!r}), durabled.__file__\n"
        f"assert msgpack.__file__.startswith({str(opt)!r}), msgpack.__file__\n"
        "assert msgpack.Packer.__module__ == 'msgpack.fallback'\n"
        "@durabled.durable_execution\n"
        "def handler(event, context):\n"
        "    return context.step(lambda _: 'stock for ' + event['order'], name='reserve')\n"
    )
    wait_for("the socket", world.socket.exists)
    world.spawn(
        ["/usr/bin/python3", "-m", "durabled", "worker", "app:handler", "--name", "order"],
        "worker.log",
        world.dir,
        PYTHONPATH=str(opt / "python"),
        PYTHONDONTWRITEBYTECODE="1",
    )
    wait_for("the worker", lambda: "\norder " in ctl("functions"))
    done = ctl("start", "order", "--payload", '{"order": "7"}', "--wait")
    assert done.endswith('\n"stock for 7"\n')
    assert daemon.terminate() == 0


def test_it_registers_from_opt(world: World, opt: Path) -> None:
    mount = world.mount = Mount(["mount", "--bind", str(opt), "/opt"])
    api = ExtensionsApi()
    extension = world.spawn(
        [*mount.within, *EMULATOR, "/opt/extensions/durabled"],
        "extension.log",
        AWS_LAMBDA_RUNTIME_API=api.address,
    )
    wait_for("next", lambda: api.asked == 1)
    assert api.registered == [("durabled", ["INVOKE", "SHUTDOWN"])]
    api.shut_down()
    assert extension.popen.wait(10) == 0
    assert extension.output() == ""


# --- whom it trusts, in a root with nothing but the program --------------------------------


class Authority:
    """One of our own, and a server that it vouches for."""

    def __init__(self, world: World, key: str = "ec -pkeyopt ec_paramgen_curve:P-256",
                 host: str = "127.0.0.1") -> None:  # fmt: skip
        self.pem, signed = world.dir / "ca.pem", world.dir / "server.pem"
        own, servers = world.dir / "ca.key", world.dir / "server.key"
        new = f"openssl req -x509 -nodes -days 2 -newkey {key}"
        for command in (
            f"{new} -subj /CN=ours -keyout {own} -out {self.pem}",
            f"{new} -subj /CN=server -addext subjectAltName=IP:{host} -CA {self.pem} "
            f"-CAkey {own} -addext basicConstraints=critical,CA:FALSE "
            f"-keyout {servers} -out {signed}",
        ):
            subprocess.run(shlex.split(command), check=True, capture_output=True)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(signed, servers)


class Service(Server):
    """Behind TLS, it refuses whatever reaches it."""

    def __init__(self, authority: Authority) -> None:
        self.reached = 0
        super().__init__()
        self.server.socket = authority.context.wrap_socket(
            self.server.socket, server_side=True, do_handshake_on_connect=False
        )

    def answer(self, request: Any, body: bytes) -> None:
        self.reached += 1
        error = {"message": f"by {request.connection.version()}"}
        reply(
            request, 403, json.dumps(error).encode(), x_amzn_errortype="AccessDeniedException"
        )


class Sandbox:
    """The extension in its own root, and a handler that it has to ask AWS for."""

    def __init__(self, world: World, opt: Path, service: Service, **env: str) -> None:
        self.world, self.root = world, opt.parent
        (self.root / "tmp").mkdir()
        for program in EMULATOR:
            shutil.copy(str(shutil.which(program)), self.root)
        self.api = ExtensionsApi()
        self.extension: Process = world.spawn(
            [
                "chroot",
                str(self.root),
                *(f"/{program}" for program in EMULATOR),
                "/opt/extensions/durabled",
            ],
            "extension.log",
            AWS_LAMBDA_RUNTIME_API=self.api.address,
            AWS_ENDPOINT_URL_LAMBDA=f"https://{service.address}",
            DURABLED_SOCKET="/tmp/durabled.sock",
            DURABLED_LOG_LEVEL="DEBUG",
            NO_PROXY="127.0.0.1",
            **{"SSL_CERT_FILE": "", **LOCAL, **env},
        )
        wait_for("next", lambda: self.api.asked == 1)

    def attach(self) -> str:
        """What is said of the first call of AWS's API."""
        self.world.socket = self.root / "tmp/durabled.sock"
        arn = "arn:aws:lambda:us-east-1:1:function:f:1/durable-execution/n/i"
        execution = {"Id": "i", "Type": "EXECUTION", "Status": "STARTED"}
        state = {"Operations": [execution], "NextMarker": "more"}
        event = {
            "DurableExecutionArn": arn,
            "CheckpointToken": "t",
            "InitialExecutionState": state,
        }
        begin = {"event": json.dumps(event), "profile": "python"}
        peer = Peer(self.world).hello()
        peer.post("session.begin", begin)

        def said() -> list[str]:
            wanted = ("API_RETRIED", "API_FAILED")
            return [line["error"] for line in lines(self.extension) if line["code"] in wanted]

        return str(wait_for("the call", said)[0])


@pytest.mark.parametrize("key", ["rsa:2048", "ec -pkeyopt ec_paramgen_curve:P-256"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_an_authority_that_is_named(
    world: World, opt: Path, key: str, version: ssl.TLSVersion, variable: str
) -> None:
    authority = Authority(world, key)
    authority.context.minimum_version = authority.context.maximum_version = version
    shutil.copy(authority.pem, opt / "ca.pem")
    service = Service(authority)
    sandbox = Sandbox(world, opt, service, **{variable: "/opt/ca.pem"})
    assert sandbox.attach() == f"by {version.name.replace('_', '.')}"
    assert service.reached == 1


def test_a_known_place(world: World, opt: Path) -> None:
    authority = Authority(world)
    known = opt.parent / "etc/pki/tls/certs"
    known.mkdir(parents=True)
    shutil.copy(authority.pem, known / "ca-bundle.crt")
    assert Sandbox(world, opt, Service(authority)).attach().startswith("by TLS")


def test_an_authority_that_nobody_named(world: World, opt: Path) -> None:
    """There are authorities, but not this one."""
    service = Service(Authority(world))
    said = Sandbox(world, opt, service).attach()
    assert "unable to get local issuer certificate" in said
    assert service.reached == 0


def test_a_name_that_is_another_server_s(world: World, opt: Path) -> None:
    authority = Authority(world, host="127.0.0.2")
    shutil.copy(authority.pem, opt / "ca.pem")
    service = Service(authority)
    said = Sandbox(world, opt, service, AWS_CA_BUNDLE="/opt/ca.pem").attach()
    assert "127.0.0.1" in said
    assert service.reached == 0


@pytest.mark.parametrize("content", [None, "", "not a certificate\n"])
def test_a_bundle_that_cannot_be_read(world: World, opt: Path, content: str | None) -> None:
    if content is not None:
        (opt / "ca.pem").write_text(content)
    said = Sandbox(world, opt, Service(Authority(world)), AWS_CA_BUNDLE="/opt/ca.pem").attach()
    assert "/opt/ca.pem" in said


def test_the_authorities_that_are_built_in(world: World, opt: Path) -> None:
    certificates = PEM.findall((opt / "extensions/durabled").read_bytes())
    subjects = [
        subprocess.run(
            shlex.split("openssl x509 -noout -subject -nameopt multiline -checkend 31536000"),
            input=certificate,
            capture_output=True,
            check=True,
        ).stdout.decode()
        for certificate in certificates
    ]
    names = [re.findall(r"commonName *= (.*)", subject)[0] for subject in subjects]
    assert sorted(names) == [
        *(f"Amazon Root CA {number}" for number in range(1, 5)),
        "Starfield Services Root Certificate Authority - G2",
    ]


def test_what_is_built_in_is_trusted(world: World, opt: Path) -> None:
    """Ours in the place of the first, and the program is the same but for that."""
    authority = Authority(world)
    program = opt / "extensions/durabled"
    code, ours = program.read_bytes(), authority.pem.read_bytes()
    first = PEM.findall(code)[0]
    assert len(ours) <= len(first)
    program.write_bytes(code.replace(first, ours.ljust(len(first), b"\n")))
    assert Sandbox(world, opt, Service(authority)).attach().startswith("by TLS")
