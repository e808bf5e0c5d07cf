"""What a person sees of a message."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.rfc.mime.shown import show
from mta.rfc.mime.words import decode_charset, decode_words, encode_words


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b" =?utf-8?q?Gr=C3=BC=C3=9Fe?= du", "Gr\u00fc\u00dfe du"),
        (b"=?iso-8859-1?Q?=FC?=\r\n =?utf-8?B?w7w=?=", "\u00fc\u00fc"),
        (b"=?utf-8?B?w7w?= x", "\u00fc x"),
        (b"=?nonsense?q?=C3=BC?=", "\u00fc"),
        (b"=?rot13?q?abc?=", "abc"),
        (b"=?utf-8?x?abc?=", "=?utf-8?x?abc?="),
        (b"plain \xc3\xbc", "plain \u00fc"),
        (b"latin \xfc", "latin \u00fc"),
        (b"", ""),
    ],
)
def test_words(value: bytes, text: str):
    assert decode_words(value) == text


@pytest.mark.parametrize(
    "charset", ["", "utf-8", "us-ascii", "x-unknown", "hex", "idna", "unicode_escape", "\0", "utf-7"]
)
def test_charsets_never_raise_and_never_run(charset: str):
    assert decode_charset(b"\\u0041 \xfc +ADw-", charset) == "\\u0041 \u00fc +ADw-"


@given(st.text(max_size=300))
def test_encoded_words_come_back(text: str):
    plain = " ".join(text.split()).encode("utf-8", "replace").decode()
    encoded = encode_words(plain)
    assert encoded.isascii()
    if "=?" not in plain and "\ufffd" not in plain and all(c.isprintable() for c in plain):
        assert decode_words(encoded.encode()) == plain


def test_alternatives_pictures_and_files():
    message = (
        b'Subject: s\r\nContent-Type: multipart/mixed; boundary="m"\r\n\r\n--m\r\n'
        b'Content-Type: multipart/alternative; boundary="a"\r\n\r\n--a\r\n\r\nplain\r\n--a\r\n'
        b'Content-Type: multipart/related; boundary="r"\r\n\r\n--r\r\nContent-Type: text/html\r\n\r\n<b>html</b>\r\n'
        b"--r\r\nContent-Type: image/png\r\nContent-ID: <p@x>\r\n\r\nPNG\r\n--r--\r\n--a--\r\n--m\r\n"
        b"Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nx\r\n--m\r\n"
        b"Content-Type: application/pdf\r\nContent-Disposition: attachment; filename*=utf-8''%C3%BC.pdf\r\n\r\n"
        b"PDF\r\n--m--\r\n"
    )
    shown = show(message)
    assert (shown.text.strip(), shown.html.strip()) == ("plain", "<b>html</b>")
    assert [(one.media_type, one.name, one.content_id, one.inline) for one in shown.files] == [
        ("image/png", "", "p@x", True),
        ("message/rfc822", "message.eml", "", False),
        ("application/pdf", "\u00fc.pdf", "", False),
    ]


def test_what_is_beyond_bounds_is_shown_as_it_stands():
    nested = b"".join(b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (n, n) for n in range(200))
    assert not show(nested).readable
    assert show(b"X: " + b"y" * 300_000).fields == {}


@given(st.binary(max_size=2000))
def test_anything_is_shown(data: bytes):
    show(data)
    show(b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + data)
