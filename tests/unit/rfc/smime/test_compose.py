"""A message with S/MIME around it: what moves inside, what stays outside, and how it is called."""

from __future__ import annotations

import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.rfc.mime.entity import scan_entity
from mta.rfc.smime.algorithms import Pieces
from mta.rfc.smime.compose import HeaderProtection, NotTransformable, Protection, protect_message
from mta.rfc.smime.protect import with_intent

HEADER = (
    b"Received: from x\r\n by y; now\r\nFrom: Ann <ann@a.example>\r\nTo: bob@b.example\r\nBcc: eve@e.example\r\n"
    b"Subject: the secret\r\n plan\r\nKeywords: plan\r\nMIME-Version: 1.0\r\nDate: Mon, 01 Jan 2024 10:00:00 +0000\r\n"
)
CONTENT = b"Content-Type: text/plain; charset=utf-8\r\nContent-Language: en\r\n"
BODY = b"Hello\r\n"
MESSAGE = HEADER.replace(b"MIME-Version", CONTENT + b"MIME-Version") + b"\r\n" + BODY


class Recorder:
    """Stands for a signature, and keeps what it was given."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.given: list[bytes] = []

    def __call__(self, entity: Pieces) -> bytes:
        self.given.append(b"".join(entity))
        return self.answer

    def in_pieces(self, entity: Pieces) -> list[bytes]:
        """It stands for an envelope, whose pieces end anywhere."""
        whole = self(entity)
        return [whole[:1], whole[1:3], whole[3:]]


def protection(
    sign: Recorder | None = None, encrypt: Recorder | None = None, headers: HeaderProtection = "none"
) -> Protection:
    return Protection(random=bytes, sign=sign, encrypt=encrypt.in_pieces if encrypt else None, headers=headers)


def transformed(content: bytes, how: Protection) -> bytes:
    made = protect_message(content, how)
    assert isinstance(made, bytes), made
    return made


def test_a_signed_message_keeps_its_header_and_signs_the_entity_to_the_octet() -> None:
    sign = Recorder(b"signature")
    made = transformed(MESSAGE, protection(sign))
    assert sign.given == [CONTENT + b"\r\n" + BODY]
    assert made.startswith(HEADER + b"Content-Type: multipart/signed; protocol=")
    anatomy = scan_entity(made)
    first, second = anatomy.root.parts
    assert made[first.start : first.end] == sign.given[0]
    assert base64.b64decode(made[second.body : second.end]) == b"signature"
    assert anatomy.ambiguities == ()
    assert anatomy.root.content_type.parameters[:2] == (
        ("protocol", "application/pkcs7-signature"),
        ("micalg", "sha-256"),
    )
    assert (second.content_type.essence, second.content_type.get("name"), second.encoding) == (
        "application/pkcs7-signature",
        "smime.p7s",
        "base64",
    )
    assert b'Content-Disposition: attachment; filename="smime.p7s"' in made


def test_several_digests_are_all_named() -> None:
    how = Protection(random=bytes, sign=Recorder(b"x"), digests=("sha256", "sha512", "sha256", "shake256"))
    root = scan_entity(transformed(MESSAGE, how)).root
    assert root.content_type.get("micalg") == "sha-256,sha-512,unknown"


def test_an_encrypted_message_shows_its_header_and_nothing_else() -> None:
    encrypt = Recorder(b"\x30\x80" * 100)
    made = transformed(MESSAGE, protection(encrypt=encrypt))
    assert encrypt.given == [CONTENT + b"\r\n" + BODY]
    root = scan_entity(made).root
    assert made.startswith(HEADER)
    assert root.content_type.essence == "application/pkcs7-mime"
    assert root.content_type.parameters == (("smime-type", "enveloped-data"), ("name", "smime.p7m"))
    assert base64.b64decode(made[root.body :]) == encrypt.answer
    assert max(map(len, made[root.body :].split(b"\r\n"))) == 76


def test_signing_comes_before_encrypting() -> None:
    sign, encrypt = Recorder(b"signature"), Recorder(b"envelope")
    transformed(MESSAGE, protection(sign, encrypt))
    assert encrypt.given[0].startswith(b"Content-Type: multipart/signed")
    assert sign.given[0] in encrypt.given[0]


@pytest.mark.parametrize(
    ("how", "kind"),
    [
        (Protection(random=bytes, sign=Recorder(b"x"), detached=False), "signed-data"),
        (Protection(random=bytes, encrypt=Recorder(b"x").in_pieces, authenticated=True), "authEnveloped-data"),
        (
            Protection(random=bytes, encrypt=Recorder(b"x").in_pieces, sign=Recorder(b"y"), detached=False),
            "enveloped-data",
        ),
    ],
)
def test_the_smime_type_says_what_is_inside(how: Protection, kind: str) -> None:
    assert scan_entity(transformed(MESSAGE, how)).root.content_type.get("smime-type") == kind


def test_eight_bit_content_is_seven_bit_before_it_is_signed() -> None:
    sign = Recorder(b"x")
    content = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
    transformed(HEADER + content + b"\r\nGr\xc3\xbc\xc3\x9fe aus Wien\r\n", protection(sign))
    assert sign.given == [
        b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
        b"Gr=C3=BC=C3=9Fe aus Wien\r\n"
    ]


@pytest.mark.parametrize(("body", "charset"), [(b"x", b"us-ascii"), (b"\xff", b"unknown-8bit")])
def test_a_message_without_mime_becomes_one_with_it(body: bytes, charset: bytes) -> None:
    sign = Recorder(b"x")
    made = transformed(b"From: a@b\r\n\r\n" + body, protection(sign))
    assert made.startswith(b"From: a@b\r\nMIME-Version: 1.0\r\nContent-Type: multipart/signed")
    assert sign.given[0].startswith(b"Content-Type: text/plain; charset=" + charset + b"\r\n")


def test_protected_headers_of_a_signed_message() -> None:
    sign = Recorder(b"x")
    made = transformed(MESSAGE, protection(sign, headers="confidential"))
    assert made.startswith(HEADER)  # nothing is secret, nothing is hidden
    assert sign.given == [
        b"From: Ann <ann@a.example>\r\nTo: bob@b.example\r\nSubject: the secret\r\n plan\r\nKeywords: plan\r\n"
        b"Date: Mon, 01 Jan 2024 10:00:00 +0000\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: text/plain; charset=utf-8;\r\n\thp="clear"\r\nContent-Language: en\r\n\r\nHello\r\n'
    ]


def test_confidential_headers_of_an_encrypted_message() -> None:
    encrypt = Recorder(b"x")
    made = transformed(MESSAGE, protection(encrypt=encrypt, headers="confidential"))
    assert b"secret" not in made
    assert b"Keywords" not in made
    assert b"Subject: [...]\r\n" in made
    (inside,) = encrypt.given
    assert b"Subject: the secret\r\n plan\r\nKeywords: plan\r\n" in inside
    assert (
        b"HP-Outer: From: Ann <ann@a.example>\r\nHP-Outer: To: bob@b.example\r\nHP-Outer: Subject: [...]\r\n"
        b"HP-Outer: Date: Mon, 01 Jan 2024 10:00:00 +0000\r\n"
    ) in inside
    assert b'hp="cipher"' in inside
    assert b"eve@" not in inside  # RFC 9788 §11.4
    assert b"Received" not in inside


def test_outlooks_copy_of_the_subject_is_hidden_as_well() -> None:
    encrypt = Recorder(b"x")
    made = transformed(b"Thread-Topic: the secret\r\n" + MESSAGE, protection(encrypt=encrypt, headers="confidential"))
    assert b"secret" not in made
    assert b"Thread-Topic: the secret\r\n" in encrypt.given[0]


def test_no_line_grows_too_long_to_travel() -> None:
    encrypt = Recorder(b"x")
    to = b"To: " + b"b" * 980 + b"@b.example\r\n"
    transformed(MESSAGE.replace(b"To: bob@b.example\r\n", to), protection(encrypt=encrypt, headers="confidential"))
    assert b"HP-Outer: To:\r\n " + to[4:] in encrypt.given[0]
    assert max(map(len, encrypt.given[0].split(b"\r\n"))) <= 998


def test_signed_headers_of_an_encrypted_message_hide_nothing() -> None:
    encrypt = Recorder(b"x")
    made = transformed(MESSAGE, protection(encrypt=encrypt, headers="signed"))
    assert made.startswith(HEADER)
    assert b"HP-Outer: Subject: the secret\r\n plan\r\n" in encrypt.given[0]


def test_an_intent_that_stood_there_already_is_replaced() -> None:
    sign = Recorder(b"x")
    content = b'Content-Type: text/plain; hp="cipher"; charset=utf-8;\r\n'
    transformed(HEADER + content + b"\r\nx", protection(sign, headers="signed"))
    assert b'Content-Type: text/plain; charset=utf-8;\r\n\thp="clear"\r\n' in sign.given[0]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("duplicate-content-type", b"Content-Type: text/plain\r\nContent-Type: text/html\r\n\r\nx"),
        ("missing-end", b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx"),
        ("nul", b"From: a@b\r\n\r\n\0"),
        ("nesting", b"Content-Type: message/rfc822\r\n\r\n" * 101),
        ("eight-bit-encoded", b"Content-Transfer-Encoding: base64\r\n\r\n\xff"),
        ("eight-bit-header", b"Content-Description: \xff\r\n\r\nx"),
    ],
)
def test_what_is_odd_is_left_alone_with_a_reason(word: str, message: bytes) -> None:
    sign = Recorder(b"x")
    made = protect_message(message, protection(sign))
    assert isinstance(made, NotTransformable)
    assert made.word == word
    assert made.text
    assert not sign.given


def test_headers_in_utf8_may_be_encrypted() -> None:
    assert isinstance(protect_message(b"Content-Description: \xff\r\n\r\nx", protection(encrypt=Recorder(b"x"))), bytes)


def test_a_header_without_an_end_is_completed() -> None:
    assert b"From: a@b\r\nMIME-Version" in transformed(b"From: a@b", protection(Recorder(b"x")))


_FIELDS = re.findall(rb"[^ ].*\r\n(?: .*\r\n)*", HEADER + CONTENT)


@given(st.permutations(_FIELDS))
def test_fields_move_inside_from_anywhere_and_the_others_keep_their_order(fields: list[bytes]) -> None:
    moved = [field for field in fields if field.lower().startswith(b"content-")]
    kept = [field for field in fields if field not in moved]
    encrypt = Recorder(b"envelope")
    made = transformed(b"".join(fields) + b"\r\n" + BODY, protection(encrypt=encrypt))
    assert encrypt.given == [b"".join(moved) + b"\r\n" + BODY]
    assert made.startswith(b"".join(kept) + b"Content-Type: application/pkcs7-mime;")


def test_what_only_looks_like_an_intent_stays_in_its_quotes() -> None:
    field = b'Content-Type: multipart/mixed; hp="clear"; name="a; hp=b"; HP = x; boundary=q\r\n'
    expected = b'Content-Type: multipart/mixed; name="a; hp=b"; boundary=q;\r\n\thp="cipher"\r\n'
    assert with_intent(field, b"cipher") == expected
