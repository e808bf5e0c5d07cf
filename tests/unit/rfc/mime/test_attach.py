"""A message with one file: what is attached is found again."""

from __future__ import annotations

from email import message_from_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.rfc.mime.attach import Attachment, Letter, compose_letter
from mta.rfc.mime.detach import MAX_PARTS, leaves

FIELDS = (("From", "<a@contoso.example>"), ("Subject", "Report Domain: b.example Submitter: contoso.example"))


def letter(data: bytes = b"x", name: str = "a!b!1!2.xml.gz", **changed: str) -> bytes:
    return compose_letter(Letter(FIELDS, "Words for people.", Attachment("application/gzip", name, data), **changed))


@given(st.binary(max_size=3000))
def test_what_is_attached_is_found_again(data: bytes) -> None:
    text, file = leaves(letter(data))
    assert (text.media_type, text.data.strip()) == ("text/plain", b"Words for people.")
    assert (file.media_type, file.name, file.data) == ("application/gzip", "a!b!1!2.xml.gz", data)


def test_its_lines_are_short_and_its_octets_seven_bit() -> None:
    raw = letter(bytes(range(256)) * 20)
    assert raw.isascii()
    assert all(len(line) <= 76 for line in raw.split(b"\r\n"))
    assert b"\n" not in raw.replace(b"\r\n", b"")


def test_the_multipart_may_have_parameters() -> None:
    parsed = message_from_bytes(letter(multipart='report; report-type="tlsrpt"'))
    assert (parsed.get_content_type(), parsed.get_param("report-type")) == ("multipart/report", "tlsrpt")


@pytest.mark.parametrize("name", ['a".gz', "a b", "a\r\nX: y", "ä", ""])
def test_a_name_that_could_leave_its_quotes_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name of an attachment"):
        letter(name=name)


def test_many_parts_and_deep_ones_have_an_end() -> None:
    head = b'Content-Type: multipart/mixed; boundary="x"\r\n\r\n'
    assert len(leaves(head + b"--x\r\n\r\nhello\r\n" * 5000 + b"--x--\r\n")) == MAX_PARTS
    deep = b"".join(b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (i, i) for i in range(101))
    assert leaves(deep) == ()


@given(st.binary(max_size=400))
def test_noise_has_leaves_or_none(noise: bytes) -> None:
    for part in leaves(b'Content-Type: multipart/mixed; boundary="x"\r\n\r\n--x\r\n' + noise):
        assert isinstance(part.data, bytes)
