"""The bytes of a delivery status notification."""

from __future__ import annotations

import re
from dataclasses import replace
from email import message_from_bytes
from email.message import Message

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.rfc.dsn.compose import ReportedRecipient, StatusReport, compose

NOW = 1_767_604_987.0
ORIGINAL = (
    b"Received: from a by b; date\r\nFrom: <alice@contoso.example>\r\nSubject: Hello\r\nMessage-ID: <1@x>\r\n"
    b"\r\nThe body.\r\n"
)
BOB = ReportedRecipient(
    "bob@fabrikam.example",
    "failed",
    "5.1.1",
    explanation="mail.fabrikam.example[192.0.2.1]:25 said 550 5.1.1 No such user",
    advice="Check the address.",
    original="rfc822;Bob+2Btag@fabrikam.example",
    remote="mail.fabrikam.example",
    diagnostic="550 5.1.1 No such user",
    tls="TLS 1.3 with TLS_AES_256_GCM_SHA384; demanded verified:mail.fabrikam.example; tls=verified",
    last_attempt=NOW,
    retry_until=NOW + 60,
)
REPORT = StatusReport(
    "4Zq8",
    "mx.contoso.example",
    "postmaster@contoso.example",
    "alice@contoso.example",
    NOW,
    "Your message could not be delivered",
    "This is the mail system at mx.contoso.example.",
    (BOB,),
    arrival=NOW - 60,
    envid="QQ+2B314159",
    returned="full",
)


def parts(raw: bytes) -> list[Message]:
    message = message_from_bytes(raw)
    assert message.is_multipart()
    assert not message.defects
    return message.get_payload()  # type: ignore[return-value]


def check_wire(raw: bytes) -> None:
    """What every message on the wire must keep."""
    assert raw.endswith(b"\r\n")
    assert re.search(rb"\r(?!\n)|(?<!\r)\n|\0", raw) is None
    assert max(map(len, raw.split(b"\r\n"))) <= 998


def status(raw: bytes) -> list[Message]:
    return parts(raw)[1].get_payload()  # type: ignore[return-value]


def test_the_header_says_who_it_is_from_and_that_a_machine_wrote_it() -> None:
    message = message_from_bytes(compose(REPORT, ORIGINAL))
    assert message["From"] == "Mail Delivery System <postmaster@contoso.example>"
    assert message["To"] == "<alice@contoso.example>"
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["Message-ID"] == "<4Zq8@mx.contoso.example>"
    assert message["Date"] == "Mon, 05 Jan 2026 09:23:07 +0000"
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"


def test_machines_read_every_field() -> None:
    whole, bob = status(compose(REPORT, ORIGINAL))
    assert dict(whole.items()) == {
        "Original-Envelope-Id": "QQ+314159",
        "Reporting-MTA": "dns; mx.contoso.example",
        "Arrival-Date": "Mon, 05 Jan 2026 09:22:07 +0000",
    }
    assert dict(bob.items()) == {
        "Original-Recipient": "rfc822; Bob+tag@fabrikam.example",
        "Final-Recipient": "rfc822; bob@fabrikam.example",
        "Action": "failed",
        "Status": "5.1.1",
        "Remote-MTA": "dns; mail.fabrikam.example",
        "Diagnostic-Code": "smtp; 550 5.1.1 No such user",
        "Last-Attempt-Date": "Mon, 05 Jan 2026 09:23:07 +0000",
    }


def test_only_a_delay_says_until_when_it_will_be_tried() -> None:
    delayed = replace(REPORT, recipients=(replace(BOB, action="delayed", status="4.2.0"),))
    assert status(compose(delayed))[1]["Will-Retry-Until"] == "Mon, 05 Jan 2026 09:24:07 +0000"


def test_people_read_what_happened_and_what_to_do() -> None:
    text = parts(compose(REPORT, ORIGINAL))[0].get_payload()
    flat = " ".join(str(text).split())
    assert "bob@fabrikam.example: failed (5.1.1)" in flat
    assert "said 550 5.1.1 No such user" in flat
    assert "What to do: Check the address." in flat
    assert "TLS: TLS 1.3 with TLS_AES_256_GCM_SHA384; demanded verified:mail.fabrikam.example" in flat


def test_the_original_comes_back_whole_in_part_or_not_at_all() -> None:
    whole = parts(compose(REPORT, ORIGINAL))
    assert whole[2].get_content_type() == "message/rfc822"
    assert ORIGINAL in compose(REPORT, ORIGINAL)
    head = parts(compose(replace(REPORT, returned="headers"), ORIGINAL))
    assert head[2].get_content_type() == "text/rfc822-headers"
    assert "Subject: Hello" in str(head[2].get_payload())
    assert b"The body." not in compose(replace(REPORT, returned="headers"), ORIGINAL)
    none = compose(replace(REPORT, returned="none"), ORIGINAL)
    assert len(parts(none)) == 2
    assert b"Hello" not in none


@pytest.mark.parametrize(
    "bad", [b"A: b\r\n\r\nx\ny\r\n", b"A: b\r\n\r\nx\ry\r\n", b"A: \0\r\n\r\n", b"A: b\r\n\r\n" + b"x" * 999]
)
def test_an_original_that_would_break_the_report_comes_back_as_its_header(bad: bytes) -> None:
    raw = compose(REPORT, bad)
    check_wire(raw)
    assert parts(raw)[2].get_content_type() == "text/rfc822-headers"


