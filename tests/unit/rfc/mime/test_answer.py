"""The answer of a reader, whatever they and the sender wrote."""

from __future__ import annotations

import email
import email.policy
from dataclasses import replace

import pytest

from mta.rfc.mime.answer import AnswerFile, AnswerLetter, compose_answer

LETTER = AnswerLetter(
    id="i" * 26,
    hostname="mx.contoso.example",
    from_="postmaster@contoso.example",
    reader="bob@fabrikam.example",
    to="alice@contoso.example",
    date=0.0,
    portal="portal.contoso.example",
    subject="A plan",
    message_id="<1@contoso.example>",
    references="<0@contoso.example> <1@contoso.example> junk",
)
EVIL = "x\r\nBcc: eve@tailspin.example\r\n\r\nbody\0\u2028"


def test_the_thread_goes_on():
    read = email.message_from_bytes(compose_answer(LETTER, "yes"), policy=email.policy.default)
    assert read["Subject"] == "Re: A plan"
    assert read["References"] == "<0@contoso.example> <1@contoso.example>"
    assert read["In-Reply-To"] == "<1@contoso.example>"
    assert read.get_content().strip() == "yes"
    assert b"Subject: Re: again" in compose_answer(replace(LETTER, subject="Re: again"), "")
    assert b"References" not in compose_answer(replace(LETTER, message_id="none"), "")


@pytest.mark.parametrize("name", ["subject", "message_id", "references", "portal"])
def test_no_field_of_the_sender_becomes_another(name: str):
    raw = compose_answer(replace(LETTER, **{name: EVIL}), "x")  # type: ignore[arg-type]
    head = raw.partition(b"\r\n\r\n")[0]
    assert b"\nBcc" not in head
    assert b"\0" not in raw
    assert raw.replace(b"\r\n", b"").count(b"\n") == 0


@pytest.mark.parametrize("name", ["from_", "reader", "to"])
def test_an_address_that_is_none_is_refused(name: str):
    with pytest.raises(ValueError):
        compose_answer(replace(LETTER, **{name: EVIL}), "x")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text", ["", "a\rb\nc\r\nd", "x" * 5000, "Gr\u00fc\u00dfe", "From me\n.\n--=_x", "\ud800", "a\0b"]
)
def test_every_text_travels(text: str):
    raw = compose_answer(LETTER, text)
    assert raw.isascii()
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert b"\0" not in raw


def test_files_keep_their_names_and_cannot_end_their_part():
    evil = AnswerFile('a"\r\nX: y\u00e4.txt', "text/html\r\nX: y", b"--=_x\r\n" * 40)
    nested = AnswerFile("m.eml", "message/rfc822", b"From: x")
    read = email.message_from_bytes(compose_answer(LETTER, "t", [evil, nested]), policy=email.policy.default)
    _, first, second = read.iter_parts()
    assert first["X"] is None
    assert first.get_content_type() == second.get_content_type() == "application/octet-stream"
    assert first.get_payload(decode=True) == b"--=_x\r\n" * 40
    assert second.get_filename() == "m.eml"
