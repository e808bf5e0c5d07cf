"""Who really sent it: signed here, judged there, demanded per partner."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dkim
import pytest

from tests.support.client import send
from tests.support.dns_server import SERVFAIL, dns_server
from tests.support.patience import patient
from tests.support.running_mta import RunningMta, mta, running_mta, until
from tests.support.smtp_peer import Script, smtp_peer

MESSAGE = b"From: Bob <bob@fabrikam.example>\r\nTo: alice@contoso.example\r\nSubject: hello\r\n\r\nGood morning.\r\n"


def quoted(text: str) -> str:
    """A TXT record as zone files write it: strings of at most 255 octets."""
    return " ".join(f'"{text[start : start + 255]}"' for start in range(0, len(text), 255))


@dataclass
class Fabrikam:
    """The partner: its key, and a signed message of its own."""

    zone: dict[tuple[str, str], Any]
    signed: bytes


@pytest.fixture(scope="module")
def fabrikam(tmp_path_factory: pytest.TempPathFactory) -> Fabrikam:
    """Fabrikam signs with its own mta, so the signature travels as real mail does."""
    folder = tmp_path_factory.mktemp("fabrikam")
    made = mta("keys", "dkim", "new", "fabrikam.example", "s1", "--out", str(folder / "s1.key"), "--json", cwd=folder)
    record = json.loads(made.stdout)["record"]
    zone = {
        ("s1._domainkey.fabrikam.example", "TXT"): [quoted(record)],
        ("fabrikam.example", "TXT"): [quoted("v=spf1 ip4:127.0.0.1 -all")],
        ("_dmarc.fabrikam.example", "TXT"): [quoted("v=DMARC1; p=reject")],
        ("stranger.example", "TXT"): [quoted("v=spf1 ip4:192.0.2.1 -all")],
    }
    with smtp_peer() as hop:
        text = f"""
        server: {{hostname: mx.fabrikam.example, listen: [{{address: "127.0.0.1:{{port}}"}}], workers: 1,
                  log: {{format: json}}}}
        domains:
          fabrikam.example:
            deliver_to: ["127.0.0.1:{hop.port}"]
            connector: internal
            dkim: [{{selector: s1, key: s1.key}}]
        connectors:
          internal: {{relay: true, inbound: {{networks: [127.0.0.0/8]}}, outbound: {{tls: {{level: none}}}}}}
          world: {{domains: [contoso.example], inbound: {{identity: none}}, outbound:
                   {{route: {{hosts: ["127.0.0.1:{hop.port}"]}}, tls: {{level: none}}}}}}
        """
        with running_mta(folder, text) as relay:
            sent = send(relay.port, "bob@fabrikam.example", ["alice@contoso.example"], MESSAGE)
            assert sent.accepted, sent
            hop.wait_for(1)
            return Fabrikam(zone, hop.messages[0].data)


@contextmanager
def contoso(folder: Path, fabrikam: Fabrikam, connector: str, default: str = "") -> Iterator[tuple[RunningMta, Any]]:
    """Our relay with a contract for Fabrikam, and the mailbox behind it."""
    with dns_server(fabrikam.zone) as (host, port), smtp_peer() as mailbox:
        text = f"""
        server: {{hostname: mx.contoso.example, listen: [{{address: "127.0.0.1:{{port}}"}}], workers: 1,
                  log: {{format: json}}, dns: {{nameservers: ["{host}:{port}"]}}}}
        domains:
          contoso.example: {{deliver_to: ["127.0.0.1:{mailbox.port}"], connector: inside}}
        connectors:
          inside: {{outbound: {{tls: {{level: none}}}}}}
          fabrikam: {{domains: [fabrikam.example], inbound: {connector}}}
          {default}
        """
        with running_mta(folder, text) as relay:
            yield relay, mailbox


ALIGNED = "{identity: none, authentication: {dkim: aligned, on_failure: refuse}}"


def test_an_aligned_signature_passes_and_the_verdict_stands_in_header_and_trace(
    tmp_path: Path, fabrikam: Fabrikam
) -> None:
    """What Fabrikam's relay signed is good at ours."""
    assert fabrikam.signed.startswith(b"DKIM-Signature:")
    with contoso(tmp_path, fabrikam, ALIGNED) as (relay, mailbox):
        sent = send(relay.port, "bob@fabrikam.example", ["alice@contoso.example"], fabrikam.signed)
        assert sent.accepted, sent
        mailbox.wait_for(1)
        arrived = mailbox.messages[0].data
        assert arrived.startswith(b"Authentication-Results: mx.contoso.example;")
        for word in (b"dkim=pass", b"spf=pass", b"dmarc=pass", b"header.d=fabrikam.example"):
            assert word in arrived.partition(b"Received:")[0], arrived
        assert arrived.endswith(fabrikam.signed)  # not a byte of it was changed
        found = relay.ask("trace", sent.id)["messages"][0]["accepted"]["authentication"]
        assert [entry["result"] for entry in found["dkim"]] == ["pass"]
        assert found["dmarc"]["result"] == "pass"


