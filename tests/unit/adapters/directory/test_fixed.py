"""Certificates that stand in connectors: for whom each is."""

from __future__ import annotations

import pytest

from mta.adapters.directory.fixed import FixedSource
from tests.support.people import BOB, der, mailbox

ONE, GATEWAY, SUB = der(emails=[BOB, "robert@fabrikam.example"]), der(emails=[]), der(emails=[], kind="ec-p384")
SOURCE = FixedSource(
    [(ONE, "people.pem")],
    {
        "fabrikam.example": ((GATEWAY, "gateway.pem"),),
        "*.fabrikam.example": ((GATEWAY, "gateway.pem"),),
        "*.deep.fabrikam.example": ((SUB, "sub.pem"),),
    },
)


@pytest.mark.parametrize(
    ("address", "found"),
    [
        (BOB, [(ONE, False, BOB), (GATEWAY, True, "@fabrikam.example")]),
        ("robert@fabrikam.example", [(ONE, False, "robert@fabrikam.example"), (GATEWAY, True, "@fabrikam.example")]),
        ("x@a.b.fabrikam.example", [(GATEWAY, True, "@a.b.fabrikam.example")]),
        ("x@a.deep.fabrikam.example", [(SUB, True, "@a.deep.fabrikam.example")]),
        ("x@deep.fabrikam.example", [(GATEWAY, True, "@deep.fabrikam.example")]),
        ("x@evilfabrikam.example", []),
        ("x@example", []),
    ],
)
async def test_by_address_and_by_the_longest_pattern(address: str, found: list[tuple[bytes, bool, str]]) -> None:
    answer = await SOURCE.find(mailbox(address))
    assert [(one.der, one.stated, one.found_for) for one in answer.candidates] == found
