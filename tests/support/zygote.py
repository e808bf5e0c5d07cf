"""`python -m mta ...` without the three seconds of CPU that its imports cost: a process that has imported everything
is forked instead of starting an interpreter anew.

What comes out is what `python -m mta` would be: a process of its own with its own descriptors, signals, environment and
folder; the supervisor is real, and its workers are its children (forked by it where it would start an interpreter, with
nothing but what it hands them). What this leaves out is the interpreter's own start, so some stories start the relay
by the true command (`running_mta(..., forked=False)`).

The zygote has one thread, one for each process of pytest; it starts with the first relay and ends with pytest.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib
import inspect
import json
import os
import pkgutil
import random
import runpy
import selectors
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NoReturn

_ROOT = Path(__file__).resolve().parents[2]
_LARGEST = 1 << 18  # octets of one order: arguments and environment
_PID, _STATUS = struct.Struct("!i"), struct.Struct("!i")
_SHAPES = ("PYTHON", "LC_", "LANG", "LD_", "SSL", "OPENSSL")  # what an interpreter reads as it starts
_BORN = dict(os.environ)


# --- for tests -----------------------------------------------------------------------------------------------------


class Forked:
    """A process that the zygote has forked, as subprocess.Popen shows one."""

    def __init__(self, channel: socket.socket, stderr: IO[bytes] | None = None) -> None:
        self._channel = channel
        self.stderr = stderr
        self.returncode: int | None = None
        (self.pid,) = _PID.unpack(_exactly(channel, _PID.size))

    def poll(self) -> int | None:
        """Its exit status, or None while it lives."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            with selectors.DefaultSelector() as selector:
                selector.register(self._channel, selectors.EVENT_READ)
                if not selector.select(timeout):
                    raise subprocess.TimeoutExpired("mta", timeout or 0)
            (self.returncode,) = _STATUS.unpack(_exactly(self._channel, _STATUS.size))
            self._channel.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """As subprocess.Popen does."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


def spawn(
    words: Sequence[str],
    descriptors: tuple[int, int, int],
    *,
    stderr: IO[bytes] | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Forked:
    """`python -m mta WORDS` with these as standard input, output and error; `stderr` is where the last is read."""
    ours, theirs = socket.socketpair()
    order = {"words": list(words), "env": dict(env or os.environ), "cwd": str(cwd or Path.cwd())}
    with theirs:
        socket.send_fds(_zygote(), [json.dumps(order).encode()], [*descriptors, theirs.fileno()])
    return Forked(ours, stderr)


@functools.cache
def _zygote() -> socket.socket:
    """The channel to the zygote of this process, which is started now."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * _LARGEST)
    with theirs:
        command = [sys.executable, "-m", "tests.support.zygote", str(theirs.fileno())]
        process = subprocess.Popen(command, cwd=_ROOT, pass_fds=[theirs.fileno()])
    atexit.register(_end, ours, process)
    return ours


def _end(channel: socket.socket, process: subprocess.Popen[bytes]) -> None:
    channel.close()
    process.wait()


