"""What is told of the findings: in the trace, and in the reports that domains ask for."""

from __future__ import annotations

import pytest

from mta.contract.values import HostPort
from mta.model.address import Mailbox
from mta.model.envelope import Envelope
from mta.model.evidence.attempt import published_to_json
from mta.model.sts import StsAnswer, StsPolicy
from mta.policy.dane import DaneFinding, DaneState
from mta.policy.deliver import strictest
from mta.policy.discover import Findings, Wish, published, troubles, wish_of
from mta.policy.precedence import StsState
from mta.policy.route import Destination
from mta.policy.sts import StsFinding, about_host
from mta.ports import TlsaRecord
from tests.unit.policy.test_precedence import ENCRYPTED, outbound

MX, HOST = Destination("mx", "b.example"), HostPort("mx.b.example", 25)
UNKNOWN = DaneFinding(DaneState.UNKNOWN, "mx.b.example", named=True, detail="SERVFAIL")
UNUSABLE = DaneFinding(DaneState.UNUSABLE, "mx.b.example", unusable=("0 0 1 ab: no",), named=True)
USABLE = DaneFinding(DaneState.USABLE, "mx.b.example", (TlsaRecord(3, 1, 1, b"\x01" * 32),), named=True)
NONE = DaneFinding(DaneState.NONE, named=True)
FAILED = StsFinding(StsState.UNKNOWN, "b.example", problem="sts-webpki-invalid", detail="expired")
UNNAMED = about_host("b.example", StsAnswer(StsPolicy("enforce", ("mail.b.example",))), "mx.b.example")


@pytest.mark.parametrize(
    ("found", "modes", "expected"),
    [
        (Findings(NONE), {}, []),
        (Findings(UNKNOWN), {}, [("tlsa", "dnssec-invalid", "dane-unknown")]),
        (Findings(UNKNOWN), {"dane": "off"}, []),
        (Findings(UNUSABLE), {}, [("tlsa", "tlsa-invalid", "dane-unusable")]),
        (Findings(UNUSABLE), {"dane": "mandatory"}, [("tlsa", "tlsa-invalid", "dane-unusable")]),
        (Findings(NONE), {"dane": "mandatory"}, [("tlsa", "dane-required", "dane-required")]),
        (Findings(NONE, FAILED), {}, [("sts", "sts-webpki-invalid", "sts-policy")]),
        (Findings(NONE, UNNAMED), {}, [("sts", "validation-failure", "sts-mx")]),
        (Findings(USABLE, UNNAMED), {}, []),
    ],
)
def test_what_kept_us_from_a_host_is_reported(
    found: Findings, modes: dict[str, str], expected: list[tuple[str, str, str]]
) -> None:
    needed = strictest(outbound(ENCRYPTED, **modes), MX, HOST, found)
    refused = needed if not hasattr(needed, "level") else None
    told = troubles(MX, HOST, found, refused)  # type: ignore[arg-type]
    assert [(each.policy_type, each.result_type, each.failure_reason) for each in told] == expected
    assert all(each.policy_domain == "b.example" and each.receiving_mx == "mx.b.example" for each in told)
    assert troubles(Destination("hosts", "x", (HOST,)), HOST, found, None) == ()


def test_the_policy_of_a_reported_trouble_is_told() -> None:
    (told,) = troubles(MX, HOST, Findings(sts=UNNAMED), strictest(outbound(ENCRYPTED), MX, HOST, Findings(sts=UNNAMED)))  # type: ignore[arg-type]
    assert told.mx_hosts == ("mail.b.example",)
    assert "mode: enforce" in told.policy_strings


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (Findings(), {}),
        (Findings(NONE), {"dane": {"state": "none", "base": "", "records": [], "mx": "secure"}}),
        (
            Findings(UNKNOWN),
            {"dane": {"state": "unknown", "base": "mx.b.example", "records": [], "detail": "SERVFAIL", "mx": "secure"}},
        ),
        (
            Findings(sts=UNNAMED),
            {"mta_sts": {"state": "unnamed", "id": "", "mx": ["mail.b.example"]}},
        ),
        (
            Findings(sts=FAILED),
            {"mta_sts": {"state": "unknown", "id": "", "problem": "sts-webpki-invalid: expired"}},
        ),
    ],
)
def test_the_evidence(found: Findings, expected: dict[str, object]) -> None:
    assert published_to_json(published(found)) == expected


def test_the_wish_of_an_envelope() -> None:
    alice = Mailbox("alice", "a.example", "a.example")
    assert wish_of(Envelope(alice)) == Wish()
    assert wish_of(Envelope(alice, tls="required")) == Wish(required=True)
    assert wish_of(Envelope(alice, tls="optional")) == Wish(optional=True)
    assert wish_of(Envelope(None, tls="required")) == Wish()  # RFC 8689 §5
