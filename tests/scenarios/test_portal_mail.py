"""Mail to somebody without a certificate is sealed in the vault; the reader gets a notice and not one word of it."""

from __future__ import annotations

import contextlib
import email
import email.policy
import json
import os
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.scenarios.test_protect_files import done
from tests.support.client import client
from tests.support.outgoing import ALICE, Outgoing, outgoing
from tests.support.portal import CONFIG, running_portal
from tests.support.running_mta import mta, until
from tests.support.smtp_peer import Script, SmtpPeer, smtp_peer

BOB, CAROL, EVE = "bob@fabrikam.example", "carol@fabrikam.example", "eve@fabrikam.example"
SECRET = b"quokka-4711"
MAIL = (
    b"From: Alice Abel <alice@contoso.example>\r\nTo: Bob <bob@fabrikam.example>\r\nBcc: eve@fabrikam.example\r\n"
    b"Subject: [secure] takeover of the zoo\r\nMessage-ID: <1@contoso.example>\r\n\r\n"
    b"The password is " + SECRET + b".\r\n"
)
REST = """
protection:
  root_keys: [{id: r1, key: keys/r1.key}]
  labels:
    confidential: {rights: do-not-forward, expires: 30d}
    open: {rights: encrypt-only, show_subject: true, language: de}
  triggers: [{subject: "[secure]", label: open}]
"""
PORTAL = 'portal: {address: "127.0.0.1:0", url: "https://portal.contoso.example", proxy: ["127.0.0.1/32"]}'


@dataclass
class World:
    ours: Outgoing
    fabrikam: SmtpPeer
    folder: Path

    def command(self, *words: str) -> str:
        return done(self.folder, *words)

    def items(self) -> list[dict[str, object]]:
        found: list[dict[str, object]] = json.loads(self.command("protected", "list", "--json"))
        return found


@contextlib.contextmanager
def world(folder: Path, protect: str, script: Script | None = None, **more: str) -> Iterator[World]:
    with smtp_peer(script) as fabrikam:
        connectors = f"""
            fabrikam:
              domains: [fabrikam.example]
              inbound: {{identity: none}}
              outbound: {{route: {{hosts: ["127.0.0.1:{fabrikam.port}"]}}, tls: {{level: none}}, {protect}}}
        """
        folder.joinpath("connectors.yaml").write_text(f"server: {{hostname: mx.contoso.example}}\n{REST}")
        done(folder, "keys", "root", "create", "r1")
        with outgoing(folder, connectors, rest=REST, server=PORTAL, **more) as ours:
            yield World(ours, fabrikam, folder)


def text_of(data: bytes) -> tuple[email.message.EmailMessage, str, str]:
    message = email.message_from_bytes(data, policy=email.policy.default)
    plain, page = message.get_body(("plain",)), message.get_body(("html",))
    assert plain is not None
    assert page is not None
    return message, plain.get_content(), page.get_content()


def test_a_stranger_gets_a_notice_and_the_vault_has_the_mail(tmp_path: Path):
    with world(tmp_path, "protect: {when: always, label: confidential}") as here:
        id_ = here.ours.send(BOB, EVE, data=MAIL.replace(b"[secure] ", b""))
        assert set(here.ours.ends(id_).values()) == {"delivered"}
        got = here.fabrikam.wait_for(2)
        for delivered in got:
            assert SECRET not in delivered.data
            assert b"zoo" not in delivered.data
            message, plain, page = text_of(delivered.data)
            assert message["from"] == "Alice Abel <alice@contoso.example>"
            assert message["auto-submitted"] == "auto-generated"
            assert message["content-language"] == "en"
            assert "Alice Abel (alice@contoso.example)" in plain
            [link] = re.findall(r"https://portal\.contoso\.example/m/([a-z2-7]{26})", plain)
            assert f'href="https://portal.contoso.example/m/{link}"' in page
            assert "<img" not in page
        [item] = here.items()
        assert item["label"] == "confidential"
        [file] = (tmp_path / "var/vault/items").iterdir()
        opened = here.command("open", str(file), "--as", BOB, "--out", "-")
        assert "quokka-4711" in opened
        assert "takeover of the zoo" in opened
        assert "eve@" not in opened
        shown = here.command("protected", "show", str(item["item"]), "--json")
        assert EVE in shown
        [event] = [e for e in here.ours.trace(id_)["events"] if e["event"] == "delivery.delivered"]
        assert {one["item"] for one in event["protection"]} == {item["item"]}
        assert event["protection"][0]["way"] == "portal"
        story = here.command("trace", id_)
        assert f"sealed as item {item['item']}, label confidential" in story
        assert f"item {item['item']} is live, label confidential" in story
        assert re.search(rf"open by {BOB} \(console\), entry \d+", story)
        here.command("protected", "revoke", str(item["item"]), "--reader", EVE)
        [traced] = json.loads(here.command("trace", id_, "--json"))["messages"][0]["items"]
        assert {one["reader"]: one["state"] for one in traced["readers"]} == {BOB: "may open", EVE: "revoked"}
        assert [(one["by"], one["how"], one["method"]) for one in traced["opened"]] == [(BOB, "open", "console")]
        assert traced["protected"]["root_key"] == "r1"
        assert here.command("trace", "--to", EVE).count(f"item {item['item']} is live") >= 2  # the notice has it, too
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".eml"]
    assert not [path for path in files if SECRET in path.read_bytes()]  # nor in the queue, once it has ended


