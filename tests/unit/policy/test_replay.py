"""What another configuration would have done to mail of the past."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mta.contract.authentication import Authentication
from mta.contract.connectors import Connector
from mta.contract.inbound import Inbound
from mta.contract.outbound import Outbound, OutboundTls
from mta.contract.values import HostPort
from mta.model.auth import AuthResult
from mta.model.tls import Pin, TlsLevel, TrustAnchors
from mta.policy.replay import replay, summary, words
from tests.unit.policy.history import BOB, CLEAR, EVE, LEAF, came, found, spoken, went
from tests.unit.policy.world import DAY, NOW, certificate, demanding, index, networks

PINNED = demanding(pins=(Pin("spki-sha256", LEAF.spki_sha256),))
SYSTEM = TrustAnchors("system", (), "system")


def partner(mode: str = "enforce", **inbound: Any) -> Connector:
    return Connector("fabrikam", mode, ("fabrikam.example",), inbound=Inbound(**{"identity": "none", **inbound}))


def demand(**demands: Any) -> Authentication:
    return Authentication(**{"checked": True, "on_failure": "refuse", **demands})


def judged(connector: Connector, message: dict[str, Any]) -> dict[str, Any]:
    document = replay(index(connector), message)
    assert document is not None
    return document


@pytest.mark.parametrize(
    ("inbound", "message", "outcome"),
    [
        ({}, came(), "same"),
        ({"tls": demanding()}, came(), "same"),
        ({"tls": demanding()}, came(tls=CLEAR), "worse"),
        ({"tls": demanding(min_version="1.3")}, came(tls=spoken(version="1.2")), "worse"),
        ({"networks": networks("203.0.113.0/24")}, came(), "same"),
        ({"networks": networks("192.0.2.0/24")}, came(), "worse"),
        ({"tls": PINNED}, came(tls=spoken(LEAF)), "same"),
        ({"tls": PINNED}, came(tls=spoken(replace(LEAF, spki_sha256="OTHER"))), "worse"),
        ({"tls": PINNED}, came(tls=spoken(replace(LEAF, not_after=NOW - DAY))), "worse"),
        ({"tls": demanding(names=("mail.fabrikam.example",), ca=SYSTEM)}, came(tls=spoken(LEAF)), "unknown"),
        ({"tls": demanding(names=("other.example",), ca=SYSTEM)}, came(tls=spoken(LEAF)), "worse"),
        ({"authentication": demand(dkim="aligned")}, came(authentication=found("fabrikam.example")), "same"),
        ({"authentication": demand(dkim="aligned")}, came(authentication=found("other.example")), "worse"),
        ({"authentication": demand(spf="pass")}, came(authentication=found(spf=AuthResult.PASS)), "same"),
        ({"authentication": demand(dkim="aligned")}, came(), "unknown"),
        ({"authentication": demand(dkim="aligned", on_failure="quarantine")}, came(authentication=found()), "worse"),
        ({"tls": demanding()}, came(EVE, author=BOB, tls=CLEAR), "worse"),  # the header From claims
        ({"tls": demanding()}, came(EVE, author=None), "unknown"),
        ({"tls": demanding()}, came("", author=BOB), "same"),
    ],
)
@pytest.mark.parametrize("mode", ["enforce", "audit"])
def test_what_would_have_become_of_mail_that_came(
    inbound: dict[str, Any], message: dict[str, Any], outcome: str, mode: str
) -> None:
    """An audit decides nothing, and is told as if it did: that is what the question is about."""
    document = judged(partner(mode, **inbound), message)
    assert document["outcome"] == document["inbound"]["outcome"] == outcome, document
    assert bool(document["inbound"]["reasons"]) is (outcome != "same")


def sending(level: TlsLevel, **tls: Any) -> Connector:
    outbound = Outbound(tls=OutboundTls(level, **tls))
    return Connector("fabrikam", domains=("fabrikam.example",), inbound=Inbound(identity="none"), outbound=outbound)


@pytest.mark.parametrize(
    ("connector", "message", "outcome"),
    [
        (sending(TlsLevel.ENCRYPTED), went(connector="fabrikam"), "same"),
        (sending(TlsLevel.ENCRYPTED), went(), "other"),  # it went by default
        (sending(TlsLevel.ENCRYPTED), went(tls=CLEAR, verdict="tls=none"), "worse"),
        (sending(TlsLevel.PINNED, pins=(Pin("spki-sha256", LEAF.spki_sha256),)), went(tls=spoken(LEAF)), "other"),
        (sending(TlsLevel.PINNED, pins=(Pin("spki-sha256", "x"),)), went(tls=spoken(LEAF)), "worse"),
        (sending(TlsLevel.VERIFIED), went(tls=spoken(LEAF)), "unknown"),
        (sending(TlsLevel.VERIFIED), went(tls=spoken(LEAF), verdict="tls=verified"), "other"),
        (sending(TlsLevel.VERIFIED, names=("x.example",)), went(tls=spoken(LEAF), verdict="tls=verified"), "worse"),
        (sending(TlsLevel.ENCRYPTED, min_version="1.3"), went(tls=spoken(version="1.2")), "worse"),
        (sending(TlsLevel.ENCRYPTED, dane="mandatory"), went(), "unknown"),
    ],
)
def test_what_would_have_become_of_mail_that_went(connector: Connector, message: dict[str, Any], outcome: str) -> None:
    document = judged(connector, message)
    [part] = document["recipients"]
    assert document["outcome"] == part["outcome"] == outcome, document
    assert part["connector"]["now"] == "fabrikam"


def test_other_hosts_are_unknown_and_the_same_ones_are_compared() -> None:
    base = sending(TlsLevel.ENCRYPTED)
    elsewhere = replace(base, outbound=replace(base.outbound, hosts=(HostPort("mx9.fabrikam.example", 25),)))
    assert judged(elsewhere, went())["outcome"] == "unknown"
    there = replace(base, outbound=replace(base.outbound, hosts=(HostPort("mx.fabrikam.example", 25),)))
    assert judged(there, went(tls=CLEAR))["outcome"] == "worse"


def test_an_outbound_audit_is_told_as_it_would_be() -> None:
    audited = replace(sending(TlsLevel.ENCRYPTED), mode="audit")
    assert judged(audited, went(tls=CLEAR, verdict="tls=none", connector="fabrikam"))["outcome"] == "worse"


def test_a_recipient_who_would_not_be_taken_is_worse() -> None:
    message = came(EVE)
    message["recipients"] = [{"address": "nobody@contoso.example", "connector": "internal"}]
    [part] = judged(partner(), message)["recipients"]
    assert (part["outcome"], part["reasons"][0][:13]) == ("worse", "no-such-user:")


def test_our_own_reports_are_no_mail_of_anybody() -> None:
    notice = came("") | {"accepted": {"notice": "failure", "about": "1"}, "inbound": "notice"}
    assert replay(index(), notice) is None


def test_a_ca_file_is_told_by_the_names_in_it() -> None:
    from tests.unit.config.support import root

    ca = root()
    anchors = TrustAnchors("ca.pem", (ca.der,), "d")
    wanted = partner(tls=demanding(names=("mail.fabrikam.example",), ca=anchors))
    issued = certificate(issuer="CN=Fabrikam Root")
    assert judged(wanted, came(tls=spoken(issued)))["outcome"] == "same"
    assert judged(wanted, came(tls=spoken(certificate(issuer="CN=Another"))))["outcome"] == "worse"


def test_people_hear_what_and_why() -> None:
    document = judged(partner(tls=demanding()), came(tls=CLEAR))
    lines = list(words(document))
    assert lines[0] == f"1  from {BOB}: worse"
    assert lines[1] == "  in    worse: refuse by fabrikam (came under default)"
    assert "no-tls" in lines[2]
    assert summary([document]) == {"worse": 1, "unknown": 0, "other": 0, "same": 0}
    assert list(words(judged(sending(TlsLevel.ENCRYPTED), went(tls=CLEAR))))[1].startswith(
        f"  out   worse: {BOB} by fabrikam at encrypted (went by default)"
    )