def _exactly(channel: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = channel.recv(size - len(data))
        assert piece, "the zygote has ended; what it said stands above"
        data += piece
    return data


# --- the zygote ----------------------------------------------------------------------------------------------------


def main() -> None:
    """Import everything, then fork for each order until pytest has ended."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    import mta

    for found in pkgutil.walk_packages(mta.__path__, "mta."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
    importlib.import_module("uvloop")
    assert threading.active_count() == 1, threading.enumerate()
    subprocess.Popen = _Popen  # type: ignore[misc]
    signal.signal(signal.SIGINT, lambda *_: None)  # a terminal's interrupt is pytest's
    _serve(channel)


def _serve(channel: socket.socket) -> None:
    born: dict[int, socket.socket] = {}
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    signal.set_wakeup_fd(writes, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    with selectors.DefaultSelector() as selector:
        selector.register(channel, selectors.EVENT_READ)
        selector.register(reads, selectors.EVENT_READ)
        while True:
            ready = {key.fileobj for key, _ in selector.select()}
            if reads in ready:
                os.read(reads, 4096)
                _bury(born)
            if channel in ready and not _bear(channel, born):
                break
    for pid in born:
        os.kill(pid, signal.SIGTERM)


def _bear(channel: socket.socket, born: dict[int, socket.socket]) -> bool:
    """Fork for the next order; False: there will be no more."""
    data, descriptors, _, _ = socket.recv_fds(channel, _LARGEST, 4)
    if not data:
        return False
    order = json.loads(data)
    told = socket.socket(fileno=descriptors[3])
    pid = _fork()
    if not pid:
        _become(order["words"], order["env"], order["cwd"], descriptors[:3])
    for descriptor in descriptors[:3]:
        os.close(descriptor)
    born[pid] = told
    told.sendall(_PID.pack(pid))
    return True


def _bury(born: dict[int, socket.socket]) -> None:
    """Tell who waits for those that have ended."""
    while born:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        with contextlib.suppress(OSError), born.pop(pid) as told:  # nobody may wait any more
            told.sendall(_STATUS.pack(os.waitstatus_to_exitcode(status)))


class _Popen(subprocess.Popen):  # type: ignore[type-arg]
    """Where a forked process would start `python -m mta`, it forks itself."""

    _HOW = inspect.signature(subprocess.Popen._execute_child)  # type: ignore[attr-defined]

    def _execute_child(self, *given: Any, **named: Any) -> None:
        how = self._HOW.bind(self, *given, **named).arguments
        words = [os.fspath(word) for word in how["args"]] if not isinstance(how["args"], str | bytes) else []
        env = os.environ if how["env"] is None else how["env"]
        if words[:3] != [sys.executable, "-m", "mta"] or how["preexec_fn"] or not same_shape(env):
            super()._execute_child(*given, **named)  # type: ignore[misc]
            return
        pid = _fork()
        if not pid:
            group = 0 if how["start_new_session"] else how.get("process_group", -1)
            if group != -1:
                os.setsid() if how["start_new_session"] else os.setpgid(0, group)
            standard = [how["p2cread"], how["c2pwrite"], how["errwrite"]]
            _become(words[3:], env, how["cwd"], standard, how["pass_fds"])
        self.pid = pid
        self._child_created = True
        pipes = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(how[name] for name in pipes))  # type: ignore[attr-defined]


def same_shape(env: Mapping[str, str]) -> bool:
    """Whether an interpreter that starts with this environment would be as this one is."""
    return all(
        env.get(name) == _BORN.get(name)
        for name in {*env, *_BORN}
        if name.startswith(_SHAPES) and name != "PYTHONUNBUFFERED"
    )


def _fork() -> int:
    """os.fork; in the child nothing reacts to a signal as the parent does, not even for a moment."""
    usual = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    pid = os.fork()
    if not pid:
        signal.set_wakeup_fd(-1)
        for number in signal.valid_signals():
            if callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, usual)
    return pid


def _become(
    words: Sequence[str],
    env: Mapping[str, str],
    cwd: str | None,
    standard: Sequence[int],
    kept: Iterable[int] = (),
) -> NoReturn:
    """Be `python -m mta WORDS`, and end as it does. Nothing above this frame is ever returned to."""
    code = 1
    try:
        for target, descriptor in enumerate(standard):
            if descriptor not in (-1, target):
                os.dup2(descriptor, target)
        for name in os.listdir("/proc/self/fd"):
            if int(name) not in (0, 1, 2, *kept):
                with contextlib.suppress(OSError):
                    os.close(int(name))
        os.chdir(cwd or ".")
        fresh = dict(env)
        os.environ.clear()
        os.environ.update(fresh)
        time.tzset()
        random.seed()
        sys.argv = ["mta", *words]
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - the process' own
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
        code = _run()
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            threading._shutdown()  # type: ignore[attr-defined]
            atexit._run_exitfuncs()
            sys.stdout.flush()
        os._exit(code)


def _run() -> int:
    try:
        runpy.run_module("mta", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return (end.code or 0) & 0xFF
        print(end.code, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    return 0


if __name__ == "__main__":
    main()
