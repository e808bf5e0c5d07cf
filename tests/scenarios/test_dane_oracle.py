"""The same chains under the same TLSA records, judged by OpenSSL's own DANE and by ours."""

from __future__ import annotations

import hashlib
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mta.adapters.pki import Issued
from mta.adapters.tls.chain import OpenSslChainVerifier
from mta.model.tls import TlsFacts
from mta.policy.dane import DaneDemand, judge_dane
from mta.ports import TlsaRecord
from mta.rfc.dane.parse import select
from mta.rfc.pkix.certificate import public_key_info
from tests.support.patience import patient
from tests.support.pki import Authority, authority, facts, self_signed
from tests.support.programs import needs
from tests.support.smtp_peer import PeerTls, Script, smtp_peer

pytestmark = [pytest.mark.peer, needs("openssl")]

HOST = "mx.b.example"
PAST = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
ROOT = authority()
MIDDLE = ROOT.intermediate("Middle CA")
OLD = Authority("Old Root", not_before=PAST - timedelta(days=60), not_after=PAST)
LEAF, OTHER = MIDDLE.issue(dns_names=[HOST]), MIDDLE.issue(dns_names=["mx.other.example"])
WHOLE = Issued(LEAF.certificate, LEAF.key, (*LEAF.chain, ROOT.certificate))
ALONE, EXPIRED = self_signed(dns_names=[HOST]), MIDDLE.issue_expired(dns_names=[HOST])
OF_OLD = OLD.issue(dns_names=[HOST])
OF_OLD = Issued(OF_OLD.certificate, OF_OLD.key, (OLD.certificate,))
WILD = MIDDLE.issue(dns_names=["*.b.example"])


def record(usage: int, selector: int, matching: int, der: bytes) -> TlsaRecord:
    part = public_key_info(der) if selector else der
    data = part if not matching else (hashlib.sha256, hashlib.sha512)[matching - 1](part).digest()
    return TlsaRecord(usage, selector, matching, data)


CASES: dict[str, tuple[Issued, list[TlsaRecord], bool]] = {
    "leaf": (LEAF, [record(3, 1, 1, LEAF.der)], True),
    "leaf-whole": (LEAF, [record(3, 0, 0, LEAF.der)], True),
    "leaf-expired": (EXPIRED, [record(3, 0, 2, EXPIRED.der)], True),
    "leaf-other": (LEAF, [record(3, 1, 1, OTHER.der)], False),
    "stronger-digest-decides": (LEAF, [record(3, 1, 1, LEAF.der), record(3, 1, 2, OTHER.der)], False),
    "anchor": (LEAF, [record(2, 0, 1, MIDDLE.der)], True),
    "anchor-key": (LEAF, [record(2, 1, 2, MIDDLE.der)], True),
    "anchor-wildcard": (WILD, [record(2, 0, 1, MIDDLE.der)], True),
    "anchor-other-name": (OTHER, [record(2, 1, 1, MIDDLE.der)], False),
    "anchor-expired-leaf": (EXPIRED, [record(2, 1, 1, MIDDLE.der)], False),
    "anchor-expired-root": (OF_OLD, [record(2, 0, 1, OLD.der)], False),
    "root-not-sent": (LEAF, [record(2, 0, 1, ROOT.der)], False),
    "root-sent": (WHOLE, [record(2, 0, 1, ROOT.der)], True),
    "root-in-the-record": (LEAF, [record(2, 0, 0, ROOT.der)], True),
    "root-key-in-the-record": (LEAF, [record(2, 1, 0, ROOT.der)], True),
    "other-key-in-the-record": (LEAF, [record(2, 1, 0, OLD.der)], False),
    "leaf-as-anchor": (LEAF, [record(2, 1, 1, LEAF.der)], False),
    "self-signed-as-anchor": (ALONE, [record(2, 0, 1, ALONE.der)], False),
    "one-of-two": (LEAF, [record(3, 1, 1, OTHER.der), record(2, 1, 1, MIDDLE.der)], True),
}


def openssl_takes(folder: Path, issued: Issued, records: list[TlsaRecord]) -> bool:
    chain, key = issued.write(folder, "shown")
    with smtp_peer(Script(tls=PeerTls(str(chain), str(key)))) as peer:
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{peer.port}", "-starttls", "smtp", "-brief"]
        command += ["-verify_return_error", "-dane_tlsa_domain", HOST]
        for each in records:
            command += ["-dane_tlsa_rrdata", f"{each.usage} {each.selector} {each.matching} {each.data.hex()}"]
        if all(each.usage == 3 for each in records):
            command.append("-dane_ee_no_namechecks")  # RFC 7672 §3.1.1
        done = subprocess.run(command, input=b"QUIT\r\n", capture_output=True, timeout=patient(30), check=False)
    said = (done.stdout + done.stderr).decode()
    assert "Verification: OK" in said or "verify error" in said, said
    return "Verification: OK" in said


@pytest.mark.parametrize("name", CASES)
def test_openssl_and_we_agree(tmp_path: Path, name: str) -> None:
    issued, records, expected = CASES[name]
    shown = TlsFacts("1.3", "x", chain=facts(issued))
    ours = judge_dane(DaneDemand(HOST, select(records).usable, (HOST,)), shown, OpenSslChainVerifier(), time.time())
    assert (not ours) is expected, ours
    assert openssl_takes(tmp_path, issued, records) is expected
