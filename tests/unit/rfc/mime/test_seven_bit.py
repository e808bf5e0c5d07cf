"""8-bit content made 7-bit, and nothing else touched."""

from __future__ import annotations

import binascii
import email
import email.policy
import time
from collections.abc import Iterator
from io import BytesIO

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mta.rfc.mime.entity import Entity, leaves, scan_entity
from mta.rfc.mime.seven_bit import Base64Writer, SevenBitError, base64_lines, make_seven_bit, with_encoding
from tests.support.corpora import files
from tests.support.patience import cpu

TOP = b"Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"


def rewritten(raw: bytes, *, eight_bit_headers: bool = False) -> bytes:
    """The whole message with the header that fits its body."""
    root = scan_entity(raw).root
    made = make_seven_bit(raw, root, eight_bit_headers=eight_bit_headers)
    header = raw[: root.body]
    if made.encoding != root.encoding:
        header = with_encoding(root.header, root.body, made.encoding)
    return header + b"".join(made.body)


def decoded(raw: bytes) -> Iterator[bytes]:
    for part in email.message_from_bytes(raw, policy=email.policy.compat32).walk():
        if not part.is_multipart():
            yield part.get_payload(decode=True)  # type: ignore[misc]


def multipart(*parts: bytes) -> bytes:
    return TOP + b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + b"--b--\r\n"


UTF8 = "Grüße aus Köln\r\nFrom me\r\n".encode()
TEXT = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\nX-Odd:  kept \r\n\r\n" + UTF8
PDF = b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: binary\r\n\r\n%PDF\0\xff\r\n\n\r"
ASCII = b"content-type:text/plain\r\nX-Fold: a\r\n\tb\r\n\r\nplain  \r\nFrom me\r\n"


def test_text_becomes_quoted_printable_in_the_field_that_was_there() -> None:
    assert rewritten(TEXT) == (
        b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n"
        b"X-Odd:  kept \r\n\r\n"
        b"Gr=C3=BC=C3=9Fe aus K=C3=B6ln\r\n=46rom me\r\n"
    )


def test_only_the_parts_that_need_it_change() -> None:
    made = rewritten(multipart(ASCII, TEXT, PDF, ASCII))
    assert made.isascii()
    assert made.startswith(TOP + b"--b\r\n" + ASCII + b"\r\n--b\r\n")
    assert made.endswith(b"\r\n--b\r\n" + ASCII + b"\r\n--b--\r\n")
    assert list(decoded(made))[1:3] == [UTF8, b"%PDF\0\xff\r\n\n\r"]
    assert b"Content-Transfer-Encoding: base64\r\n" in made


def test_text_that_is_mostly_not_ascii_becomes_base64() -> None:
    made = rewritten(b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + "日本語の手紙\r\n".encode() * 20)
    assert b"Content-Transfer-Encoding: base64\r\n\r\n" in made


def test_what_is_seven_bit_stays_the_same_bytes() -> None:
    raw = multipart(ASCII, ASCII)
    root = scan_entity(raw).root
    made = make_seven_bit(raw, root)
    assert (made.encoding, b"".join(made.body)) == ("7bit", raw[root.body :])


def test_a_declaration_of_8bit_that_is_true_of_nothing_becomes_7bit() -> None:
    top = TOP.replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: 8bit\r\n\r\n")
    part = b"Content-Transfer-Encoding: 8BIT\r\n\r\nascii"
    made = rewritten(top + b"--b\r\n" + part + b"\r\n--b--\r\n")
    assert made == TOP.replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: 7bit\r\n\r\n") + (
        b"--b\r\nContent-Transfer-Encoding: 7bit\r\n\r\nascii\r\n--b--\r\n"
    )


def test_attached_messages_are_rewritten_inside() -> None:
    attached = b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\nSubject: y\r\n" + TEXT
    made = rewritten(multipart(attached))
    assert made.isascii()
    assert b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n\r\nSubject: y\r\n" in made
    assert list(decoded(made)) == [UTF8]


def test_lines_too_long_to_travel_are_encoded() -> None:
    body = b"x" * 998 + b"\r\n"
    assert rewritten(b"A: b\r\n\r\n" + body) == b"A: b\r\n\r\n" + body
    made = rewritten(b"A: b\r\n\r\nx" + body)
    assert b"Content-Transfer-Encoding: quoted-printable" in made
    assert list(decoded(made)) == [b"x" + body]
    assert max(map(len, made.split(b"\r\n"))) <= 76


