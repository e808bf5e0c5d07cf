"""Contoso promises Fabrikam signed and encrypted mail; what Fabrikam reads is read with openssl, as anyone would."""

from __future__ import annotations

import contextlib
import email.policy
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from hashlib import sha256
from pathlib import Path

import pytest

from tests.support.outgoing import ALICE, Outgoing, outgoing
from tests.support.pki import Authority, Issued
from tests.support.programs import needs
from tests.support.running_mta import until
from tests.support.smtp_peer import Script, SmtpPeer, smtp_peer

pytestmark = [pytest.mark.peer, needs("openssl")]

BOB, CAROL = "bob@fabrikam.example", "carol@fabrikam.example"
PEOPLE = Authority("People")
MAIL = (
    b"From: Alice <alice@contoso.example>\r\nTo: Bob <bob@fabrikam.example>\r\nSubject: the plan\r\n"
    b"Message-ID: <1@contoso.example>\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    b"It is a secret: \xc3\xbcber.\r\n"
)


def person(address: str) -> Issued:
    return PEOPLE.issue(emails=[address], eku=["emailProtection"], key="rsa-2048")


OF_ALICE, OF_BOB, OF_CAROL = person(ALICE), person(BOB), person(CAROL)


def pem(folder: Path, address: str, issued: Issued, *, key: bool = False) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{address}.pem").write_bytes(issued.chain_pem + (issued.key_pem if key else b""))


