"""Which keys sign a message, and whether it is sealed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mta.contract.connectors import Connector
from mta.contract.dkim import DkimKey, SealingKey
from mta.contract.outbound import Outbound
from mta.model.auth import AuthResult
from mta.model.author import FromField
from mta.model.envelope import Envelope
from mta.model.message import Content, QueuedMessage
from mta.policy.sign import Seal, seal_wanted, service_of, signing_keys
from tests.unit.policy.world import CONTOSO, DAY, NOW, SERVER, from_, index

RSA_1 = DkimKey("r1", "r1.key")
RSA_2 = DkimKey("r2", "r2.key", since=NOW - DAY)
RSA_3 = DkimKey("r3", "r3.key", since=NOW + DAY)
EDWARDS = DkimKey("e1", "e1.key", algorithm="ed25519-sha256")
WORLD = Connector("world")
ALICE = from_("alice@contoso.example")


def selectors(
    *keys: DkimKey, author: FromField = ALICE, connector: Connector = WORLD, received: float = NOW
) -> list[str]:
    known = index(connector, domains=(replace(CONTOSO, dkim=keys),))
    domain, found = signing_keys(known, connector, author, received)
    assert domain or not found
    return [key.selector for key in found]


def test_the_domain_of_the_author_signs() -> None:
    known = index(domains=(replace(CONTOSO, dkim=(RSA_1,)),))
    domain, keys = signing_keys(known, WORLD, ALICE, NOW)
    assert (domain, keys) == ("contoso.example", (RSA_1,))


def test_tls_reports_have_keys_of_their_own_where_there_are_some() -> None:
    """RFC 8460 §3: s=tlsrpt; such a key never signs mail."""
    known = index(domains=(replace(CONTOSO, dkim=(RSA_1, replace(RSA_2, service="tlsrpt"))),))
    assert signing_keys(known, WORLD, ALICE, NOW)[1] == (RSA_1,)
    assert [key.selector for key in signing_keys(known, WORLD, ALICE, NOW, "tlsrpt")[1]] == ["r2"]
    plain = index(domains=(replace(CONTOSO, dkim=(RSA_1,)),))
    assert signing_keys(plain, WORLD, ALICE, NOW, "tlsrpt")[1] == (RSA_1,)


def test_only_our_own_tls_reports_are_for_that_service() -> None:
    mail = QueuedMessage("1", Envelope(None), Content(0, b""), b"", NOW, "report", (), {"report": "tls"})
    assert service_of(mail) == "tlsrpt"
    assert service_of(replace(mail, evidence={"report": "dmarc"})) == "email"
    assert service_of(replace(mail, inbound="default")) == "email"


@pytest.mark.parametrize(
    ("keys", "received", "expected"),
    [
        ((), NOW, []),
        ((RSA_1, EDWARDS), NOW, ["e1", "r1"]),
        ((RSA_1, RSA_2, EDWARDS), NOW, ["e1", "r2"]),  # the newest of its kind
        ((RSA_2, RSA_1), NOW, ["r2"]),  # whatever their order
        ((RSA_2, RSA_3), NOW, ["r2"]),  # not yet
        ((RSA_2, RSA_3), NOW + DAY, ["r3"]),  # from that moment on
        ((RSA_1, RSA_2), NOW - 2 * DAY, ["r1"]),  # an old message: by the moment of its receipt
        ((RSA_3,), NOW, []),
        ((replace(RSA_1, until=NOW + 1),), NOW, ["r1"]),
        ((replace(RSA_1, until=NOW),), NOW, []),
        ((RSA_1, replace(RSA_2, until=NOW - 1)), NOW, ["r1"]),  # the newest has ended, the older is still good
    ],
)
def test_the_dates_of_the_keys(keys: tuple[DkimKey, ...], received: float, expected: list[str]) -> None:
    assert sorted(selectors(*keys, received=received)) == expected


@pytest.mark.parametrize(
    "author",
    [
        from_("bob@fabrikam.example"),
        from_("alice@sub.contoso.example"),
        from_("alice@contoso.example", "bob@fabrikam.example"),
        from_("alice@contoso.example", "anna@contoso.example"),
        from_("alice@contoso.example", count=2),
        from_("alice@contoso.example", error="two ways to read it"),
        from_(),
    ],
)
def test_a_foreign_or_doubtful_author_is_not_signed_for(author: FromField) -> None:
    assert selectors(RSA_1, author=author) == []


def test_a_connector_may_switch_it_off() -> None:
    assert selectors(RSA_1, connector=Connector("world", outbound=Outbound(dkim="off"))) == []
    assert selectors(RSA_1, connector=Connector("world", outbound=Outbound(dkim="auto"))) == ["r1"]


SEALER = SealingKey("contoso.example", DkimKey("arc1", "arc1.key"))
SEALING = Connector("sealing", outbound=Outbound(arc="seal"))


def judged(arc: object) -> QueuedMessage:
    evidence = {} if arc is None else {"authentication": {"arc": arc}}
    return QueuedMessage("1", Envelope(None), Content(0, b""), b"", NOW, "default", (), evidence)


@pytest.mark.parametrize("result", [AuthResult.NONE, AuthResult.PASS, AuthResult.FAIL])
def test_what_was_judged_is_sealed_where_the_connector_says_so(result: AuthResult) -> None:
    message, server = judged({"result": result.value}), replace(SERVER, arc=SEALER)
    assert seal_wanted(server, SEALING, message) == Seal(SEALER, result)
    assert seal_wanted(server, WORLD, message) is None
    assert seal_wanted(SERVER, SEALING, message) is None


@pytest.mark.parametrize("arc", [None, {"result": "temperror"}, "pass"])
def test_what_nobody_judged_is_not_sealed(arc: object) -> None:
    assert seal_wanted(replace(SERVER, arc=SEALER), SEALING, judged(arc)) is None