@pytest.mark.parametrize(
    ("change", "code", "reason"),
    [
        (lambda raw: raw.replace(b"Good morning.", b"Pay me now.."), "550 5.7.20", "dkim"),
        (lambda raw: MESSAGE, "550 5.7.20", "dkim"),
    ],
    ids=["altered", "unsigned"],
)
def test_without_the_partners_signature_its_mail_is_refused(
    tmp_path: Path, fabrikam: Fabrikam, change: Any, code: str, reason: str
) -> None:
    """An altered message and an unsigned one, each with its own words."""
    with contoso(tmp_path, fabrikam, ALIGNED) as (relay, _):
        sent = send(relay.port, "bob@fabrikam.example", ["alice@contoso.example"], change(fabrikam.signed))
        assert str(sent.data).startswith(code), sent
        refused = relay.wait_for("mail.refused", stage="DATA")
        assert refused["reasons"][0].startswith(f"{reason}:")


def test_an_unknown_answer_is_temporary(tmp_path: Path, fabrikam: Fabrikam) -> None:
    """A name server in trouble is not the partner's fault."""
    broken = Fabrikam({**fabrikam.zone, ("s1._domainkey.fabrikam.example", "TXT"): SERVFAIL}, fabrikam.signed)
    with contoso(tmp_path, broken, ALIGNED) as (relay, _):
        sent = send(relay.port, "bob@fabrikam.example", ["alice@contoso.example"], fabrikam.signed)
        assert str(sent.data).startswith("451 4.7.0"), sent


def test_quarantine_holds_until_an_administrator_releases(tmp_path: Path, fabrikam: Fabrikam) -> None:
    """The sender hears 250; the mail waits, and says why."""
    demand = "{identity: none, authentication: {dkim: aligned, on_failure: quarantine}}"
    with contoso(tmp_path, fabrikam, demand) as (relay, mailbox):
        sent = send(relay.port, "bob@fabrikam.example", ["alice@contoso.example"], MESSAGE)
        assert sent.accepted, sent
        [waiting] = relay.ask("queue", "list")["messages"]
        assert waiting["recipients"][0]["state"] == "held"
        assert "quarantine: dkim" in waiting["recipients"][0]["reason"]
        assert not mailbox.messages
        relay.command("queue", "release", sent.id, check=True)
        mailbox.wait_for(1)


def test_a_forged_verdict_of_ours_is_removed(tmp_path: Path, fabrikam: Fabrikam) -> None:
    """RFC 8601 §5: what bears our name was not written by us."""
    forged = b"Authentication-Results: mx.contoso.example; dkim=pass header.d=bank.example\r\n"
    other = b"Authentication-Results: mx.elsewhere.example; dkim=none\r\n"
    default = "default: {inbound: {authentication: {dmarc: report}}, outbound: {tls: {level: none}}}"
    with contoso(tmp_path, fabrikam, ALIGNED, default) as (relay, mailbox):
        raw = forged + other + MESSAGE.replace(b"fabrikam", b"stranger")
        assert send(relay.port, "x@stranger.example", ["alice@contoso.example"], raw).accepted
        mailbox.wait_for(1)
        arrived = mailbox.messages[0].data
        assert b"bank.example" not in arrived
        assert other in arrived
        assert arrived.count(b"Authentication-Results: mx.contoso.example") == 1
        assert b"spf=fail" in arrived