@dataclass
class World:
    """The relay with its keys, and Fabrikam's host."""

    ours: Outgoing
    fabrikam: SmtpPeer
    folder: Path

    def send(self, *recipients: str, data: bytes = MAIL) -> str:
        return self.ours.send(*recipients, data=data)

    def reads(self, data: bytes, issued: Issued) -> bytes:
        """What the owner of this certificate finds inside."""
        chain, key = issued.write(self.folder, "reader")
        return self._openssl("cms", "-decrypt", "-recip", str(chain), "-inkey", str(key), given=data)

    def verified(self, data: bytes) -> bytes:
        """What was signed, once the signature was found good and its certificate issued by the people's authority."""
        PEOPLE.write(self.folder / "people-ca.pem")
        return self._openssl("cms", "-verify", "-CAfile", str(self.folder / "people-ca.pem"), given=data)

    def _openssl(self, *words: str, given: bytes) -> bytes:
        done = subprocess.run(["openssl", *words], input=given, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout


@contextlib.contextmanager
def world(folder: Path, smime: str, script: Script | None = None, limits: str = "") -> Iterator[World]:
    """Alice has a certificate of her own; what Contoso knows of others is in the folder `recipients`."""
    pem(folder / "own", ALICE, OF_ALICE, key=True)
    (folder / "recipients").mkdir(exist_ok=True)
    PEOPLE.write(folder / "people-ca.pem")
    with smtp_peer(script) as fabrikam:
        connector = f"""
fabrikam:
  domains: [fabrikam.example]
  inbound: {{identity: none}}
  outbound:
    route: {{hosts: ["127.0.0.1:{fabrikam.port}"]}}
    tls: {{level: none}}
    smime: {{{smime}}}
"""
        directory = """
directory:
  sources: [{type: folder, path: recipients}]
  trust: {anchors: people-ca.pem, revocation: "off"}
"""
        with outgoing(folder, connector, limits=limits, domain="smime: {people: own}", rest=directory) as ours:
            yield World(ours, fabrikam, folder)


def plain_text(entity: bytes) -> str:
    found = message_from_bytes(entity, policy=email.policy.default).get_content()
    assert isinstance(found, str)
    return found


def test_mail_leaves_signed_and_encrypted_and_the_trace_says_how(tmp_path: Path) -> None:
    with world(tmp_path, "sign: always, encrypt: required") as here:
        pem(tmp_path / "recipients", BOB, OF_BOB)
        id_ = here.send(BOB)
        [message] = here.fabrikam.wait_for(1)
        assert b"secret" not in message.data
        assert b"Subject: the plan\r\n" in message.data
        entity = here.verified(here.reads(message.data, OF_BOB))
        assert plain_text(entity) == "It is a secret: über.\r\n"
        here.ours.ends(id_)
        [copy] = [c for event in here.ours.trace(id_)["events"] for c in event.get("protection", ())]
        assert copy["to"] == [BOB]
        assert copy["signed"]["scheme"] == "rsa-pkcs1-sha256"
        assert [(reader["for"], reader["rung"]) for reader in copy["encrypted"]] == [(BOB, "manual")]
        told = here.ours.relay.command("trace", id_).stdout
        assert "encrypted (aes256-cbc) to bob@fabrikam.example by" in told


def test_a_blind_copy_is_an_envelope_of_its_own(tmp_path: Path) -> None:
    with world(tmp_path, "encrypt: required") as here:
        pem(tmp_path / "recipients", BOB, OF_BOB)
        pem(tmp_path / "recipients", CAROL, OF_CAROL)
        here.send(BOB, CAROL)  # To names Bob alone
        messages = {message.recipients: message.data for message in here.fabrikam.wait_for(2)}
        assert set(messages) == {(BOB,), (CAROL,)}
        assert b"secret" in here.reads(messages[BOB,], OF_BOB)
        assert b"secret" in here.reads(messages[CAROL,], OF_CAROL)
        with pytest.raises(AssertionError):
            here.reads(messages[BOB,], OF_CAROL)  # nothing in Bob's tells of Carol


def test_without_a_certificate_nothing_leaves_and_the_sender_is_told_at_once(tmp_path: Path) -> None:
    with world(tmp_path, "encrypt: required") as here:
        pem(tmp_path / "recipients", BOB, OF_BOB)
        id_ = here.send(BOB, CAROL)
        assert here.ours.ends(id_) == {BOB: "delivered", CAROL: "failed"}
        assert [message.recipients for message in here.fabrikam.messages] == [(BOB,)]
        report = here.ours.report()
        told = " ".join(str(report.get_payload(0).get_payload()).split())  # type: ignore[union-attr]
        assert "no certificate" in told, told
        assert CAROL in told
        assert report.get_payload(2).get_content_type() == "text/rfc822-headers"  # type: ignore[union-attr]
        assert b64encode(b"It is a secret").decode()[:16] not in report.as_string()


def test_held_mail_leaves_by_itself_once_there_is_a_certificate(tmp_path: Path) -> None:
    with world(tmp_path, "encrypt: required, without_certificate: hold") as here:
        id_ = here.send(BOB)
        here.ours.relay.wait_for("message.held", message=id_)
        assert here.ours.states(id_) == {BOB: "held"}
        here.ours.ask("release", id=id_)  # a person cannot make it leave in clear either
        until(lambda: len(here.ours.relay.seen("message.held", message=id_)) == 2, describe="it is held again")
        assert here.fabrikam.messages == []
        pem(tmp_path / "recipients", BOB, OF_BOB)
        [message] = here.fabrikam.wait_for(1)
        assert b"secret" in here.reads(message.data, OF_BOB)
        assert here.ours.ends(id_) == {BOB: "delivered"}


def test_every_attempt_sends_the_same_octets_also_after_a_restart(tmp_path: Path) -> None:
    later = Script(replies={"DOT": ["451 4.3.0 later", "250 2.0.0 ok"]})
    with world(tmp_path, "sign: always, encrypt: required", script=later) as here:
        pem(tmp_path / "recipients", BOB, OF_BOB)
        id_ = here.send(BOB)
        here.ours.waits(id_)
        first = here.fabrikam.refused[-1].data
        here.ours.retry(id_)
        [message] = here.fabrikam.wait_for(1)
        assert message.data == first
        assert here.ours.ends(id_) == {BOB: "delivered"}


def test_a_stranger_gets_no_signature_of_ours(tmp_path: Path) -> None:
    """Eve, from outside, writes as Alice to a colleague; `inside` signs what our own systems send."""
    with world(tmp_path, "sign: always") as here:
        forged = MAIL.replace(b"alice@contoso.example", b"eve@stranger.example")
        id_ = here.send(BOB, data=forged)
        assert here.ours.ends(id_) == {BOB: "failed"}
        assert "its author is of no domain of ours" in str(here.ours.trace(id_)["recipients"])
        assert here.fabrikam.messages == []


AMBIGUOUS = MAIL.replace(
    b"Content-Type: text/plain; charset=utf-8\r\n",
    b"Content-Type: text/plain\r\nContent-Type: text/html\r\n",
)


def test_what_two_readers_would_read_differently_is_not_signed(tmp_path: Path) -> None:
    with world(tmp_path, "sign: always") as here:
        id_ = here.send(BOB, data=AMBIGUOUS)
        assert here.ours.ends(id_) == {BOB: "failed"}
        assert "smime-structure: duplicate-content-type" in str(here.ours.trace(id_)["recipients"])


def test_a_protected_subject_is_hidden_outside(tmp_path: Path) -> None:
    with world(tmp_path, "sign: always, encrypt: required, header_protection: confidential") as here:
        pem(tmp_path / "recipients", BOB, OF_BOB)
        here.send(BOB)
        [message] = here.fabrikam.wait_for(1)
        assert b"the plan" not in message.data
        assert b"Subject: [...]" in message.data
        assert b"Subject: the plan" in here.verified(here.reads(message.data, OF_BOB))


def test_explain_names_the_certificate_it_would_use_and_why_not_the_others(tmp_path: Path) -> None:
    with world(tmp_path, "sign: always, encrypt: required") as here:
        pem(tmp_path / "recipients", BOB, OF_BOB)
        expired = PEOPLE.issue_expired(emails=[BOB], eku=["emailProtection"], key="ec-p256")
        pem(tmp_path / "recipients", f"old-{BOB}", expired)
        found = here.ours.relay.ask("explain", "--from", ALICE, "--to", BOB, "--to", CAROL, "--client-ip", "127.0.0.1")
        bob, carol = (recipient["smime"] for recipient in found["recipients"])
        assert bob["decision"] == "signed and encrypted"
        assert bob["signer"]["sha256"] == sha256(OF_ALICE.der).hexdigest()
        assert (bob["certificate"]["sha256"], bob["certificate"]["source"]) == (
            sha256(OF_BOB.der).hexdigest(),
            "folder",
        )
        assert [other["reason"] for other in bob["others"] if "expired" in other["reason"]] != []
        assert carol["decision"] == "refused"
        assert carol["reason"].startswith("smime-no-certificate: ")
        told = here.ours.relay.command("explain", "--from", "eve@x.example", "--to", BOB, "--client-ip", "127.0.0.1")
        assert "smime-foreign-author" in told.stdout
        assert here.fabrikam.messages == []
