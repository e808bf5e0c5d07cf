"""What strace saw (`-f -y -xx`), as calls in the order in which they began."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

# What the model understands, and what must not be used on our files because it does not.
KNOWN = (
    "openat,write,pwrite64,ftruncate,truncate,fsync,fdatasync,sync,unlink,unlinkat,rename,mkdir,rmdir,sendto,sendmsg,"
    "writev"
)
UNKNOWN = (
    "open,creat,pwritev,pwritev2,renameat,renameat2,mkdirat,link,linkat,symlink,symlinkat,copy_file_range,"
    "fallocate,sendfile,splice,io_uring_setup,syncfs,sync_file_range"
)
_LINE = re.compile(r"(\d+) +(?:<\.\.\. (\w+) resumed>|(\w+)\()")
_RESULT = re.compile(r"\) += (-?\d+)(?:<((?:\\x..)*)>)?( E[A-Z]+)?[^\"]*$")
_DESCRIPTOR = re.compile(r"(\d+|AT_FDCWD)<([^>]*)>(\(deleted\))?")
_UNFINISHED = " <unfinished ...>"


@dataclass(slots=True)
class Call:
    """One call. `began` and `ended` are lines of the log; `result` below 0: it failed."""

    name: str
    began: int
    thread: str = ""
    descriptor: int = -1
    path: str = ""  # behind it
    texts: list[bytes] = field(default_factory=list)  # its strings
    rest: str = ""  # what stands behind the last string or the descriptor
    ended: int = 0
    result: int = -1
    opened: str = ""  # the path behind a descriptor it returned
    injected: bool = False  # strace made it fail

    @property
    def numbers(self) -> list[int]:
        """The numbers behind its strings."""
        return [int(word, 0) for word in re.findall(r"(?<![\w<])\d\w*", self.rest)]


def calls_in(log: str) -> list[Call]:
    """Every call that has begun; one that never ended has failed as far as anybody knows, but may have taken effect."""
    calls: list[Call] = []
    pending: dict[str, tuple[Call, str]] = {}
    for number, line in enumerate(log.splitlines()):
        head = _LINE.match(line)
        if not head:
            continue
        thread, resumed, name = head.groups()
        if resumed:
            call, before = pending.pop(thread)
            _finish(call, before + line[head.end() :], number)
            continue
        call, text = Call(name, number, thread=thread), line[head.end() :]
        if text.endswith(_UNFINISHED):
            pending[thread] = call, text.removesuffix(_UNFINISHED)
            _arguments(call, text)
        else:
            _finish(call, text, number)
        calls.append(call)
    return calls


def _finish(call: Call, text: str, number: int) -> None:
    found = _RESULT.search(text, max(0, len(text) - 4500))
    call.ended = number
    if found:
        call.result, call.opened = int(found[1]), _plain(found[2] or "").decode()
        call.injected = text.endswith("(INJECTED)")
        text = text[: found.start()]
    _arguments(call, text)


def _arguments(call: Call, text: str) -> None:
    parts = text.split('"')
    call.texts = [_plain(part) for part in parts[1::2]]
    call.rest = parts[-1] if len(parts) > 1 else text
    if found := _DESCRIPTOR.match(text):
        call.path = "" if found[3] else _path(found[2])
        call.descriptor = int(found[1]) if found[1].isdigit() else -1
        if len(parts) == 1:
            call.rest = text[found.end() :]


def _path(text: str) -> str:
    return _plain(text).decode("utf-8", "replace") if text.startswith("\\x") else text


def _plain(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", "")) if text.startswith("\\x") else text.encode()