@pytest.mark.parametrize(
    ("word", "raw"),
    [
        ("signed-inside", multipart(b"Content-Type: multipart/signed; boundary=c\r\n\r\n--c\r\n\r\n\xff\r\n--c--\r\n")),
        ("eight-bit-encoded", b"Content-Transfer-Encoding: base64\r\n\r\n\xff"),
        ("eight-bit-encoded", multipart(b"Content-Transfer-Encoding: quoted-printable\r\n\r\n\xff")),
        ("eight-bit-header", multipart(b"Content-Disposition: attachment; filename=\xc3\xbc\r\n\r\nx")),
        ("eight-bit-message", multipart(b"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: \xc3\xbc")),
        ("eight-bit-preamble", TOP + b"\xff\r\n--b\r\n\r\nx\r\n--b--\r\n"),
    ],
)
def test_what_cannot_be_encoded_is_named(word: str, raw: bytes) -> None:
    with pytest.raises(SevenBitError) as caught:
        rewritten(raw)
    assert caught.value.word == word


def test_a_signed_part_that_merely_says_8bit_keeps_its_bytes() -> None:
    part = b"--c\r\nContent-Transfer-Encoding: 8bit\r\n\r\nx\r\n--c--\r\n"
    signed = b"Content-Type: multipart/signed; boundary=c\r\n\r\n" + part
    assert rewritten(multipart(signed, TEXT)).startswith(TOP + b"--b\r\n" + signed)


def test_headers_in_utf8_are_kept_where_they_may_be() -> None:
    part = b"Content-Disposition: attachment; filename=\xc3\xbc\r\n\r\nx\xff"
    made = rewritten(multipart(part), eight_bit_headers=True)
    assert b"filename=\xc3\xbc\r\nContent-Transfer-Encoding: " in made


def test_base64_stands_in_lines() -> None:
    assert base64_lines(b"") == b""
    assert base64_lines(b"x" * 57) == b"eHh4" * 19 + b"\r\n"
    assert base64_lines(b"x" * 58) == b"eHh4" * 19 + b"\r\neA==\r\n"


def test_a_field_is_added_where_there_was_none() -> None:
    for raw, made in ((b"A: b\r\n\r\n", b"A: b\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"), (b"", b"\r\n")):
        root = scan_entity(raw).root
        assert with_encoding(root.header, root.body, "7bit").endswith(made)


_LINE = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=120).map(str.encode),
    st.binary(max_size=80),
    st.sampled_from([b".", b"From me", b"x \t", b"x" * 1100, b"=", b""]),
)


@given(
    st.lists(_LINE, max_size=8), st.sampled_from([b"\r\n", b"\n", b"\r"]), st.sampled_from([b"text", b"application"])
)
@example([b"\xff" + b" " * 80], b"\r\n", b"text")
def test_the_decoded_content_stays(lines: list[bytes], ending: bytes, kind: bytes) -> None:
    body = ending.join(lines)
    raw = b"Content-Type: " + kind + b"/x\r\nContent-Transfer-Encoding: binary\r\n\r\n" + body
    made = rewritten(raw)
    assert made.isascii()
    assert all(len(line) <= 998 for line in made.split(b"\n"))
    assert list(decoded(made)) == [body]


def _tree(entity: Entity) -> list[object]:
    return [entity.content_type.essence, [_tree(part) for part in entity.parts]]


def test_real_messages_keep_their_structure_and_content() -> None:
    for path in files("mime-mikel", ".eml"):
        raw = path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        anatomy = scan_entity(raw)
        try:
            made = rewritten(raw, eight_bit_headers=True)
        except SevenBitError:
            continue
        assert _tree(scan_entity(made).root) == _tree(anatomy.root), path.name
        assert all(made[leaf.body : leaf.end].isascii() for leaf in leaves(scan_entity(made).root))
        if not anatomy.ambiguities:
            assert list(decoded(made)) == list(decoded(raw)), path.name


def test_long_content_costs_linear_time() -> None:
    began = time.process_time()
    rewritten(b"Content-Type: text/plain\r\n\r\n" + b"\xffx" * 1_000_000)
    rewritten(multipart(*[TEXT] * 5000))
    assert time.process_time() - began < cpu(3)


@given(st.lists(st.integers(0, 9000), max_size=6), st.integers(1, 255))
def test_base64_in_pieces_is_that_of_the_whole(sizes: list[int], octet: int) -> None:
    """Wherever the pieces end, and across the pages that are written at a time."""
    whole = bytes((place * octet) % 256 for place in range(sum(sizes)))
    out = BytesIO()
    writer = Base64Writer(out)
    start = 0
    for size in sizes:
        writer.write(whole[start : start + size])
        start += size
    writer.close()
    lines = out.getvalue().split(b"\r\n")
    assert out.getvalue() == base64_lines(whole)
    assert binascii.a2b_base64(out.getvalue()) == whole
    assert lines[-1] == b""
    assert all(len(line) == 76 for line in lines[:-2])