def test_a_tag_decides_is_taken_out_and_the_label_says_language_and_subject(tmp_path: Path):
    with world(tmp_path, "protect: {when: triggers}") as here:
        id_ = here.ours.send(BOB, data=MAIL)
        assert here.ours.ends(id_) == {BOB: "delivered"}
        [delivered] = here.fabrikam.wait_for(1)
        message, plain, _ = text_of(delivered.data)
        assert message["subject"] == "takeover of the zoo"
        assert message["content-language"] == "de"
        assert "geschützte Nachricht" in plain
        assert SECRET not in delivered.data
        [file] = (tmp_path / "var/vault/items").iterdir()
        opened = here.command("open", str(file), "--as", BOB, "--out", "-")
        assert "Subject: takeover of the zoo" in opened
        clear = here.ours.send(BOB, data=MAIL.replace(b"[secure]", b"[open]"))
        assert here.ours.ends(clear) == {BOB: "delivered"}
        assert SECRET in here.fabrikam.wait_for(2)[-1].data
        assert len(here.items()) == 1


def test_encryption_demanded_and_no_certificate_leads_to_the_portal(tmp_path: Path):
    smime = "smime: {encrypt: required, without_certificate: portal}, protect: {label: confidential}"
    with world(tmp_path, smime) as here:
        id_ = here.ours.send(BOB, data=MAIL)
        assert here.ours.ends(id_) == {BOB: "delivered"}
        [delivered] = here.fabrikam.wait_for(1)
        assert SECRET not in delivered.data
        assert b"/m/" in delivered.data
        (tmp_path / "mail.eml").write_bytes(MAIL)
        told = json.loads(
            here.command(
                *("explain", "--from", ALICE, "--to", BOB, "--client-ip", "127.0.0.1"),
                *("--message", str(tmp_path / "mail.eml"), "--json"),
            )
        )
        protect = told["recipients"][0]["protect"]
        assert (protect["label"], protect["way"]) == ("confidential", "portal")
        assert protect["why"] == "smime.without_certificate: portal"
        assert [one["way"] for one in protect["others"]] == ["smime", "tls"]
        assert protect["rights"]["REPLY"] == "enforced"


def test_a_vault_that_is_away_lets_the_mail_wait_and_nothing_goes_back(tmp_path: Path):
    with world(tmp_path, "protect: {when: always, label: confidential}") as here:
        done(tmp_path, "keys", "root", "archive", "r1")
        id_ = here.ours.send(BOB, data=MAIL)
        assert "no root key is active" in here.ours.waits(id_)["reason"]
        assert here.items() == []
        assert list((tmp_path / "var/vault/items").iterdir()) == []
        done(tmp_path, "keys", "root", "activate", "r1")
        here.ours.retry(id_)
        assert here.ours.ends(id_) == {BOB: "delivered"}
        assert len(here.items()) == 1
        assert SECRET not in here.fabrikam.wait_for(1)[0].data


def test_a_report_of_such_mail_returns_nothing_of_it(tmp_path: Path):
    limits = "lifetime: 1\nretry_min: 1"
    with world(tmp_path, "protect: {when: always, label: confidential}", limits=limits) as here:
        done(tmp_path, "keys", "root", "archive", "r1")
        here.ours.send(BOB, data=MAIL)
        [report] = here.ours.home.wait_for(1)
        assert b"no root key is active" in report.data
        assert SECRET not in report.data
        assert b"zoo" not in report.data
        assert here.fabrikam.messages == []


