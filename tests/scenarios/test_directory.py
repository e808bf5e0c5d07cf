"""Bob's certificate is in the company's LDAP: `mta directory` says which one, and mail waits while LDAP is away."""

from __future__ import annotations

import base64
import json
import smtplib
import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mta.adapters.pki import Authority
from mta.rfc.smime.decrypt import DecryptionKey, decrypt
from mta.rfc.smimea.name import smimea_names
from tests.support.dns_server import SERVFAIL, Answer, DnsServer, dns_server
from tests.support.http_peer import http_peer
from tests.support.patience import PATIENCE
from tests.support.people import BOB, NOW, der, issued, key, mailbox, pem
from tests.support.pki import crl
from tests.support.programs import needs
from tests.support.running_mta import RunningMta, mta, running_mta, until
from tests.support.slapd import ADMIN, BASE, PASSWORD, Slapd, slapd
from tests.support.smtp_peer import smtp_peer

pytestmark = [pytest.mark.peer, needs("slapd")]

CA = Authority("Partner CA")
LDAP = f"""
    - type: ldap
      url: "ldap://localhost:PORT"
      base: "{BASE}"
      user: "{ADMIN}"
      password_file: ldap.password
      ca: ldap-ca.pem
      timeout: 2
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    with slapd(tmp_path_factory.mktemp("slapd")) as running:
        yield running


@pytest.fixture
def server(shared: Slapd) -> Slapd:
    if shared.process is None:
        shared.start()
    with shared.admin() as connection:
        connection.search(BASE, "(sn=*)")
        for entry in list(connection.entries):
            connection.delete(entry.entry_dn)
    return shared


class Company:
    """A folder with connectors.yaml; `ask` is `mta directory ... --json` on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "recipients").mkdir()
        CA.write(folder / "anchors.pem")
        (folder / "ldap.password").write_text(PASSWORD)
        (folder / "ldap.password").chmod(0o600)

    def configure(
        self, sources: str, server: Slapd | None = None, *, trust: str = "", dns: DnsServer | None = None
    ) -> str:
        """connectors.yaml with these sources; its text."""
        names = f'dns: {{nameservers: ["127.0.0.1:{dns.port}"], trust_ad: true}}' if dns else ""
        text = (
            "server: {hostname: mx.contoso.example, " + names + "}\n"
            f"directory:\n  trust: {{anchors: anchors.pem{trust}}}\n  timeout: 5\n  sources:{sources}"
        )
        if server is not None:
            (self.folder / "ldap-ca.pem").write_bytes((server.folder / "ldap-ca.pem").read_bytes())
            text = text.replace("PORT", str(server.port))
        (self.folder / "connectors.yaml").write_text(text)
        return text

    def run(self, *words: str) -> Any:
        return mta("directory", *words, "--config", str(self.folder / "connectors.yaml"))

    def lookup(self, address: str = BOB) -> tuple[int, dict[str, Any]]:
        """The exit status and the document."""
        done = self.run("lookup", address, "--json")
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)


@pytest.fixture
def company(tmp_path: Path) -> Company:
    return Company(tmp_path)


def test_the_certificate_of_the_company_s_ldap(company: Company, server: Slapd) -> None:
    """The newest that is good; the one that has ended, the one for signing and a stranger's are told with reasons."""
    old = der(issuer=CA, begins=NOW - timedelta(20))
    new = der(issuer=CA, begins=NOW - timedelta(2))
    ended = der(issuer=CA, begins=NOW - timedelta(20), ends=NOW - timedelta(1))
    signing = der(issuer=CA, usages=("digital_signature",))
    strange = der(issuer=Authority("Nobody's CA"))
    name = server.add("robert@fabrikam.example", BOB, certificates=(old, new, ended, signing, strange))
    company.configure(LDAP, server)
    status, answer = company.lookup("robert@fabrikam.example")
    assert status == 0  # they name bob, which the entry lists as another address of robert's
    status, answer = company.lookup()
    assert (status, answer["status"]) == (0, "found")
    chosen = answer["certificate"]
    assert (chosen["source"], chosen["rung"], chosen["place"]) == ("ldap", "anchored", name)
    assert chosen["not_before"] == (NOW - timedelta(2)).strftime("%Y-%m-%dT%H:%M:%SZ")
    reasons = sorted(other["reason"].partition(":")[0] for other in answer["others"])
    older = (
        f"it began on {NOW - timedelta(20):%Y-%m-%d}, before the one that was chosen ({NOW - timedelta(2):%Y-%m-%d})"
    )
    assert reasons == ["expired", older, "key-usage", "untrusted"]


