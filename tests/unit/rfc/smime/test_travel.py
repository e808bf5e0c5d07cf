"""What was decrypted, made fit for SMTP."""

from __future__ import annotations

import email

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.rfc.smime.travel import fit_for_smtp
from tests.support.smime_mail import HEADER, MESSAGE, anna, sign

EIGHT = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
EIGHT += "Grüße aus Wien\r\n".encode()


def test_what_is_fit_stays_the_same_bytes() -> None:
    for message in (MESSAGE, sign(MESSAGE, anna())):
        assert fit_for_smtp(message) == message


def test_line_ends_of_another_system_become_those_of_mail() -> None:
    assert fit_for_smtp(HEADER + MESSAGE.removeprefix(HEADER).replace(b"\r\n", b"\n")) == MESSAGE


def test_eight_bit_and_binary_parts_are_encoded() -> None:
    made = fit_for_smtp(HEADER + EIGHT)
    assert made is not None
    assert made.isascii()
    assert b"Gr=C3=BC" in made
    binary = b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: binary\r\n\r\n\0\n\r\xff"
    made = fit_for_smtp(HEADER + binary)
    assert made is not None
    assert email.message_from_bytes(made).get_payload(decode=True) == b"\0\n\r\xff"


def test_eight_bit_text_under_a_signature_is_not_touched() -> None:
    signed = (
        HEADER + b"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n" + EIGHT + b"\r\n--b\r\n\r\nx\r\n--b--\r\n"
    )
    assert fit_for_smtp(signed) == signed
    assert fit_for_smtp(signed.replace(b"Wien", b"x" * 1000)) is None
    assert fit_for_smtp(signed.replace(b"Wien", b"\0")) is None


@pytest.mark.parametrize(
    "message",
    [
        HEADER + b"\r\nx\0\r\n",
        HEADER + b"\r\nx\ry\r\n",
        HEADER + b"Content-Type: multipart/mixed; boundary*0=a\r\n\r\nx\r\n",
    ],
)
def test_what_nobody_can_send_is_none(message: bytes) -> None:
    assert fit_for_smtp(message) is None


@given(st.binary(max_size=300))
def test_whatever_it_is_the_result_can_be_sent(body: bytes) -> None:
    made = fit_for_smtp(HEADER + b"Content-Transfer-Encoding: binary\r\n\r\n" + body)
    assert made is not None
    assert made.isascii()
    assert made.count(b"\r\n") == made.count(b"\n") == made.count(b"\r")
    assert max(map(len, made.split(b"\r\n"))) <= 998
