"""unbound with zones of our own, signed, unsigned and broken: a validating resolver without the Internet.

    zones = [
        Zone("fabrikam.example", {("@", "MX"): ["10 mx"], ("mx", "A"): ["127.0.0.1"]}),
        Zone("open.example", {...}, signed=False),
        Zone("bogus.example", {...}, broken=[("_25._tcp.mx", "TLSA")]),     # its signature is another record's
    ]
    with unbound(zones) as dns:
        dns.host, dns.port

Names are relative to their zone. What is in no zone does not exist. Signed zones are trust anchors of the resolver.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import dns.dnssec
import dns.message
import dns.query
import dns.rdata
import dns.rdatatype
import dns.rdtypes.ANY.TLSA
import dns.rrset
import dns.zone
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.programs import find
from tests.support.running_mta import PATIENCE, free_port, until

dns.rdtypes.ANY.TLSA.TLSA._cert_length_by_mtype = {}  # zones may hold malformed records, too
SOA = "ns.invalid. hostmaster.invalid. 1 3600 600 86400 1"
CONFIGURATION = """\
server:
  interface: 127.0.0.1@{port}
  directory: "{folder}"
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  logfile: ""
  verbosity: 1
  do-daemonize: no
  num-threads: 1
  do-ip6: no
  do-not-query-localhost: no
  module-config: "validator iterator"
  val-log-level: 2
  cache-max-negative-ttl: 1
  access-control: 127.0.0.0/8 allow
{anchors}
remote-control:
  control-enable: no
{zones}
"""
AUTH_ZONE = """\
auth-zone:
  name: "{name}"
  zonefile: "{file}"
  for-downstream: no
  for-upstream: yes
  fallback-enabled: no
"""


@dataclass(frozen=True)
class Zone:
    """One zone. Of the names and types in `broken` the data was changed after it was signed."""

    name: str
    records: Mapping[tuple[str, str], Sequence[str]]
    signed: bool = True
    broken: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Unbound:
    """The running resolver."""

    host: str
    port: int


@cache
def _key() -> Any:
    return ec.generate_private_key(ec.SECP256R1())


@cache
def _dnskey() -> Any:
    return dns.dnssec.make_dnskey(_key().public_key(), "ECDSAP256SHA256", flags=257)


def _text(zone: Zone) -> str:
    """The zone file, signed if it shall be."""
    made = dns.zone.Zone(dns.name.from_text(zone.name))
    records = {("@", "SOA"): [SOA], ("@", "NS"): ["ns.invalid."], **zone.records}
    for (name, rdtype), values in records.items():
        parsed = dns.rrset.from_text(
            dns.name.from_text(name, made.origin), 60, "IN", rdtype, *map(_absolute(zone), values)
        )
        made.replace_rdataset(name, parsed.to_rdataset())
    if zone.signed:
        dns.dnssec.sign_zone(made, keys=[(_key(), _dnskey())], lifetime=86_400)
    for name, rdtype in zone.broken:
        rdataset = made.find_rdataset(name, rdtype)
        changed = [_changed(rdata) for rdata in rdataset]
        rdataset.clear()
        for rdata in changed:
            rdataset.add(rdata)
    return made.to_text(relativize=False)


def _absolute(zone: Zone) -> Any:
    """Names within a record are relative to the zone, too."""

    def absolute(value: str) -> str:
        *front, last = value.split()
        relative = last[0].isalpha() and not last.endswith(".") and not front[2:]
        return " ".join([*front, f"{last}.{zone.name}."]) if relative and '"' not in value else value

    return absolute


def _changed(rdata: Any) -> Any:
    if rdata.rdtype == dns.rdatatype.TLSA:
        return rdata.replace(cert=bytes(octet ^ 0xFF for octet in rdata.cert))
    if rdata.rdtype == dns.rdatatype.MX:
        return rdata.replace(preference=rdata.preference + 1)
    return rdata.replace(address="127.0.0.99")


@contextlib.contextmanager
def unbound(zones: Sequence[Zone]) -> Iterator[Unbound]:
    """Start the resolver with these zones."""
    folder = Path(tempfile.mkdtemp(prefix="mta-unbound-"))
    port = free_port()
    parts = []
    for number, zone in enumerate([Zone(".", {}, signed=False), *zones]):
        (folder / f"{number}.zone").write_text(_text(zone))
        parts.append(AUTH_ZONE.format(name=zone.name, file=folder / f"{number}.zone"))
    anchors = [f'  trust-anchor: "{zone.name}. DNSKEY {_dnskey().to_text()}"' for zone in zones if zone.signed]
    file = folder / "unbound.conf"
    file.write_text(CONFIGURATION.format(port=port, folder=folder, anchors="\n".join(anchors), zones="".join(parts)))
    program = find("unbound")
    assert program
    log = folder / "log"
    with log.open("wb") as sink:
        process = subprocess.Popen([program, "-d", "-c", str(file)], stdout=sink, stderr=sink)
    try:
        until(
            lambda: _answers(process, port), PATIENCE, describe=lambda: f"unbound answers; it says:\n{log.read_text()}"
        )
        yield Unbound("127.0.0.1", port)
    finally:
        process.terminate()
        process.wait(PATIENCE)
        shutil.rmtree(folder, ignore_errors=True)


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    assert process.poll() is None, "unbound has ended"
    query = dns.message.make_query("invalid.", "SOA")
    with contextlib.suppress(OSError, socket.timeout, dns.exception.Timeout):
        dns.query.udp(query, "127.0.0.1", timeout=0.2, port=port)
        return True
    return False
