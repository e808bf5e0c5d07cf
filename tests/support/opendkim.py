"""OpenDKIM as a milter of Postfix: a partner that signs or verifies, asking a DNS server of ours.

with dns_server(zone) as names, opendkim(names.port, signs=("fabrikam.example", "s1", "s1.key")) as milter:
    with postfix({"smtpd_milters": milter.socket, ...}) as partner: ...
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.patience import patient
from tests.support.programs import find
from tests.support.running_mta import free_port, until

RESOLVER = """
server:
    do-not-query-localhost: no
    module-config: "iterator"
    use-syslog: no
forward-zone:
    name: "."
    forward-addr: 127.0.0.1@{port}
"""


@dataclass(frozen=True)
class OpenDkim:
    """A running OpenDKIM; `socket` is its address in the words of Postfix."""

    socket: str


@contextlib.contextmanager
def opendkim(dns_port: int, *, signs: tuple[str, str, Path] | None = None) -> Iterator[OpenDkim]:
    """Start it; `signs` is domain, selector and private key of what it signs, else it verifies only."""
    folder, port = Path(tempfile.mkdtemp(prefix="mta-opendkim-")), free_port()
    (folder / "resolver.conf").write_text(RESOLVER.format(port=dns_port))
    settings = {
        "Socket": f"inet:{port}@127.0.0.1",
        "Mode": "s" if signs else "v",
        "ResolverConfiguration": folder / "resolver.conf",
        "InternalHosts": "127.0.0.1" if signs else "192.0.2.1",  # whom it signs for, and does not verify
        "AuthservID": "opendkim.example",
        "AlwaysAddARHeader": "yes",
        "Canonicalization": "relaxed/simple",
        "OversignHeaders": "From",
        "RequireSafeKeys": "no",
        "Syslog": "no",
    }
    if signs:
        domain, selector, key = signs
        settings |= {"Domain": domain, "Selector": selector, "KeyFile": key}
    (folder / "opendkim.conf").write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
    command = [find("opendkim") or "", "-f", "-x", str(folder / "opendkim.conf")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        until(lambda: _listens(port) or process.poll() is not None, describe="OpenDKIM listens")
        assert process.poll() is None, process.communicate()[0]
        yield OpenDkim(f"inet:127.0.0.1:{port}")
    finally:
        process.terminate()
        process.communicate(timeout=patient(20))
        shutil.rmtree(folder, ignore_errors=True)


def _listens(port: int) -> bool:
    """By the kernel's table: a connection that says nothing would be an error in its log."""
    wanted = f"0100007F:{port:04X}"
    return any(
        line.split()[1] == wanted for line in Path("/proc/net/tcp").read_text().splitlines()[1:] if " 0A " in line
    )
