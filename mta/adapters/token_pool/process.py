"""The token process: `python -m mta.adapters.token_pool.process DESCRIPTOR PARENT`.

It reads what its module is and the PIN from the socket (wire.py), then does what is asked, one after the other. Each
use of a key is a line of its log. It ends with its parent, and where the module or the token no longer works.
"""

from __future__ import annotations

import os
import resource
import select
import socket
import sys
import threading
import time
from typing import Any

from pkcs11.exceptions import PKCS11Error

from mta.adapters.process import die_with_parent, ignore_terminal
from mta.adapters.token_pool.making import MAKINGS
from mta.adapters.token_pool.names import KeyName
from mta.adapters.token_pool.session import Module, Trouble, words
from mta.adapters.token_pool.wire import Fault, frames, pack
from mta.adapters.token_pool.work import WORKS
from mta.observe import events
from mta.observe.log import EventLog


def main() -> None:
    """Serve until the parent lets go."""
    line = socket.socket(fileno=int(sys.argv[1]))
    line.setblocking(True)
    _settle(int(sys.argv[2]))
    threading.Thread(target=_end_with, args=(line,), daemon=True).start()
    serve(line)
    os._exit(0)  # not by the interpreter's way out, which would ask the module once more


def _settle(parent: int) -> None:
    """For good the one that a command acts for; no memory image, which would hold the PIN."""
    os.setresgid(*[os.getegid()] * 3)
    os.setresuid(*[os.geteuid()] * 3)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ignore_terminal()
    die_with_parent(parent)


def _end_with(line: socket.socket) -> None:
    """End when the parent has let go of the socket, though the module may hang just then."""
    poll = select.poll()
    poll.register(line, select.POLLRDHUP)
    poll.poll()
    os._exit(0)


def serve(line: socket.socket) -> None:
    """Answer requests until there are no more, or the module no longer works."""
    sent = frames(line)
    hello = next(sent, None)
    if hello is None:
        return
    module = Module(hello["module"], hello["pin"], writes=hello["writes"])
    line.sendall(pack({"n": 0, "value": "ready"}))
    log = EventLog(2, hello["log"], pid=os.getpid()) if hello["log"] else None
    for asked in sent:
        begin = time.monotonic()
        answer = {"n": asked["n"], **answered(module, asked)}
        if log is not None:
            _tell(log, asked, answer, time.monotonic() - begin)
        line.sendall(pack(answer))
        if answer.get("fault") == Fault.AWAY:
            return


def answered(module: Module, asked: dict[str, Any]) -> dict[str, Any]:
    """What a request comes to."""
    try:
        return {"value": _done(module, asked)}
    except Trouble as trouble:
        return {"fault": trouble.fault, "text": str(trouble)}
    except AttributeError:  # the library gives a key only the methods that the token permits
        return {"fault": Fault.REFUSED, "text": f"the token {asked['token']} does not let {_name(asked)} do this"}
    except PKCS11Error as error:
        module.forget(asked["token"])
        fault = Fault.REFUSED if asked["again"] else Fault.LOST
        return {"fault": fault, "text": f"the token {asked['token']} refuses: {words(error)}"}


def _done(module: Module, asked: dict[str, Any]) -> Any:
    name = _name(asked)
    if asked["do"] == "login":
        return module.login(name.token)
    if asked["do"] in MAKINGS:
        return MAKINGS[asked["do"]](module.session(name.token), name, asked)
    try:
        key = module.key(name, asked["public"])
    except Trouble as trouble:
        if trouble.fault not in (Fault.MISSING, Fault.OTHER) or asked["again"]:
            raise
        # what others have put there since the login may not be seen (SoftHSM)
        raise Trouble(Fault.LOST, str(trouble)) from trouble
    return WORKS[asked["do"]](key, asked)


def _name(asked: dict[str, Any]) -> KeyName:
    return KeyName(asked["token"], asked["label"], None if asked["id"] is None else bytes.fromhex(asked["id"]))


def _tell(log: EventLog, asked: dict[str, Any], answer: dict[str, Any], seconds: float) -> None:
    line = {"call": asked["call"], "of": asked["token"], "key": str(_name(asked)), "ms": round(seconds * 1000, 2)}
    result = {"result": answer.get("fault", "done"), **({"text": answer["text"]} if "text" in answer else {})}
    log.info(events.TOKEN_USE, work=asked["do"], **line, **result)


if __name__ == "__main__":
    main()
