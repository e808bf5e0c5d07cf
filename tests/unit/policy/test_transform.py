"""Which keys sign a message."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mta.config.contract import Connector, DkimKey, Outbound
from mta.model.author import FromField
from mta.policy.transform import signing_keys
from tests.unit.policy.world import CONTOSO, DAY, NOW, from_, index

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
    assert (domain is not None) or not found
    return [key.selector for key in found]


def test_the_domain_of_the_author_signs() -> None:
    known = index(domains=(replace(CONTOSO, dkim=(RSA_1,)),))
    domain, keys = signing_keys(known, WORLD, ALICE, NOW)
    assert domain is not None
    assert (domain.name, keys) == ("contoso.example", (RSA_1,))


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
