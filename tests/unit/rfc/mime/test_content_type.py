"""A Content-Type as lenient readers see it, and what they could see differently."""

from __future__ import annotations

import pytest

from mta.rfc.mime.content_type import doubtful, parse_content_type, read_encoding
from mta.rfc.mime.parameters import uncommented


@pytest.mark.parametrize(
    ("value", "essence", "parameters"),
    [
        # RFC 2045 §5.1: these two are the same
        (b" text/plain; charset=us-ascii (Plain text)", "text/plain", {"charset": "us-ascii"}),
        (b' text/plain; charset="us-ascii"', "text/plain", {"charset": "us-ascii"}),
        (b" text/plain (a; charset=x (nested \\) ) )\r\n ; (y=z) charset=utf-8", "text/plain", {"charset": "utf-8"}),
        (b" (first) multipart/mixed; boundary=b", "multipart/mixed", {"boundary": "b"}),
        (b' application/x; name="a (b).pdf"; x=y', "application/x", {"name": "a (b).pdf", "x": "y"}),
        (b" text/plain (no end; charset=x", "text/plain", {}),
    ],
)
def test_comments_are_overlooked(value: bytes, essence: str, parameters: dict[str, str]) -> None:
    found = parse_content_type(value)
    assert (found.essence, dict(found.parameters)) == (essence, parameters)


@pytest.mark.parametrize(
    ("value", "names"),
    [
        (b"a/b; name*=utf-8''smime%2Ep7m", ("smime.p7m",)),
        (b"a/b; name*=us-ascii'en'smime.p7m; name=other", ("smime.p7m", "other")),
        (b'a/b; name*0="smi"; name*1="me.p7m"', ("smime.p7m",)),
        (b"a/b; name*1*=me%2Ep7m; name*0*=utf-8''smi", ("smime.p7m",)),
        (b"a/b; name*0*=x-unknown''smi; name*1=me.p7m", ("smime.p7m",)),
        (b"a/b; name*=smime.p7m", ("smime.p7m",)),
        (b"a/b; name*x=1; name**=2; names=3; name*99999=4", ()),
    ],
)
def test_parameters_in_pieces_or_in_a_charset(value: bytes, names: tuple[str, ...]) -> None:
    assert parse_content_type(value).all("name") == names


MULTIPART = b" multipart/signed"
GOOD = b'; protocol="application/pkcs7-signature"; micalg=sha-256; boundary="b"'


@pytest.mark.parametrize(
    "value",
    [
        MULTIPART + GOOD,
        MULTIPART + b" (S/MIME)" + GOOD,
        MULTIPART + b";\r\n\tboundary=b (end of it)".replace(b" (end of it)", b"") + b"; micalg=sha-256 (a digest);",
        MULTIPART + b'; protocol=application/pkcs7-signature; boundary="=_a b?:b";',
        MULTIPART + b' ; type="multipart/alternative" ; boundary = "----=_boundary_1"',
        b" text/plain; charset=us-ascii (Plain text)",
        b" application/pdf; name=My File (1).pdf",
        b" application/pdf; name=x; name*=utf-8''x",
    ],
)
def test_what_readers_agree_about(value: bytes) -> None:
    assert doubtful(value) == ""


@pytest.mark.parametrize(
    "more",
    [
        # RFC 2231: many readers prefer these
        b"; boundary*=''evil",
        b"; boundary*0=evil",
        b"; boundary*0*=''evil",
        b"; boundary*1=evil",
        b"; boundary*0=ev; boundary*1=il",
        b"; boundary=evil",
        b"; BOUNDARY = evil",
        # hidden from some
        b"; bound\\ary=evil",
        b'; "boundary"=evil',
        b"; \x0bboundary=evil",
        b"; \x01boundary=evil",
        b"; \xa0boundary=evil",
        b"; boundary\x0b=evil",
        b"; (c) boundary=evil",
        b"; bound(c)ary=evil",
        b"; x=a\\;boundary=evil",
        b'; x="a\\";boundary=evil;y="',
        b'; x="; boundary=evil"',
        b"; x='; boundary=evil'",
        b"; x=(; boundary=evil)",
        b" (; boundary=evil)",
        b"; x=y=z",
        b"; x=y z",
        b"; x",
        b"; x=\x00y",
        b'; x="\x0b"',
        b"; micalg=sha-1",
        b"; protocol*=''application/pgp-signature",
        b" junk",
    ],
)
@pytest.mark.parametrize("before", [False, True])
def test_what_hides_another_boundary_or_ends_one_elsewhere(more: bytes, before: bool) -> None:
    assert doubtful(MULTIPART + more + GOOD if before else MULTIPART + GOOD + more)


@pytest.mark.parametrize(
    "value",
    [
        b"; boundary=a=b",  # RFC 2045 §5.1: it wants quotes
        b"; boundary=a/b",
        b"; boundary=b (c)",
        b'; boundary="b" (c)',
        b"; boundary (c) =b",
        b"; boundary= (c) b",
        b"; boundary='b'\"",
        b'; boundary="a\\b"',
        b"; boundary=",
        b"; boundary=b\x0b",
        b"",
    ],
)
def test_odd_boundaries(value: bytes) -> None:
    assert doubtful(MULTIPART + value)


@pytest.mark.parametrize(
    "value",
    [
        b" (first) text/plain",
        b" text / plain",
        b" text/plain\x0b",
        b" \x0btext/plain",
        b"\xa0text/plain",
        b" text/plain; charset=a; charset=b",
        b" text/plain; charset=a; charset*=''b",
        b" text/plain; \x0bcharset=a",
        b" application/pkcs7-mime; smime-type=signed-data; smime-type=enveloped-data",
    ],
)
def test_types_that_readers_take_differently(value: bytes) -> None:
    assert doubtful(value)


@pytest.mark.parametrize(
    ("value", "encoding"),
    [(b" Base64\r\n", "base64"), (b" base64 (c)", "base64"), (b" base64\x0b", "base64\x0b"), (b"", "")],
)
def test_encodings(value: bytes, encoding: str) -> None:
    assert read_encoding(value) == encoding


def test_many_comments_cost_no_more_than_their_length() -> None:
    assert uncommented(b"(" * 1_000_000) == b" "
    assert uncommented(b"()" * 100_000) == b" " * 100_000
