"""What `mta trace` tells of a message."""

from __future__ import annotations

import io
import json
import time
from dataclasses import replace
from typing import Any

import pytest

from mta.cli import trace as commands
from mta.cli.paint import Paint, clock, paint_for
from mta.cli.trace import _unjudged, story, trace
from mta.model.evidence.attempt import Attempt
from tests.unit.policy.world import configuration

NOW = 1_800_000_000.0
DAY = 86_400


def certificate(name: str, days: float = 80) -> dict[str, Any]:
    return {
        "subject": f"CN={name}",
        "issuer": "CN=Fabrikam CA",
        "serial": "01",
        "names": [name],
        "sha256": "ab" * 32,
        "spki_sha256": "x",
        "not_before": int(NOW - DAY),
        "not_after": int(NOW + days * DAY),
        "key": "ec-secp256r1",
    }


def tls(name: str = "", days: float = 80) -> dict[str, Any]:
    chain = [certificate(name, days)] if name else []
    return {"used": True, "version": "1.3", "cipher": "AES_256", "group": "X25519", "chain": chain}


def attempt(**more: Any) -> dict[str, Any]:
    return {
        "host": "mx.fabrikam.example",
        "port": 25,
        "address": "192.0.2.1",
        "seconds": 0.25,
        "requirement": "verified:mx.fabrikam.example",
        "verdict": "tls=verified",
        "tls": tls("mx.fabrikam.example"),
        **more,
    }


def message(*events: dict[str, Any], **more: Any) -> dict[str, Any]:
    recipient = {"address": "bob@fabrikam.example", "connector": "fabrikam", "state": "delivered", "due": 0.0}
    return {
        "id": "01aaa",
        "sender": "alice@contoso.example",
        "size": 900,
        "received": NOW - 60,
        "inbound": "internal",
        "recipients": [{**recipient, "attempts": 1, "reason": "", **more.pop("recipient", {})}],
        "accepted": {
            "client": "10.0.0.7",
            "helo": "desk.contoso.example",
            "connector": "internal",
            "mode": "enforce",
            "reasons": ["proven: 10.0.0.7 is in a network of internal"],
            "tls": more.pop("tls", tls()),
            **more.pop("accepted", {}),
        },
        "events": list(events),
        **more,
    }


def happened(event: str, **more: Any) -> dict[str, Any]:
    detail = {"connector": "fabrikam", "destination": "fabrikam.example", "reason": "", "attempts": []}
    return {"time": NOW - 50, "event": event, "recipients": ["bob@fabrikam.example"], **detail, **more}


def told(*events: dict[str, Any], **more: Any) -> str:
    return story(message(*events, **more), NOW, Paint())


def test_the_acceptance_names_client_helo_connector_reason_and_tls() -> None:
    text = told()
    assert "from 10.0.0.7, which called itself desk.contoso.example" in text
    assert "under connector internal\n" in text
    assert "because proven: 10.0.0.7 is in a network of internal" in text
    assert "TLS 1.3 AES_256 X25519" in text
    assert "the client showed no certificate" in text


def test_a_client_certificate_is_shown_with_issuer_and_days_left() -> None:
    text = told(tls=tls("mail.partner.example", days=9))
    assert "the client showed CN=mail.partner.example for mail.partner.example" in text
    assert "issued by CN=Fabrikam CA, 9 days left" in text


def test_an_expired_certificate_is_called_so() -> None:
    assert "expired 2d ago" in told(tls=tls("mail.partner.example", days=-2))


def test_a_session_in_clear_is_called_so() -> None:
    assert "in clear, without TLS" in told(tls={"used": False})


def test_audit_tells_what_enforcing_would_have_done() -> None:
    would = {"decision": "refuse", "reply": "550 5.7.10 TLS", "reasons": ["no-tls: in clear"]}
    text = told(accepted={"mode": "audit", "would": would})
    assert "(audit: nothing is enforced)" in text
    assert "enforced, it would have been: refuse 550 5.7.10 TLS" in text
    assert "because no-tls: in clear" in text