def test_a_list_brings_the_partners_mail_on_its_own_signature(tmp_path: Path, fabrikam: Fabrikam) -> None:
    """`header_from: dkim`: the list cannot prove to be the partner, the author's signature can."""
    contract = "{networks: [192.0.2.0/24], header_from: dkim}"
    with contoso(tmp_path, fabrikam, contract) as (relay, mailbox):
        through = send(relay.port, "list@lists.example", ["alice@contoso.example"], fabrikam.signed)
        assert through.accepted, through
        mailbox.wait_for(1)
        forged = send(relay.port, "list@lists.example", ["alice@contoso.example"], MESSAGE)
        assert str(forged.data).startswith("550 5.7.1"), forged


def test_verify_tells_the_whole_story(fabrikam: Fabrikam) -> None:
    """`mta verify` on the same message, with the document of the contract."""
    with dns_server(fabrikam.zone) as (host, port):
        words = ["--ip", "127.0.0.1", "--helo", "mx.fabrikam.example", "--mail-from", "bob@fabrikam.example"]
        done = subprocess.run(
            [sys.executable, "-m", "mta", "verify", *words, "--nameserver", f"{host}:{port}", "--json"],
            input=fabrikam.signed,
            capture_output=True,
            timeout=patient(60),
        )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["spf"]["mail_from"]["result"] == "pass"
    assert [(entry["result"], entry["domain"], entry["selector"]) for entry in document["dkim"]] == [
        ("pass", "fabrikam.example", "s1")
    ]
    assert (document["dmarc"]["result"], document["dmarc"]["policy"]) == ("pass", "reject")
    assert document["arc"]["result"] == "none"
    assert document["authentication_results"].startswith("Authentication-Results:")


@pytest.mark.parametrize(("altered", "status"), [(False, 0), (True, 1)], ids=["good", "altered"])
def test_explain_says_what_live_does(tmp_path: Path, fabrikam: Fabrikam, altered: bool, status: int) -> None:
    """`mta explain --message` authenticates as the relay does, down to the reply and the field it writes."""
    raw = fabrikam.signed.replace(b"Good morning.", b"Pay me now..") if altered else fabrikam.signed
    (tmp_path / "mail.eml").write_bytes(raw)
    with contoso(tmp_path, fabrikam, ALIGNED) as (relay, mailbox):
        sent = send(relay.port, "bob@fabrikam.example", ["alice@contoso.example"], raw)
        words = ["--from", "bob@fabrikam.example", "--to", "alice@contoso.example", "--client-ip", "127.0.0.1"]
        words += ["--helo", "client.example", "--message", str(tmp_path / "mail.eml"), "--json"]
        done = relay.command("explain", *words)
        assert done.returncode == status, done.stderr
        told = json.loads(done.stdout)["inbound"]
        assert (told["decision"], told["connector"]) == ("refuse" if altered else "accept", "fabrikam")
        if altered:
            assert told["reply"] == str(sent.data)
            assert relay.wait_for("mail.refused", stage="DATA")["reasons"] == told["reasons"][:1]
            return
        mailbox.wait_for(1)
        assert mailbox.messages[0].data.startswith(told["authentication"]["authentication_results"].encode())
        live = relay.ask("trace", sent.id)["messages"][0]["accepted"]["authentication"]
        assert {key: live[key] for key in ("spf", "dkim", "dmarc", "arc", "sender")} == {
            key: told["authentication"][key] for key in ("spf", "dkim", "dmarc", "arc", "sender")
        }