def test_ldap_is_away_and_comes_back(company: Company, server: Slapd) -> None:
    server.add(BOB, certificates=(der(issuer=CA),))
    text = company.configure(LDAP, server)
    server.stop()
    status, answer = company.lookup()
    assert (status, answer["status"], answer["certificate"]) == (1, "temporary", None)
    assert answer["detail"].startswith("ldap is down: localhost:")
    (company.folder / "recipients" / "bob.pem").write_bytes(pem(der(issuer=CA)))
    (company.folder / "connectors.yaml").write_text(text + "    - {type: folder, path: recipients}\n")
    assert company.lookup()[1]["certificate"]["source"] == "folder"  # a better rung decides without it
    (company.folder / "connectors.yaml").write_text(text)
    server.start()
    assert company.lookup()[1]["status"] == "found"


def test_ldap_is_slow_or_proves_to_be_somebody_else(company: Company, server: Slapd) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        company.configure(LDAP.replace("PORT", str(silent.getsockname()[1])), server)
        status, answer = company.lookup()
    assert (status, answer["status"]) == (1, "temporary")
    company.configure(LDAP, server)
    (company.folder / "ldap-ca.pem").write_bytes(pem(CA.der))
    status, answer = company.lookup()
    assert (status, answer["status"]) == (1, "temporary")
    assert "certificate verify failed" in answer["detail"]
    assert PASSWORD not in json.dumps(answer)


def test_secure_dns(company: Company) -> None:
    """The word of bob's domain is enough where DNS is secure, and counts for nothing where it is not."""
    own = der(issuer=None)  # nobody else vouches for it
    (name,) = smimea_names(mailbox())
    with dns_server({(name, "SMIMEA"): [f"3 0 0 {own.hex()}"]}, secure=True) as dns:
        company.configure("\n    - {type: smimea}\n", dns=dns)
        status, answer = company.lookup()
        assert (status, answer["certificate"]["source"], answer["certificate"]["rung"]) == (0, "smimea", "secure-dns")
        dns.set(name, "SMIMEA", Answer((f"3 0 0 {own.hex()}",), secure=False))
        status, answer = company.lookup()
        assert (status, answer["status"]) == (1, "none")
        assert "not proven by DNSSEC" in answer["sources"][0]["detail"]
        dns.set(name, "SMIMEA", SERVFAIL)
        status, answer = company.lookup()
        assert (status, answer["status"]) == (1, "temporary")


def test_a_certificate_in_dns_that_leads_to_an_anchor(company: Company) -> None:
    one = base64.b64encode(der(issuer=CA)).decode()
    with dns_server({("bob.fabrikam.example", "CERT"): [f"PKIX 0 0 {one}"]}) as dns:
        company.configure("\n    - {type: cert}\n", dns=dns)
        status, answer = company.lookup()
    assert (status, answer["certificate"]["source"], answer["certificate"]["rung"]) == (0, "cert", "anchored")