def test_an_original_with_eight_bits_is_labelled() -> None:
    raw = compose(REPORT, "Subject: grün\r\n\r\nwälder\r\n".encode())
    assert parts(raw)[2]["Content-Transfer-Encoding"] == "8bit"
    assert parts(raw)[1]["Content-Transfer-Encoding"] == "7bit"


def test_an_internationalised_recipient_makes_an_internationalised_report() -> None:
    orcpt = r"utf-8;j\x{F6}s@fabrikam.example"
    report = replace(REPORT, recipients=(replace(BOB, address="jös@fabrikam.example", original=orcpt),))
    raw = compose(report, ORIGINAL)
    check_wire(raw)
    assert b"report-type=global-delivery-status" in raw
    assert b"Content-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: 8bit\r\n" in raw
    assert "\r\nFinal-Recipient: utf-8; jös@fabrikam.example\r\n".encode() in raw
    assert "\r\nOriginal-Recipient: utf-8; jös@fabrikam.example\r\n".encode() in raw
    assert b"Content-Type: message/global\r\n" in raw
    assert not report.smtputf8
    assert replace(report, to="jös@contoso.example").smtputf8


def test_an_envelope_id_that_hides_a_line_end_is_left_out() -> None:
    raw = compose(replace(REPORT, envid="a+0D+0AX-Spoof:+20b"))
    assert b"Original-Envelope-Id" not in raw
    assert b"X-Spoof" not in raw


@pytest.mark.parametrize("end", ["\r", "\n", "\0", "\r\n"])
@pytest.mark.parametrize("field", ["to", "from_", "subject", "id", "reporting_mta"])
def test_a_line_end_in_a_field_of_ours_raises(field: str, end: str) -> None:
    with pytest.raises(ValueError):
        compose(replace(REPORT, **{field: f"a{end}b"}))  # type: ignore[arg-type]


@pytest.mark.parametrize("field", ["address", "action", "status"])
def test_a_line_end_in_a_recipients_field_raises(field: str) -> None:
    with pytest.raises(ValueError):
        compose(replace(REPORT, recipients=(replace(BOB, **{field: "a\r\nb"}),)))


def test_the_same_report_gives_the_same_bytes_and_its_own_boundary_cannot_hurt_it() -> None:
    first = compose(REPORT, ORIGINAL)
    assert first == compose(REPORT, ORIGINAL)
    again = compose(REPORT, first)
    assert len(parts(again)) == 3


@pytest.mark.parametrize("letter", ["x", "ü"])
def test_an_endless_word_of_a_peer_is_broken_into_lines(letter: str) -> None:
    words = letter * 1800
    raw = compose(replace(REPORT, recipients=(replace(BOB, diagnostic=words, explanation=words),)), ORIGINAL)
    check_wire(raw)
    assert str(status(raw)[1]["Diagnostic-Code"]).count("x" if letter == "x" else "?") == 1800


WORDS = st.text(max_size=1500) | st.text("aü\r\n\t \0", max_size=3000)


@given(WORDS, WORDS, WORDS, WORDS)
def test_no_words_of_a_peer_break_the_report(words: str, remote: str, orcpt: str, reason: str) -> None:
    bob = replace(BOB, diagnostic=words, remote=remote, original=f"rfc822;{orcpt}", explanation=reason, tls=words)
    report = replace(REPORT, recipients=(bob, BOB), envid=orcpt)
    raw = compose(report, ORIGINAL)
    check_wire(raw)
    found = parts(raw)
    assert len(found) == 3
    for part in found[0], found[1]:
        body = raw.split(b"Content-Transfer-Encoding: ")[1 + found.index(part)]
        assert part["Content-Transfer-Encoding"] == "8bit" or body.isascii()
    if not report.global_:
        assert [block["Action"] for block in status(raw)] == [None, "failed", "failed"]


LOCAL = st.text(
    st.characters(min_codepoint=0x21, blacklist_characters='<>@"\\', blacklist_categories=("C", "Z")),
    min_size=1,
    max_size=64,
)


@given(LOCAL, LOCAL)
def test_any_address_travels_in_one_piece(local: str, sender: str) -> None:
    address = f"{local}@{'a' * 60}.{'b' * 60}.{'c' * 60}.{'d' * 50}.example"
    raw = compose(replace(REPORT, to=f"{sender}@x.example", recipients=(replace(BOB, address=address),)), ORIGINAL)
    check_wire(raw)
    assert re.search(rb"\r\nFinal-Recipient: (?:rfc822|utf-8);\s+" + re.escape(address.encode()) + rb"\r\n", raw)


@given(
    st.binary(max_size=3000) | st.lists(st.sampled_from([b"\r", b"\n", b"\0", b"A: b", b"x" * 1000])).map(b"".join),
    st.sampled_from(["full", "headers"]),
)
def test_no_original_breaks_the_report(original: bytes, returned: str) -> None:
    raw = compose(replace(REPORT, returned=returned), original)
    check_wire(raw)
    assert len(parts(raw)) == (3 if original else 2)