def test_a_delivery_names_host_requirement_verdict_certificate_and_the_peers_words() -> None:
    text = told(happened("delivery.delivered", attempts=[attempt()], reason="mx said 250 2.0.0 Queued as X"))
    assert "delivered: bob@fabrikam.example" in text
    assert "under connector fabrikam to fabrikam.example" in text
    assert "asked mx.fabrikam.example[192.0.2.1]:25 in 0.25 s" in text
    assert "required verified:mx.fabrikam.example: tls=verified" in text
    assert "the host showed CN=mx.fabrikam.example for mx.fabrikam.example" in text
    assert f"sha256 {'ab' * 32}" in text
    assert "mx said 250 2.0.0 Queued as X" in text
    assert text.endswith("bob@fabrikam.example is delivered after 1 attempt; the next hop has it: its log tells more")


def test_a_deferral_tells_why_and_when_it_goes_on() -> None:
    failure = {"scope": "host", "permanent": False, "reply": "450 4.7.5 x", "reason": "certificate-expired: since May"}
    broken = attempt(verdict="tls=encrypted!verified", failure=failure)
    waiting = {"state": "queued", "due": NOW + 300, "attempts": 2}
    words = "mx.fabrikam.example: certificate-expired: since May"
    text = told(happened("delivery.deferred", attempts=[broken], next=NOW + 300, reason=words), recipient=waiting)
    assert text.count("certificate-expired") == 1
    assert "not delivered yet: bob@fabrikam.example" in text
    assert "tls=encrypted!verified" in text
    assert "certificate-expired: since May (for now, concerns the host)" in text
    assert f"next attempt at {clock(NOW + 300)}" in text
    assert "is queued after 2 attempts; next: an attempt in 5m" in text


def test_what_the_peer_said_to_a_recipient_is_told_though_the_attempt_went_well() -> None:
    text = told(happened("delivery.failed", attempts=[attempt()], reason="mx said 550 5.1.1 who?"))
    assert "mx said 550 5.1.1 who?" in text


def test_an_address_literal_is_written_once() -> None:
    text = told(happened("delivery.delivered", attempts=[attempt(host="192.0.2.1")]))
    assert "asked 192.0.2.1:25 in" in text


def test_an_attempt_that_reached_no_tls_says_so() -> None:
    failure = {"scope": "session", "permanent": False, "reply": "450", "reason": "connect: refused"}
    text = told(happened("delivery.deferred", attempts=[attempt(verdict="", tls={"used": False}, failure=failure)]))
    assert "required verified:mx.fabrikam.example: not reached" in text
    assert "without TLS" not in text


def test_held_mail_names_the_command_that_frees_it() -> None:
    text = told({**happened("message.held", by="administrator", note="ask Bob")}, recipient={"state": "held"})
    assert "by: administrator" in text
    assert "note: ask Bob" in text
    assert "mta queue release 01aaa" in text


def test_a_report_of_ours_names_the_message_it_is_about() -> None:
    text = told(accepted={"notice": "failure", "about": "01zzz"}, sender="")
    assert "from <>" in text
    assert "written by this relay: failure about 01zzz" in text


def test_what_a_peer_wrote_cannot_steer_the_terminal() -> None:
    evil = "evil\x1b]0;owned\x07\nforged line"
    for paint in (Paint(), Paint(colour=True)):
        text = story(message(happened("delivery.failed", reason=evil), accepted={"helo": evil}), NOW, paint)
        assert "\x1b]0" not in text
        assert "\nforged" not in text


def test_colour_is_for_terminals_without_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert paint_for(Terminal()).colour
    assert not paint_for(io.StringIO()).colour
    monkeypatch.setenv("NO_COLOR", "1")
    assert not paint_for(Terminal()).colour
    assert "\x1b[32m" in story(message(), NOW, Paint(colour=True))
    assert "\x1b" not in story(message(), NOW, Paint())


