"""Policies in mode testing are followed in reports alone."""

from __future__ import annotations

import pytest

from mta.adapters.tls.chain import OpenSslChainVerifier
from mta.contract.values import HostPort
from mta.model.attempt import HostAttempt
from mta.model.sts import StsAnswer, StsPolicy
from mta.model.tls import TlsFacts, TlsLevel
from mta.policy.deliver import TlsRequirement, strictest
from mta.policy.discover import Findings
from mta.policy.report import tls_session
from mta.policy.route import Destination
from mta.policy.sts import StsState, about_host, rehearse
from tests.support.pki import anchors, authority, facts
from tests.unit.policy.test_precedence import ENCRYPTED, outbound

CA = authority()
GOOD = TlsFacts("1.3", "x", chain=facts(CA.issue(dns_names=["mx.b.example"])))
OTHER = TlsFacts("1.3", "x", chain=facts(CA.issue(dns_names=["mx.other.example"])))
NOW = GOOD.chain[0].not_before + 3600
MX = Destination("mx", "b.example")


def policy(mode: str, mx: str = "*.b.example", host: str = "mx.b.example"):  # type: ignore[no-untyped-def]
    return about_host("b.example", StsAnswer(StsPolicy(mode, (mx,))), host, anchors(CA))


@pytest.mark.parametrize(
    ("mode", "mx", "tls", "word"),
    [
        ("testing", "*.b.example", GOOD, None),
        ("testing", "*.b.example", OTHER, "certificate-name"),
        ("testing", "mail.b.example", GOOD, "sts-mx"),
        ("testing", "*.b.example", None, None),
        ("enforce", "*.b.example", OTHER, None),  # that one fails by itself
        ("none", "mail.b.example", OTHER, None),
    ],
)
def test_what_would_have_failed(mode: str, mx: str, tls: TlsFacts | None, word: str | None) -> None:
    assert rehearse(policy(mode, mx), "mx.b.example", tls, OpenSslChainVerifier(), NOW) == word


@pytest.mark.parametrize(
    ("word", "result"),
    [("", ""), ("sts-mx", "validation-failure"), ("certificate-name", "certificate-host-mismatch")],
)
def test_and_what_a_report_says_of_it(word: str, result: str) -> None:
    needed = strictest(outbound(ENCRYPTED), MX, HostPort("mx.b.example", 25), Findings(sts=policy("testing")))
    assert isinstance(needed, TlsRequirement)
    told = tls_session(MX, needed, HostAttempt("mx.b.example", 25, tls=GOOD), word)
    assert told is not None
    assert (told.policy_type, told.result_type, told.failure_reason) == ("sts", result, word)
    # without a policy of the domain it is nobody's failure
    told = tls_session(MX, TlsRequirement(TlsLevel.ENCRYPTED), HostAttempt("mx.b.example", 25, tls=GOOD), word)
    assert told is not None
    assert not told.failed


def test_a_policy_of_mode_none_is_told_as_no_policy() -> None:
    found = policy("none")
    assert found.state is StsState.NONE
    needed = strictest(outbound(ENCRYPTED), MX, HostPort("mx.b.example", 25), Findings(sts=found))
    assert isinstance(needed, TlsRequirement)
    assert needed.published.type == "no-policy-found"
