"""A real PostgreSQL of Debian's binaries, in a folder of its own, reached by a Unix socket; one for a whole test run.

The first test that needs it starts it; every process of the run holds a lock on a file; a guard that waits for that
lock stops the server when the last of them has gone, however it went. PostgreSQL does not run as root, so a test run
by root starts it as another user.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import functools
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from tests.support.patience import patient

_PORT = 5432  # of the socket's name: nothing listens there
_CONF = """
listen_addresses = ''
unix_socket_directories = '{folder}'
max_connections = 200
shared_buffers = 32MB
fsync = on
log_min_messages = fatal
"""


def binaries() -> Path | None:
    """The folder of `postgres` and `initdb`; None: PostgreSQL is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


def needs_postgres() -> pytest.MarkDecorator:
    """Skip where there is none; never on CI."""
    return pytest.mark.skipif(
        binaries() is None and not os.environ.get("CI"), reason="PostgreSQL not installed: apt-get install postgresql"
    )


@dataclass(frozen=True)
class Server:
    """A running server. `user` is whom it runs as, and its superuser."""

    folder: Path
    user: str

    def dsn(self, database: str = "postgres") -> str:
        """How to reach a database of it."""
        return f"postgresql://{self.user}@/{database}?host={self.folder}&port={_PORT}"


def unprivileged() -> str:
    """A user that PostgreSQL runs as."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid()).pw_name
    known = {each.pw_name for each in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


def run_as(user: str, *command: str | Path) -> None:
    """Run a program as the user the server runs as. Raises CalledProcessError."""
    other = {"user": user, "extra_groups": ()} if os.geteuid() == 0 else {}
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, cwd="/", check=False, **other
    )  # type: ignore[call-overload]
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


def make_server(folder: Path, conf: str = "") -> Server:
    """Make and start a server whose data and socket are in `folder`, which belongs to its user."""
    bin_, user = binaries(), unprivileged()
    assert bin_ is not None
    run_as(
        user,
        bin_ / "initdb",
        "-D",
        folder / "data",
        "-U",
        user,
        "-A",
        "trust",
        "--no-sync",
        "-E",
        "UTF8",
        "--no-locale",
    )
    with (folder / "data" / "postgresql.conf").open("a") as file:
        file.write(_CONF.format(folder=folder) + conf)
    start_server(folder)
    return Server(folder, user)


def start_server(folder: Path) -> None:
    """Start what `make_server` made, again."""
    bin_ = binaries()
    assert bin_ is not None
    wait = ("-w", "-t", str(int(patient(60))))
    run_as(unprivileged(), bin_ / "pg_ctl", "-D", folder / "data", "-l", folder / "log", *wait, "start")


def stop_server(folder: Path, mode: str = "fast") -> None:
    """Stop it: `immediate` is a crash."""
    bin_ = binaries()
    assert bin_ is not None
    run_as(unprivileged(), bin_ / "pg_ctl", "-D", folder / "data", "-m", mode, "-w", "stop")


def own_folder(path: Path) -> Path:
    """A folder that belongs to the server's user, on a path short enough for a socket."""
    path.mkdir(mode=0o700)
    if os.geteuid() == 0:
        shutil.chown(path, unprivileged())
    return path


@functools.cache
def shared_server() -> Server:
    """The server of this test run, started by whoever comes first."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID") or f"p{os.getpid()}"
    place = Path(tempfile.gettempdir()) / f"mta-pg-{run[:12]}"
    guarded = os.open(f"{place}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with open(f"{place}.start", "a") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        fcntl.flock(guarded, fcntl.LOCK_SH)  # held for life
        if not place.exists():
            make_server(own_folder(place))
            _guard(place)
    return Server(place, unprivileged())


def _guard(place: Path) -> None:
    """Stop the server once nobody holds the lock any more."""
    bin_ = binaries()
    pid = "$(head -1 $0/data/postmaster.pid)"
    script = f"kill -QUIT {pid}; while kill -0 {pid} 2>/dev/null; do sleep 0.1; done; rm -rf $0 $0.lock $0.start"
    assert bin_ is not None
    subprocess.Popen(
        ["flock", "-x", f"{place}.lock", "sh", "-c", script, str(place)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
    )


async def _execute(*statements: str) -> None:
    db = await asyncpg.connect(shared_server().dsn())
    try:
        for statement in statements:
            await db.execute(statement)
    finally:
        await db.close()


@contextlib.contextmanager
def database(name: str) -> Iterator[str]:
    """An empty database; gives how to reach it."""
    asyncio.run(_execute(f"CREATE DATABASE {name}"))
    try:
        yield shared_server().dsn(name)
    finally:
        asyncio.run(_execute(f"DROP DATABASE {name} WITH (FORCE)"))


TABLES = ("node", "lease", "message", "work", "fate", "ended", "content", "form", "event", "counter", "receipt")


async def emptied(dsn: str) -> None:
    """Forget all that former tests left in the queue's tables."""
    db = await asyncpg.connect(dsn)
    try:
        if await db.fetchval("SELECT to_regclass('meta')") is not None:
            await db.execute(";".join(f"DELETE FROM {table}" for table in TABLES))
    finally:
        await db.close()
