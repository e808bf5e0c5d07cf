"""Marks of mail for the portal, and what of a header goes into the vault."""

from __future__ import annotations

import pytest

from mta.rfc.mime.header import scan_header
from mta.rfc.mime.marked import fields_of, header_for_vault, header_without_tag, subject_of, text_of

TAGS = [
    (b"Subject: [secure] plan\r\n", "plan"),
    (b"Subject: [SECURE]plan\r\n", "plan"),
    (b"Subject: plan [secure]\r\n", "plan"),
    (b"Subject: Re: [secure] the\r\n long plan\r\n", "Re: the long plan"),
    (b"Subject: =?utf-8?q?=5Bsecure=5D_gr=C3=BCn?=\r\n", "grün"),
    (b"Subject: plan\r\n", "plan"),
    (b"subject:[secure]\r\n", ""),
]


@pytest.mark.parametrize(("field", "left"), TAGS)
def test_a_tag_is_taken_out_and_nothing_else_changes(field: bytes, left: str):
    header = b"X-A: [secure]\r\n" + field + b"To: b@x.example\r\n\r\n"
    fresh = header_without_tag(header, "[secure]")
    block = scan_header(fresh, len(fresh))
    assert subject_of(block) == left
    assert fresh.startswith(b"X-A: [secure]\r\n")
    assert fresh.endswith(b"To: b@x.example\r\n\r\n")


def test_nobody_learns_of_blind_copies():
    raw = b"To: b@x.example\r\nBcc: c@x.example,\r\n d@x.example\r\nResent-Bcc: e@x.example\r\nSubject: a\r\n\r\nbody"
    block = scan_header(raw, len(raw))
    assert header_for_vault(block) == b"To: b@x.example\r\nSubject: a\r\n\r\n"


def test_fields_and_text():
    raw = (
        b"X-Protect: =?utf-8?q?j=C3=A4?=\r\nX-Protect: b\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\nZ2VoZWlt\r\n"
    )
    assert fields_of(scan_header(raw, len(raw)))["x-protect"] == ("jä", "b")
    assert text_of(raw) == "geheim"
