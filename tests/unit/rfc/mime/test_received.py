"""Our own Received field."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.model.session import SessionFacts
from mta.model.tls import CertificateFacts, TlsFacts
from mta.rfc.mime.received import Stamp, received_field

NOW = 1_767_604_987.0
TLS = TlsFacts("1.3", "TLS_AES_256_GCM_SHA384", group="x25519")


def certificate(subject: str) -> CertificateFacts:
    return CertificateFacts(b"", subject, "CN=CA", "1", "aa", "bb", (), (), (), 0.0, 1.0, (), "ed25519")


def session(helo: str = "mail.fabrikam.example", esmtp: bool = True, tls: TlsFacts | None = None) -> SessionFacts:
    return SessionFacts(IPv4Address("192.0.2.1"), helo=helo, esmtp=esmtp, tls=tls)


def stamp(recipient: str = "", smtputf8: bool = False, authenticated: bool = False) -> Stamp:
    return Stamp("mx.contoso.example", "4Zq8", NOW, recipient, smtputf8, authenticated)


def unfolded(field: bytes) -> str:
    return re.sub(r"\r\n[ \t]+", " ", field.decode("utf-8")).rstrip("\r\n")


def test_a_clear_session_is_told_whole() -> None:
    assert unfolded(received_field(session(), stamp("bob@contoso.example"))) == (
        "Received: from mail.fabrikam.example ([192.0.2.1]) by mx.contoso.example with ESMTP id 4Zq8 "
        "for <bob@contoso.example>; Mon, 05 Jan 2026 09:23:07 +0000"
    )


def test_a_tls_session_shows_what_protected_it() -> None:
    text = unfolded(received_field(session(tls=TLS), stamp()))
    assert "(version=TLSv1.3 cipher=TLS_AES_256_GCM_SHA384 group=x25519) by mx.contoso.example with ESMTPS id" in text
    assert " for <" not in text


@pytest.mark.parametrize(
    ("esmtp", "tls", "smtputf8", "authenticated", "word"),
    [
        (False, None, False, False, "SMTP"),
        (False, TLS, False, False, "SMTP"),
        (True, None, False, False, "ESMTP"),
        (True, None, False, True, "ESMTPA"),
        (True, TLS, False, False, "ESMTPS"),
        (True, TLS, False, True, "ESMTPSA"),
        (True, None, True, False, "UTF8SMTP"),
        (True, None, True, True, "UTF8SMTPA"),
        (True, TLS, True, False, "UTF8SMTPS"),
        (True, TLS, True, True, "UTF8SMTPSA"),
    ],
)
def test_the_protocol_word_is_the_registered_one(
    esmtp: bool, tls: TlsFacts | None, smtputf8: bool, authenticated: bool, word: str
) -> None:
    field = received_field(session(esmtp=esmtp, tls=tls), stamp("", smtputf8, authenticated))
    assert f" with {word} id 4Zq8;" in unfolded(field)


def test_ipv6_is_an_address_literal() -> None:
    facts = SessionFacts(IPv6Address("2001:db8::1"), helo="[IPv6:2001:db8::1]", esmtp=True)
    assert unfolded(received_field(facts, stamp())).startswith(
        "Received: from [IPv6:2001:db8::1] ([IPv6:2001:db8::1]) by"
    )


def test_a_subject_cannot_leave_its_comment() -> None:
    facts = TlsFacts("1.2", "X", chain=(certificate("CN=a) by evil (\\,O=ü\r\nX-Spoof: 1"),))
    text = unfolded(received_field(session(tls=facts), stamp()))
    assert "client certificate CN=a\\) by evil \\(\\\\,O=???X-Spoof: 1)" in text


@pytest.mark.parametrize("smtputf8", [False, True])
def test_what_is_internationalised_stands_there_in_ascii_or_not_at_all(smtputf8: bool) -> None:
    assert " for <" not in unfolded(received_field(session(), stamp("jösé@x.example", smtputf8)))
    field = received_field(session("mail.bücher.example"), stamp("bert@xn--bcher-kva.example", smtputf8))
    assert unfolded(field).startswith("Received: from mail.xn--bcher-kva.example (")
    assert "for <bert@xn--bcher-kva.example>;" in unfolded(field)


def test_a_helo_that_would_write_a_field_is_made_harmless() -> None:
    text = received_field(session("a\r\nX-Spoof: (1)\0"), stamp()).decode()
    assert text.startswith("Received: from a??X-Spoof:??1?? ([192.0.2.1])")
    assert received_field(session(""), stamp()).startswith(b"Received: from unknown (")


@pytest.mark.parametrize("bad", ["a\r\nX-Spoof: 1@x", "a\nb@x", "a\0b@x", "a> b@x", "a" * 401])
def test_a_recipient_that_cannot_stand_in_a_field_is_left_out(bad: str) -> None:
    assert " for <" not in unfolded(received_field(session(), stamp(bad)))


WORDS = st.text(max_size=600) | st.text('a\r\n\0 ()<>\\"ü', max_size=600)


@given(WORDS, WORDS, WORDS, st.booleans())
def test_nothing_a_peer_says_breaks_the_field(helo: str, recipient: str, subject: str, smtputf8: bool) -> None:
    facts = TlsFacts("1.3", "X", chain=(certificate(subject),))
    field = received_field(session(helo, tls=facts), stamp(recipient, smtputf8))
    lines = field.split(b"\r\n")
    assert lines[-1] == b""
    assert lines[0].startswith(b"Received: from ")
    assert all(line[:1] == b"\t" and line.strip() for line in lines[1:-1])
    assert not any(b"\r" in line or b"\n" in line or b"\0" in line or len(line) > 998 for line in lines)
    assert field.isascii()