def test_the_newest_message_comes_first_and_since_is_a_moment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[dict[str, Any]] = []

    def ask(config: str, request: dict[str, Any]) -> dict[str, Any]:
        asked.append(request)
        return {"messages": [{**message(), "id": "old", "received": 1.0}, {**message(), "id": "new", "received": 2.0}]}

    monkeypatch.setattr(commands, "ask", ask)
    assert trace("x", {"id": "", "since": "4h", "limit": 1}, json_output=True) == 0
    assert [found["id"] for found in json.loads(capsys.readouterr().out)["messages"]] == ["new"]
    assert asked[0]["command"] == "trace"
    assert asked[0]["since"] == pytest.approx(time.time() - 4 * 3600, abs=60)


def test_below_the_stories_stands_what_people_wrote_of_the_partner(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = configuration()
    partner = replace(known.connectors["fabrikam"], contact="Jane Doe", reference="C-1")
    known = replace(known, connectors={**known.connectors, "fabrikam": partner})
    monkeypatch.setattr(commands, "ask", lambda config, request: {"messages": [message()]})
    monkeypatch.setattr(commands, "look", lambda config, need: known)
    assert trace("x", {}, json_output=False) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "fabrikam: contact Jane Doe, reference C-1"


def test_no_such_message_is_one_line_and_exit_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(commands, "ask", lambda config, request: {})
    assert trace("x", {"id": "nope"}, json_output=False) == 1
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "mta: no message matches\n")


def test_who_really_sent_it_is_told_and_what_taking_it_in_broke() -> None:
    """Every method with its result and whose it is, the reasons once, and the signatures we spoiled."""
    found = {
        "spf": {"helo": {}, "mail_from": {"result": "fail", "domain": "fabrikam.example"}},
        "dkim": [{"result": "pass", "selector": "s1", "domain": "fabrikam.example"}],
        "dmarc": {"result": "pass", "domain": "fabrikam.example"},
        "arc": {"result": "none", "sealers": []},
        "reasons": ["proven: 10.0.0.7 is in a network of internal", "null-mx: why"],
        "broken_signatures": ["s1._domainkey.fabrikam.example: why"],
    }
    text = told(accepted={"authentication": found})
    assert "    spf=fail fabrikam.example\n" in text
    assert "    dkim=pass s1._domainkey.fabrikam.example\n" in text
    assert "    arc=none\n" in text
    assert text.count("proven: 10.0.0.7") == 1
    assert "      because null-mx: why\n" in text
    assert "taking it in broke the signature s1._domainkey.fabrikam.example: why" in text
    assert "dkim=none" in told(accepted={"authentication": found | {"dkim": []}})
    assert "spf=" not in told()


def test_a_signature_broken_on_the_way_out_stands_in_the_history() -> None:
    event = {"time": NOW, "event": "signature.broken", "recipients": ["bob@fabrikam.example"]}
    text = told(event | {"signatures": ["s1._domainkey.a.example: the body it signs was changed"]})
    assert "a signature it came with was broken by us: bob@fabrikam.example" in text
    assert "s1._domainkey.a.example: the body it signs was changed" in text


@pytest.mark.parametrize(
    ("tls", "reason", "words"),
    [
        ({"used": False}, "connect: refused", "not reached"),
        ({"used": False}, "starttls-not-offered: TLS is demanded", "reached, no TLS came about"),
        ({"used": True}, "greeting: mx refused the conversation: 421", "TLS came about, the conversation ended"),
    ],
)
def test_how_far_an_attempt_came_is_said_where_nothing_was_judged(tls: dict, reason: str, words: str) -> None:
    attempt = {"tls": tls, "failure": {"reason": reason, "permanent": False, "scope": "host"}}
    assert _unjudged(Attempt.from_json(attempt)).startswith(words)
