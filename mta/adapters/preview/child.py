"""The process that reads one file and writes one page of it: `python -I -m mta.adapters.preview.child`.

An order in one line of JSON and the file come by standard input, the page goes out as a header and a body. Before the
file is read it has given up: further memory and time, and every descriptor but its three, so that it opens neither
file nor socket. Whatever goes wrong ends it, and nothing is shown.
"""

from __future__ import annotations

import importlib
import json
import resource
import sys

from mta.adapters.process import die_with_parent, ignore_terminal

_MEMORY = 1024 * 1024 * 1024  # octets of address space
_CPU = 10  # seconds
_MODULES = {"pdf": "pdf", "picture": "picture", "docx": "office", "xlsx": "office"}


def main() -> int:
    """Serve one order."""
    ignore_terminal()
    order = json.loads(sys.stdin.buffer.readline(10_000))
    die_with_parent(int(order["parent"]))
    renderer = importlib.import_module(f"mta.adapters.preview.{_MODULES[order['kind']]}")
    renderer.prepare()  # whatever it loads later it must load now
    data = sys.stdin.buffer.read()
    _give_up()
    media_type, body, pages = renderer.render(data, order["kind"], int(order["page"]), str(order["watermark"]))
    head = json.dumps({"type": media_type, "pages": pages}).encode()
    sys.stdout.buffer.write(len(head).to_bytes(4, "big") + head + body)
    sys.stdout.buffer.flush()
    return 0


def _give_up() -> None:
    """No way back from here."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU, _CPU))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))  # standard input, output and error: no fourth is ever opened


if __name__ == "__main__":
    sys.exit(main())
