"""Two organisations' vaults witness each other's logs; one that comes back from an old backup is found out by it."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from mta.rfc.tdf.open import read_protected
from tests.support.key_server import CONFIG, Client, KeyServer, key_server, serving
from tests.support.pki import authority
from tests.support.running_mta import mta, until

CERTIFICATE = ", certificate: {chain: portal.pem, key: portal.key}"


def configure(server: KeyServer, partner: KeyServer, where: str) -> None:
    """Each is the other's witness, by the keys that `mta log head` tells; `where` has the rest of the connector's."""
    told = partner.command("log", "head")
    path = server.folder / "connectors.yaml"
    log = f"  log: {{witnesses: [partner], cosign: ['{told['key']}']}}\n"
    connector = f"connectors: {{partner: {{witness: {{{where}, key: '{told['witness_key']}'}}}}}}\n"
    path.write_text(path.read_text().rstrip() + "\n" + log + connector)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[KeyServer, KeyServer]:
    """We by http on loopback, the partner by https; neither runs yet."""
    ca = authority()
    for name in ("we", "partner"):
        (tmp_path / name).mkdir()
    we = key_server(tmp_path / "we")
    ca.issue(dns_names=["localhost"], ips=["127.0.0.1"]).write(tmp_path / "partner", "portal")
    text = CONFIG.replace('url: "http:', 'url: "https:').replace('{port}"}', f'{{port}}"{CERTIFICATE}}}')
    partner = key_server(tmp_path / "partner", text)
    partner.tls = ssl.create_default_context(cadata=ca.certificate.public_bytes(Encoding.PEM).decode())
    (tmp_path / "ca.pem").write_bytes(ca.certificate.public_bytes(Encoding.PEM))
    configure(we, partner, f'url: "https://127.0.0.1:{partner.port}/log", ca: "{tmp_path / "ca.pem"}"')
    configure(partner, we, f'url: "http://127.0.0.1:{we.port}/log"')
    return we, partner


def caught_up(server: KeyServer) -> bool:
    [witness] = server.command("log", "head")["witnesses"]
    return bool(witness["missing"] == 0 and witness["at"])


def alarms(server: KeyServer) -> str:
    return (server.folder / "web.log").read_text()


def test_two_vaults_witness_each_other_and_a_receipt_shows_it(pair: tuple[KeyServer, KeyServer]):
    we, partner = pair
    with serving(we), serving(partner):
        container, _ = we.protect(b"the plan")
        assert Client(we).open(container) == b"the plan"
        for each in (we, partner):
            until(lambda each=each: caught_up(each), describe=lambda each=each: alarms(each))
    verified = we.command("log", "verify")  # nobody is asked
    assert (verified["ok"], verified["witnesses"][0]["missing"]) == (True, 0)
    proof, key = we.folder / "two.proof", we.command("log", "head")["key"]
    mta("log", "receipt", "2", "--out", str(proof), "--config", str(we.folder / "connectors.yaml"))
    witness = partner.command("log", "head")["witness_key"]
    good = mta("log", "verify", str(proof), "--key", key, "--witness", witness, "--json")
    assert json.loads(good.stdout)["witnesses"][0]["at"]
    other = we.command("log", "head")["witness_key"]
    bad = mta("log", "verify", str(proof), "--key", key, "--witness", other, check=False)
    assert (bad.returncode, "no cosignature of" in bad.stderr) == (1, True)


def test_a_vault_from_an_old_backup_is_refused_because_the_witness_saw_more(pair: tuple[KeyServer, KeyServer]):
    we, partner = pair
    container, _ = we.protect(b"the plan")
    vault, backup = we.folder / "var" / "vault", we.folder / "backup"
    with contextlib.ExitStack() as stack:
        stack.enter_context(serving(partner))
        shutil.copytree(vault, backup)
        with serving(we):
            assert Client(we).open(container) == b"the plan"
            until(lambda: caught_up(we), describe=lambda: alarms(we))
        shutil.rmtree(vault)
        shutil.copytree(backup, vault)
        with serving(we):
            until(lambda: "contradicts the log" in alarms(we), describe=lambda: alarms(we))
            client = Client(we)
            _, answer = client.rewrap(client.token(), client.request(read_protected(io.BytesIO(container)).manifest))
            [result] = answer["responses"][0]["results"]
            assert "kasWrappedKey" not in result
            we.protect(b"sealing goes on")
            config = ("--config", str(we.folder / "connectors.yaml"))
            opened = mta(
                "open", str(next(we.folder.glob("*.tdf"))), "--as", "bob@fabrikam.example", *config, check=False
            )
            assert opened.returncode == 1
            assert "Bring back the newest vault.db" in opened.stderr
            checked = mta("check", *config, check=False)
            assert (checked.returncode, "partner contradicts the log" in checked.stderr + checked.stdout) == (2, True)
            assert mta("log", "verify", *config, check=False).returncode == 1
            head = mta("log", "head", *config, check=False)
            assert (head.stdout, "nothing is signed" in head.stderr) == ("", True)
