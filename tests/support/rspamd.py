"""rspamd with what judges senders and nothing else (SPF, DKIM, ARC, DMARC), asking a DNS server of ours.

with dns_server(zone) as names, rspamd(names.port) as judge:
    judge.symbols(raw, client="192.0.2.1", sender="a@contoso.example")   # {"R_DKIM_ALLOW", ...}
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.patience import PATIENCE, patient
from tests.support.programs import find
from tests.support.running_mta import free_port, until

PLUGINS = "/usr/share/rspamd/plugins"
CONFIGURATION = """
options {{
    pidfile = "{folder}/rspamd.pid";
    dns {{ nameserver = ["127.0.0.1:{dns_port}:1"]; timeout = 5s; retransmits = 2; }}
    filters = "dkim";
    local_addrs = [];
    tempdir = "{folder}";
}}
logging {{ type = "console"; level = "notice"; }}
worker "normal" {{ bind_socket = "127.0.0.1:{port}"; count = 1; }}
dkim {{ sign_networks = []; }}
spf {{ }}
arc {{ }}
dmarc {{ }}
modules {{ path = "{plugins}/spf.lua"; path = "{plugins}/arc.lua"; path = "{plugins}/dmarc.lua"; }}
"""


@dataclass(frozen=True)
class Rspamd:
    """A running rspamd."""

    port: int

    def symbols(self, raw: bytes, *, client: str, sender: str, helo: str) -> dict[str, list[str]]:
        """What it found, each symbol with its options."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=3 * PATIENCE)
        headers = {"IP": client, "From": sender, "Helo": helo, "Rcpt": "x@somewhere.example"}
        connection.request("POST", "/checkv2", raw, headers)
        document = json.loads(connection.getresponse().read())
        connection.close()
        return {name: found.get("options", []) for name, found in document["symbols"].items()}


@contextlib.contextmanager
def rspamd(dns_port: int) -> Iterator[Rspamd]:
    """Start it, as whoever we are."""
    folder, port = Path(tempfile.mkdtemp(prefix="mta-rspamd-")), free_port()
    configuration = folder / "rspamd.conf"
    configuration.write_text(CONFIGURATION.format(folder=folder, plugins=PLUGINS, dns_port=dns_port, port=port))
    environment = {**os.environ, "DBDIR": str(folder), "RUNDIR": str(folder), "LOGDIR": str(folder)}
    command = [find("rspamd") or "", "-f", "-i", "-c", str(configuration)]
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        until(lambda: _answers(port) or process.poll() is not None, 3 * PATIENCE, describe="rspamd answers")
        assert process.poll() is None, (folder / "log").read_text("utf-8", "replace")
        yield Rspamd(port)
    finally:
        process.terminate()
        process.wait(timeout=patient(20))
        shutil.rmtree(folder, ignore_errors=True)


def _answers(port: int) -> bool:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        connection.request("GET", "/ping")
        return connection.getresponse().read().startswith(b"pong")
    except OSError:
        return False
