"""Who stands in the header, and who is a blind copy."""

from __future__ import annotations

import time

import pytest

from mta.model.address import Mailbox
from mta.rfc.mime.addressees import named_in_header
from mta.rfc.mime.header import scan_header
from tests.support.patience import cpu

BOB = Mailbox("bob", "fabrikam.example", "fabrikam.example")


@pytest.mark.parametrize(
    ("header", "named"),
    [
        (b"To: bob@fabrikam.example\r\n", True),
        (b"To: Bob <BOB@Fabrikam.Example>, x@y.example\r\n", True),
        (b"Cc: x@y.example,\r\n\t<bob@fabrikam.example>\r\n", True),
        (b'To: "bob"@fabrikam.example\r\n', True),
        (b"Resent-To: bob@fabrikam.example\r\n", True),
        (b"To: team: bob@fabrikam.example;\r\n", True),
        (b"To: notbob@fabrikam.example\r\n", False),
        (b"To: bob@fabrikam.example.org\r\n", False),
        (b"To: bob@sub.fabrikam.example\r\n", False),
        (b"Bcc: bob@fabrikam.example\r\n", False),
        (b"Subject: bob@fabrikam.example\r\n", False),
        (b"", False),
    ],
)
def test_a_mailbox_is_named_or_blind(header: bytes, named: bool) -> None:
    raw = b"From: alice@contoso.example\r\n" + header + b"\r\nbody\r\n"
    assert named_in_header(scan_header(raw, len(raw)), [BOB]) == (frozenset({BOB}) if named else frozenset())


def test_a_domain_is_known_in_either_spelling() -> None:
    zoe = Mailbox("zoë", "bücher.example", "xn--bcher-kva.example")
    for spelling in ("zoë@bücher.example", "zoë@xn--bcher-kva.example"):
        raw = f"To: {spelling}\r\n\r\n".encode()
        assert named_in_header(scan_header(raw, len(raw)), [zoe]) == {zoe}


def test_a_long_header_costs_little() -> None:
    raw = b"To: " + b'"' * 50_000 + b"a@" * 50_000 + b"\r\n\r\n"
    assert named_in_header(scan_header(raw, len(raw)), [BOB]) == frozenset()


@pytest.mark.parametrize("piece", ['"\\', '\\"', "a", '"a', '"a\\"@', '"" '])
def test_no_header_takes_long_to_read(piece: str) -> None:
    line = f"{piece * (900 // len(piece))}\r\n "
    raw = f"To: {line * 110}bob@fabrikam.example\r\n\r\n".encode()
    block = scan_header(raw, len(raw))
    begun = time.process_time()
    named_in_header(block, [BOB])
    assert time.process_time() - begun < cpu(1.0)