def test_a_sender_whose_domain_takes_no_mail_is_refused(tmp_path: Path, fabrikam: Fabrikam) -> None:
    """RFC 7505 §4.2: nobody could answer it. `default` only tells."""
    zone = {**fabrikam.zone, ("fabrikam.example", "MX"): ["0 ."], ("stranger.example", "MX"): ["0 ."]}
    default = "default: {inbound: {authentication: {dmarc: report}}, outbound: {tls: {level: none}}}"
    with contoso(tmp_path, Fabrikam(zone, fabrikam.signed), ALIGNED, default) as (relay, _):
        refused = send(relay.port, "bob@fabrikam.example", ["alice@contoso.example"], fabrikam.signed)
        assert str(refused.data).startswith("550 5.7.27"), refused
        other = MESSAGE.replace(b"fabrikam", b"stranger")
        told = send(relay.port, "x@stranger.example", ["alice@contoso.example"], other)
        assert told.accepted, told
        found = relay.ask("trace", told.id)["messages"][0]["accepted"]["authentication"]
        assert found["reasons"][-1].startswith("null-mx: stranger.example")


def test_a_signature_that_we_break_is_named_in_the_trace(tmp_path: Path, fabrikam: Fabrikam) -> None:
    """A field that bears our name was signed by whoever forged it: it goes, and the trace says what that broke."""
    key = (tmp_path / "s2.key").as_posix()
    made = mta("keys", "dkim", "new", "stranger.example", "s2", "--out", key, "--json", cwd=tmp_path)
    record = json.loads(made.stdout)["record"]
    zone = {**fabrikam.zone, ("s2._domainkey.stranger.example", "TXT"): [quoted(record)]}
    default = "default: {inbound: {authentication: {dmarc: report}}, outbound: {tls: {level: none}}}"
    forged = b"Authentication-Results: mx.contoso.example; dkim=pass\r\n" + MESSAGE.replace(b"fabrikam", b"stranger")
    names = [b"from", b"subject", b"authentication-results"]
    signature = dkim.sign(forged, b"s2", b"stranger.example", Path(key).read_bytes(), include_headers=names)
    with contoso(tmp_path, Fabrikam(zone, fabrikam.signed), ALIGNED, default) as (relay, _):
        sent = send(relay.port, "x@stranger.example", ["alice@contoso.example"], bytes(signature) + forged)
        assert sent.accepted, sent
        found = relay.ask("trace", sent.id)["messages"][0]["accepted"]["authentication"]
        assert [entry["result"] for entry in found["dkim"]] == ["pass"]
        [told] = found["broken_signatures"]
        assert told.startswith("s2._domainkey.stranger.example: header fields it signs were changed")
        assert relay.wait_for("signature.broken")["signatures"] == [told]
        assert "taking it in broke the signature s2._domainkey" in relay.command("trace", sent.id).stdout


def test_every_attempt_sends_the_same_bytes(tmp_path: Path, fabrikam: Fabrikam, tmp_path_factory: Any) -> None:
    """A retry carries the signature of the first attempt."""
    folder = tmp_path_factory.mktemp("retry")
    made = mta("keys", "dkim", "new", "fabrikam.example", "s1", "--out", str(folder / "s1.key"), cwd=folder)
    assert made.returncode == 0, made.stderr
    with smtp_peer(Script(replies={"DOT": ["451 4.3.0 later", "250 2.0.0 taken"]})) as hop:
        text = f"""
        server: {{hostname: mx.fabrikam.example, listen: [{{address: "127.0.0.1:{{port}}"}}], workers: 1,
                  log: {{format: json}}, limits: {{retry_min: 1, host_backoff: 0}}}}
        domains:
          fabrikam.example: {{deliver_to: ["127.0.0.1:{hop.port}"], connector: internal,
                              dkim: [{{selector: s1, key: s1.key}}]}}
        connectors:
          internal: {{relay: true, inbound: {{networks: [127.0.0.0/8]}}, outbound: {{tls: {{level: none}}}}}}
        """
        with running_mta(folder, text) as relay:
            sent = send(relay.port, "bob@fabrikam.example", ["carol@fabrikam.example"], MESSAGE)
            relay.wait_for("delivery.deferred", message=sent.id)
            relay.wait_for("delivery.delivered", message=sent.id)
            bodies = until(lambda: hop.messages and hop.messages)
    assert bodies[-1].data.startswith(b"DKIM-Signature:")
