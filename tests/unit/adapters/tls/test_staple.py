"""OpenSSL's own words: its lists, its OCSP responses, and its server that staples them."""

from __future__ import annotations

import asyncio
import subprocess
import time
from pathlib import Path

from mta.adapters.tls.context import client_context
from mta.model.tls import RevocationState
from mta.rfc.pkix import crl, ocsp
from mta.rfc.pkix.certificate import certificate_facts
from tests.support.patience import PATIENCE, patient
from tests.support.pki import NOW, Authority, needs_openssl
from tests.support.tls import connect
from tests.unit.adapters.tls.test_weak import host

pytestmark = needs_openssl
CA = Authority("OpenSSL's Authority")
GOOD, BAD = CA.issue(dns_names=["good.example"]), CA.issue(dns_names=["bad.example"])
CONFIG = "[ca]\ndefault_ca = x\n[x]\ndatabase = {folder}/index\ndefault_md = sha256\ndefault_crl_days = 7\n"


def openssl(*words: object) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, timeout=patient(60))


def authority_on_disk(folder: Path) -> None:
    """The files of `openssl ca`: two certificates, of which one was revoked."""
    CA.write(folder / "ca.pem")
    (folder / "ca.key").write_bytes(CA.issue(dns_names=["x"], key=CA.key).key_pem)
    (folder / "ca.conf").write_text(CONFIG.format(folder=folder))
    until = GOOD.certificate.not_valid_after_utc.strftime("%y%m%d%H%M%SZ")
    before = NOW.strftime("%y%m%d%H%M%SZ")
    lines = [
        f"V\t{until}\t\t{GOOD.certificate.serial_number:040X}\tunknown\t/CN=good.example",
        f"R\t{until}\t{before},keyCompromise\t{BAD.certificate.serial_number:040X}\tunknown\t/CN=bad.example",
    ]
    (folder / "index").write_text("\n".join(lines) + "\n")


def test_a_list_of_openssl_is_understood(tmp_path: Path) -> None:
    authority_on_disk(tmp_path)
    common = ("-config", tmp_path / "ca.conf", "-keyfile", tmp_path / "ca.key", "-cert", tmp_path / "ca.pem")
    openssl("ca", "-gencrl", *common, "-out", tmp_path / "a.crl")
    lists = crl.read_lists((tmp_path / "a.crl").read_bytes())
    issuer, now = certificate_facts(CA.der), time.time() + 5
    states = [crl.status(lists, certificate_facts(each.der), issuer, now).state for each in (GOOD, BAD)]
    assert states == [RevocationState.GOOD, RevocationState.REVOKED]


def test_what_openssl_staples_arrives_and_is_understood(tmp_path: Path) -> None:
    authority_on_disk(tmp_path)
    signer = ("-rsigner", tmp_path / "ca.pem", "-rkey", tmp_path / "ca.key", "-CA", tmp_path / "ca.pem")
    found = []
    for name, issued in (("good", GOOD), ("bad", BAD)):
        chain, _ = issued.write(tmp_path, name)
        response = tmp_path / f"{name}.ocsp"
        request = ("-issuer", tmp_path / "ca.pem", "-cert", chain)
        openssl("ocsp", "-index", tmp_path / "index", *signer, *request, "-ndays", 3, "-respout", response, "-noverify")
        for version in ("-tls1_2", "-tls1_3"):
            facts = asyncio.run(_shown(tmp_path, issued, version, "-status_file", str(response)))
            assert facts.leaf is not None
            found.append(ocsp.status(facts.staple, facts.leaf, certificate_facts(CA.der), time.time() + 5).state)
    assert found == [RevocationState.GOOD] * 2 + [RevocationState.REVOKED] * 2


async def _shown(folder: Path, issued: object, *how: str):  # type: ignore[no-untyped-def]
    async with host(folder, issued, *how) as port, asyncio.timeout(PATIENCE):
        while True:
            try:
                app = await connect(port, client_context())
            except ConnectionRefusedError:
                await asyncio.sleep(0.02)
                continue
            facts = app.facts
            app.transport.abort()
            return facts