def test_a_notice_that_cannot_be_delivered_is_told_to_the_sender_without_its_link(tmp_path: Path):
    refuses = Script(recipients={BOB: "550 5.1.1 no such user"})
    with world(tmp_path, "protect: {when: always, label: confidential}", refuses) as here:
        here.ours.send(BOB, data=MAIL)
        [report] = here.ours.home.wait_for(1)
        assert b"no such user" in report.data
        assert SECRET not in report.data
        assert b"/m/" not in report.data
        assert b"zoo" not in report.data


def test_killed_again_and_again_there_is_one_item_and_a_notice(tmp_path: Path):
    with world(tmp_path, "protect: {when: always, label: confidential}") as here:
        ids = []
        for _ in range(3):
            ids.append(here.ours.send(BOB, data=MAIL))
            for pid in here.ours.relay.workers():
                os.kill(pid, signal.SIGKILL)
            until(lambda: _serves(here), describe="a worker is back")
        for id_ in ids:
            here.ours.ends(id_)
        until(lambda: len(here.fabrikam.messages) >= 3, describe="the notices")
        assert len(here.items()) == 3
        assert len(list((tmp_path / "var/vault/items").glob("*.tdf"))) >= 3
        assert not any(SECRET in one.data for one in here.fabrikam.messages)


def _serves(here: World) -> bool:
    try:
        with client(here.ours.relay.port):
            return True
    except OSError:
        return False


def test_a_large_mail_goes_there_from_its_file(tmp_path: Path):
    with world(tmp_path, "protect: {when: always, label: confidential}") as here:
        body = b"".join(b"%06d the quokka is in the box\r\n" % n for n in range(60_000))
        id_ = here.ours.send(BOB, data=MAIL + body)
        assert here.ours.ends(id_) == {BOB: "delivered"}
        [file] = (tmp_path / "var/vault/items").iterdir()
        out = tmp_path / "got.eml"
        here.command("open", str(file), "--as", BOB, "--out", str(out))
        whole = MAIL.replace(b"Bcc: eve@fabrikam.example\r\n", b"").replace(b"[secure] ", b"") + body
        assert out.read_bytes() == whole
        assert not [one for one in (tmp_path / "queue").rglob("*") if one.is_file() and one.stat().st_size > 1 << 20]


def test_from_the_notice_to_the_message_in_a_browser_and_nothing_on_the_way_was_in_clear(tmp_path: Path):
    made = mta("keys", "dkim", "new", "contoso.example", "s1", "--out", str(tmp_path / "s1.key"), cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    text = CONFIG.replace(
        "connectors:\n", "connectors:\n  internal: {relay: true, inbound: {networks: [127.0.0.0/8]}}\n"
    )
    text = text.replace("tls: {level: none}}", "tls: {level: none}, protect: {when: always, label: open}}")
    home = '{deliver_to: ["127.0.0.1:{sink}"]'
    text = text.replace(home, f"{home}, dkim: [{{selector: s1, key: s1.key}}]")
    with running_portal(tmp_path, text) as portal:
        with client(portal.relay.port) as session:
            assert session.say(f"MAIL FROM:<{ALICE}>").startswith("250")
            assert session.say(f"RCPT TO:<{BOB}>").startswith("250")
            assert session.say("DATA").startswith("354")
            session.smtp.send(MAIL + b".\r\n")
            assert session.smtp.getreply()[0] == 250
        [notice] = portal.sink.wait_for(1)
        assert b"d=contoso.example" in notice.data.partition(b"\r\n\r\n")[0]
        _, plain, _ = text_of(notice.data)
        [link] = re.findall(r"/m/([a-z2-7]{26})", plain)
        browser = portal.browser()
        assert browser.get(f"/m/{link}")[0] == 200
        assert browser.post(f"/m/{link}/start", address=BOB)[0] == 303
        status, _, place = browser.post(f"/m/{link}/code", code=portal.code(BOB))
        assert status == 303
        assert browser.post(f"{place}/open")[0] == 303
        assert SECRET.decode() in browser.get(f"{place}/body")[1] + browser.get(place)[1]
        assert not any(SECRET in one.data for one in portal.sink.messages)
