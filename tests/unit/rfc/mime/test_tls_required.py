"""The header field TLS-Required: one of it, with one word, or nothing is said."""

from __future__ import annotations

import pytest

from mta.rfc.mime.header import scan_header
from mta.rfc.mime.tls_required import says_no


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"TLS-Required: No\r\n", True),
        (b"tls-required:no\r\n", True),
        (b"TLS-Required: \r\n No\r\n", True),
        (b"Subject: x\r\nTLS-Required: No \r\nTo: y\r\n", True),
        (b"Subject: TLS-Required: No\r\n", False),
        (b"TLS-Required: Yes\r\n", False),
        (b"TLS-Required:\r\n", False),
        (b"TLS-Required: No, really\r\n", False),
        (b"TLS-Required: No\r\nTLS-Required: No\r\n", False),
        (b"X-TLS-Required: No\r\n", False),
        (b"", False),
    ],
)
def test_whether_it_says_no(header: bytes, expected: bool) -> None:
    assert says_no(scan_header(header + b"\r\nTLS-Required: No\r\n", 10_000)) is expected
