"""A real PostgreSQL server of one's own, for the tests of studies that several machines share."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

UNPRIVILEGED = ("postgres", "nobody")  # PostgreSQL does not run as root
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",  # nothing here has to survive a power cut
    "shared_buffers": "16MB",
    "max_connections": "50",
}


@contextmanager
def postgres_server() -> Iterator[str]:
    """Yield the URL of an empty database on a free port of the loopback; skips the test without a server."""
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL's server is not installed (Debian: apt-get install postgresql)")
    with tempfile.TemporaryDirectory(prefix="assay-postgres-", ignore_cleanup_errors=True) as name:
        folder, user = Path(name), _user()
        folder.chmod(0o755)
        data = folder / "data"
        data.mkdir(mode=0o700)
        if user is not None:
            shutil.chown(data, user)
        _make_cluster(programs, data, user)
        with _running(programs, data, user) as port:
            yield f"postgresql://assay@127.0.0.1:{port}/postgres"


def _programs() -> Path | None:
    """The folder of initdb and postgres; Debian keeps them off the PATH."""
    packaged = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"),
        key=lambda folder: [int(part) for part in folder.parent.name.split(".") if part.isdigit()],
    )
    found = shutil.which("initdb")
    for folder in [*reversed(packaged), *([Path(found).resolve().parent] if found else [])]:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    return None


def _user() -> str | None:
    """Whom to be instead of root; None if this is not root."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    for name in UNPRIVILEGED:
        if name in known:
            return name
    pytest.skip("PostgreSQL does not run as root, and there is no user postgres or nobody to run it as")


def _make_cluster(programs: Path, data: Path, user: str | None) -> None:
    command = [programs / "initdb", "--pgdata", data, "--username", "assay", "--auth", "trust"]
    command += ["--encoding", "UTF8", "--no-locale", "--no-sync"]
    done = subprocess.run(command, user=user, cwd="/", capture_output=True, text=True)
    assert done.returncode == 0, f"initdb ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"


@contextmanager
def _running(programs: Path, data: Path, user: str | None) -> Iterator[int]:
    """Yield the port. Whoever takes it in between makes the start fail, and then another one is tried."""
    for _ in range(5):
        port = _free_port()
        settings = [f"--{key}={value}" for key, value in SETTINGS.items()]
        with (data.parent / "log").open("w") as log:
            server = subprocess.Popen(
                [programs / "postgres", "-D", data, "-p", str(port), *settings],
                user=user,
                cwd="/",
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            if _answers(programs, port, server):
                yield port
                return
        finally:
            _stop(server)
    pytest.fail(f"PostgreSQL did not start:\n{(data.parent / 'log').read_text()}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(programs: Path, port: int, server: "subprocess.Popen[bytes]") -> bool:
    """Whether the server is ready within a minute."""
    deadline = time.monotonic() + 60
    while server.poll() is None and time.monotonic() < deadline:
        command = [programs / "pg_isready", "--quiet", "--host", "127.0.0.1", "--port", str(port)]
        if subprocess.run(command).returncode == 0:
            return True
        time.sleep(0.1)
    return False


def _stop(server: "subprocess.Popen[bytes]") -> None:
    server.send_signal(2)  # SIGINT: disconnect everyone and end in order
    try:
        server.wait(20)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