def test_a_revoked_certificate_is_passed_over(company: Company) -> None:
    with http_peer() as web:
        good, bad = (der(issuer=CA, lists=[web.url("/ca.crl")], begins=NOW - timedelta(days)) for days in (9, 1))
        web.answers["/ca.crl"] = crl(CA, issued(bad))
        for number, one in enumerate((good, bad)):
            (company.folder / "recipients" / f"{number}.pem").write_bytes(pem(one))
        sources = "\n    - {type: folder, path: recipients, trust: anchored}\n"
        company.configure(sources, trust=f', revocation: hard, fetch: ["127.0.0.1:{web.port}"]')
        status, answer = company.lookup()
        assert (status, answer["certificate"]["place"]) == (0, "0.pem")
        assert [other["reason"].partition(":")[0] for other in answer["others"]] == ["revoked"]
    status, answer = company.lookup()  # the list is not to be had any more
    assert (status, answer["status"]) == (1, "temporary")
    assert "revocation-unreachable" in answer["detail"]


CONTRACT = """
server: {{hostname: mx.contoso.example, listen: [{{address: "127.0.0.1:{{port}}"}}], workers: 1,
         limits: {{retry_min: 1, retry_max: 1}}}}
connectors:
  internal: {{relay: true, inbound: {{networks: [127.0.0.0/8]}}}}
  fabrikam:
    domains: [fabrikam.example]
    inbound: {{identity: none}}
    outbound:
      route: {{hosts: ["127.0.0.1:{partner}"]}}
      tls: {{level: none}}
      smime: {{encrypt: required}}
directory:
  timeout: 5
  trust: {{anchors: anchors.pem}}
  sources:{ldap}
"""


def test_mail_waits_while_the_directory_is_away_and_never_leaves_in_clear(company: Company, server: Slapd) -> None:
    """LDAP goes down; mail is deferred. It comes back with bob's certificate; the mail leaves, encrypted to him."""
    company.configure(LDAP, server)
    one = der(issuer=CA)
    server.add(BOB, certificates=(one,))
    server.stop()
    with smtp_peer() as partner:
        text = CONTRACT.format(partner=partner.port, ldap=LDAP.replace("PORT", str(server.port)))
        with running_mta(company.folder, text) as relay:
            send(relay)
            relay.wait_for("directory.source-down", source="ldap")
            relay.wait_for("delivery.deferred")
            assert partner.messages == []
            server.start()
            partner.wait_for(1)
            answer = relay.wait_for("directory.answer", status="found")
            assert (answer["recipient"], answer["source"], answer["rung"]) == (BOB, "ldap", "anchored")
        (message,) = partner.messages
    assert b"the secret" not in message.data
    assert b"application/pkcs7-mime" in message.data
    assert b"the secret" in opened(message.data, one)


def test_a_reload_brings_another_directory(company: Company) -> None:
    (company.folder / "recipients" / "bob.pem").write_bytes(pem(der(issuer=CA)))
    with smtp_peer() as partner:
        text = CONTRACT.format(partner=partner.port, ldap="\n    - {type: folder, path: empty}\n")
        (company.folder / "empty").mkdir()
        with running_mta(company.folder, text) as relay:
            send(relay)
            relay.wait_for("directory.answer", status="none")
            relay.reload(relay.config.read_text().replace("path: empty", "path: recipients"))
            relay.wait_for("server.reloaded", worker=0)
            send(relay)
            relay.wait_for("directory.answer", status="found", source="folder")
            partner.wait_for(1)
            (
                company.folder / "recipients" / "bob.pem"
            ).unlink()  # the folder is watched; mail in bulk asks once a second

            def missed() -> bool:
                send(relay)
                return len(relay.seen("directory.answer", status="none")) >= 2

            until(missed, describe=relay.story)


def send(relay: RunningMta) -> None:
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=PATIENCE) as client:
        client.sendmail("alice@contoso.example", [BOB], "From: alice@contoso.example\r\n\r\nthe secret\r\n")


def opened(message: bytes, bobs: bytes) -> bytes:
    """What bob reads."""
    head, _, body = message.partition(b"\r\n\r\n")
    assert b"base64" in head
    found = decrypt(base64.b64decode(body), [DecryptionKey(bobs, key("ec-p256"))])
    assert found.content is not None, found.reason
    return found.content
