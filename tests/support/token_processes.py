"""Token processes that do as they are told, instead of reaching a token.

told = Told(tmp_path)                    # files in the folder rule all processes: `away`, `pin`, `hang`
pool = TokenPool(told.settings(patience=0.3))
await pool.do(told.wish("echo", "6869"))  # also hang, die, away, lost, refuse, pid
told.asked                               # [(pid, do, call)], in order
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mta.adapters.token_pool.member import MemberSettings
from mta.adapters.token_pool.names import KeyName
from mta.adapters.token_pool.pool import PoolSettings, Wish

_SCRIPT = """
import os, signal, socket, sys
from mta.adapters.process import die_with_parent
from mta.adapters.token_pool.wire import frames, pack
die_with_parent(int(sys.argv[2]))
line = socket.socket(fileno=int(sys.argv[1]))
sent = frames(line)
folder = next(sent)["module"]
line.sendall(pack({"n": 0, "value": "ready"}))
there = lambda name: os.path.exists(os.path.join(folder, name))
for asked in sent:
    with open(os.path.join(folder, "asked"), "a") as stream:
        stream.write(f"{os.getpid()} {asked['do']} {asked['call']}\\n")
    do, answer = asked["do"], {"value": asked.get("data", os.getpid())}
    if do == "login" and there("pin"):
        answer = {"fault": "pin", "text": "the token refuses the PIN of pin_file"}
    elif there("away") or do == "away":
        answer = {"fault": "away", "text": "the token is not there"}
    elif do == "lost" and not asked["again"]:
        answer = {"fault": "lost", "text": "logged out"}
    elif do == "refuse":
        answer = {"fault": "refused", "text": "it will not"}
    elif do == "hang" or there("hang"):
        while True:
            signal.pause()
    elif do == "die":
        os._exit(1)
    line.sendall(pack({"n": asked["n"], **answer}))
"""


@dataclass(frozen=True)
class Told:
    """Processes that are ruled by files of `folder`."""

    folder: Path

    def settings(self, **more: Any) -> PoolSettings:
        program = (sys.executable, "-P", "-c", _SCRIPT)
        return replace(PoolSettings(MemberSettings(str(self.folder), "1234", program=program)), **more)

    def wish(self, do: str, data: str = "", *, call: str = "", token: str = "mta") -> Wish:
        more = {"data": data} if data else {}
        return Wish(do, KeyName(token, "root", None), call=call, more=more)

    def rule(self, name: str, *, holds: bool = True) -> None:
        if holds:
            (self.folder / name).touch()
        else:
            (self.folder / name).unlink()

    @property
    def asked(self) -> list[tuple[int, str, str]]:
        file = self.folder / "asked"
        lines = file.read_text().splitlines() if file.exists() else []
        return [(int(pid), do, call) for pid, do, call in (line.split(" ") for line in lines)]

    def logins(self) -> int:
        return sum(1 for _, do, _ in self.asked if do == "login")
