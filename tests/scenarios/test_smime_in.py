"""S/MIME that comes for us: opened where we hold the key, judged, and marked for the recipient."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.client import send
from tests.support.running_mta import RunningMta, mta, running_mta, until
from tests.support.smime import issue, person, root
from tests.support.smime_mail import MESSAGE, anna, berta, encrypt, sign, sign_and_encrypt
from tests.support.smtp_peer import SmtpPeer, smtp_peer

FORGED = b"X-MTA-SMIME: good; signer=anna@contoso.example\r\nAuthentication-Results: mx.contoso.example; smime=pass\r\n"
# Anna writes from elsewhere: nobody may say from outside to be one of us.
FROM_OUTSIDE = MESSAGE.replace(b"anna@contoso", b"anna@fabrikam")
SENDER = "anna@fabrikam.example"


@contextmanager
def contoso(folder: Path) -> Iterator[tuple[RunningMta, SmtpPeer]]:
    """Our relay with a folder of people's keys, and the mailboxes behind it."""
    (folder / "people").mkdir()
    root().write(folder, "root")
    with smtp_peer() as mailboxes:
        text = f"""
        server: {{hostname: mx.contoso.example, listen: [{{address: "127.0.0.1:{{port}}"}}], workers: 1,
                  log: {{format: json}}}}
        domains:
          contoso.example:
            deliver_to: ["127.0.0.1:{mailboxes.port}"]
            smime: {{people: people}}
        connectors:
          default: {{inbound: {{tls: optional}}, outbound: {{tls: {{level: none}}}}}}
        directory:
          sources: [{{type: harvested}}]
          trust: {{anchors: root.pem, revocation: off}}
        """
        with running_mta(folder, text) as relay:
            yield relay, mailboxes


def test_encrypted_mail_is_opened_for_whom_it_was_encrypted_to(tmp_path: Path) -> None:
    with contoso(tmp_path) as (relay, mailboxes):
        people = tmp_path / "people"
        berta().write(people, "berta@contoso.example")
        person("p256", "carla").write(people, "carla@contoso.example")
        author = issue(anna().key, SENDER)
        secret = sign_and_encrypt(FROM_OUTSIDE, author, berta(), headers="confidential")
        to = ["berta@contoso.example", "carla@contoso.example"]
        sent = send(relay.port, SENDER, to, FORGED + secret)
        assert sent.accepted, sent
        mailboxes.wait_for(2)
        copies = {copy.recipients[0]: copy.data for copy in mailboxes.messages}
        opened, closed = (copies[address] for address in to)
        assert b"The figures of the third quarter." in opened
        assert b"\r\nSubject: the third quarter\r\n" in opened
        assert b"multipart/signed" in opened
        verdict = b"X-MTA-SMIME: good; signer=anna@fabrikam.example; encrypted=aes256-cbc;\r\n\t authenticated=yes\r\n"
        assert verdict in opened
        assert b"\r\nSubject: [...]\r\n" in closed
        assert secret[secret.index(b"\r\n\r\n") :] in closed
        assert b"X-MTA-SMIME: encrypted; encrypted=aes256-cbc; authenticated=no" in closed
        assert b"smime=pass" in opened
        assert b"smime=pass" not in closed
        for copy in (opened, closed):
            assert copy.count(b"X-MTA-SMIME:") == 1
        until(lambda: relay.seen("delivery.delivered"), describe="it is delivered")
        [told] = json.loads(mta("trace", "--json", "-c", str(relay.config), cwd=tmp_path).stdout)["messages"]
        done = [each for event in told["events"] for each in event.get("protection", ())]
        assert {each["to"][0]: each["opened"]["decrypted"] for each in done} == dict(
            zip(to, (True, False), strict=True)
        )


def test_the_author_of_signed_mail_can_be_answered_in_secret(tmp_path: Path) -> None:
    author = issue(anna().key, SENDER)
    with contoso(tmp_path) as (relay, mailboxes):
        signed = sign(FROM_OUTSIDE, author)
        assert send(relay.port, SENDER, ["berta@contoso.example"], signed).accepted
        [copy] = mailboxes.wait_for(1)
        assert b"X-MTA-SMIME: good; signer=anna@fabrikam.example\r\n" in copy.data
        assert copy.data.endswith(signed)
        found = mta("directory", "lookup", SENDER, "--json", "-c", str(relay.config), cwd=tmp_path)
        assert hashlib.sha256(author.der).hexdigest() in found.stdout


def test_a_new_key_is_seen_without_a_reload_and_other_mail_is_left_alone(tmp_path: Path) -> None:
    with contoso(tmp_path) as (relay, mailboxes):
        to = ["berta@contoso.example"]
        secret = encrypt(FROM_OUTSIDE, berta(), profile="authenticated")
        assert send(relay.port, SENDER, to, secret).accepted
        mailboxes.wait_for(1)
        berta().write(tmp_path / "people", "berta@contoso.example")
        assert send(relay.port, SENDER, to, secret).accepted
        mailboxes.wait_for(2)
        assert send(relay.port, SENDER, to, FORGED + FROM_OUTSIDE).accepted
        mailboxes.wait_for(3)
        closed, opened, plain = (copy.data for copy in mailboxes.messages)
        assert b"X-MTA-SMIME: encrypted;" in closed
        assert b"X-MTA-SMIME: unsigned; encrypted=aes256-gcm; authenticated=yes" in opened
        assert b"figures" in opened
        assert b"X-MTA-SMIME" not in plain
        assert plain.endswith(FROM_OUTSIDE)


def test_a_large_message_is_opened_from_its_file(tmp_path: Path) -> None:
    body = b"The figures of the third quarter, at length.\r\n" * 60_000
    with contoso(tmp_path) as (relay, mailboxes):
        berta().write(tmp_path / "people", "berta@contoso.example")
        secret = sign_and_encrypt(FROM_OUTSIDE + body, issue(anna().key, SENDER), berta())
        assert send(relay.port, SENDER, ["berta@contoso.example"], secret).accepted
        [copy] = mailboxes.wait_for(1)
        assert b"X-MTA-SMIME: good; signer=anna@fabrikam.example; encrypted=aes256-cbc;" in copy.data
        assert body in copy.data
