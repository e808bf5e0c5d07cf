"""Signatures that we write: what they cover, how they look, and that others accept them (and we theirs)."""

from __future__ import annotations

import re

import dkim
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.model.auth import AuthResult
from mta.rfc.dkim.canonicalize import Headers
from mta.rfc.dkim.parse import TagError, parse_tags
from mta.rfc.dkim.sign import Signer, sign
from mta.rfc.mime.header import scan_header
from tests.support.signatures import (
    DOMAIN,
    MESSAGE,
    NOW,
    ed25519_key,
    ed25519_signer,
    judged,
    local_signer,
    pem,
    published,
    rsa_key,
    rsa_signer,
    signed,
)


def tags_of(field: bytes) -> dict[str, bytes]:
    return parse_tags(field.partition(b":")[2])


def field_of(raw: bytes, signer: Signer | None = None, expires: float | None = None) -> bytes:
    return sign(Headers(scan_header(raw, 100_000)), bytes(32), signer or rsa_signer(), NOW + 0.9, expires)


def test_the_field_says_all_that_is_needed_and_no_length() -> None:
    tags = tags_of(field_of(MESSAGE, expires=NOW + 3600))
    assert list(tags) == ["v", "a", "c", "d", "s", "h", "t", "x", "bh", "b"]
    assert (tags["v"], tags["a"], tags["c"]) == (b"1", b"rsa-sha256", b"relaxed/relaxed")
    assert (tags["d"], tags["s"], tags["t"], tags["x"]) == (b"contoso.example", b"r", b"1790000000", b"1790003600")
    assert "x" not in tags_of(field_of(MESSAGE))


def test_what_people_see_is_signed_once_more_than_it_is_there() -> None:
    raw = b"From: a@b.example\r\nTo: x@y\r\nTo: z@y\r\nList-Id: <l>\r\nReceived: x\r\nBcc: q@y\r\nX-Own: 1\r\n\r\n"
    names = re.sub(rb"\s", b"", tags_of(field_of(raw))["h"]).split(b":")
    assert (names.count(b"from"), names.count(b"to"), names.count(b"list-id")) == (2, 3, 1)
    for name in (b"subject", b"cc", b"date", b"reply-to", b"message-id", b"mime-version", b"content-type"):
        assert names.count(name) == 1
    assert not {b"received", b"bcc", b"x-own", b"return-path", b"dkim-signature"} & set(names)


@pytest.mark.parametrize("signer", [rsa_signer, ed25519_signer])
@pytest.mark.parametrize("raw", [MESSAGE, b"To: a\r\n" * 40 + MESSAGE, b"\r\n"])
def test_lines_are_short_and_end_in_crlf(signer: object, raw: bytes) -> None:
    field = field_of(raw, signer())  # type: ignore[operator]
    *lines, last = field.split(b"\r\n")
    assert last == b""
    assert max(map(len, lines)) < 78
    assert all(line.startswith(b" ") and line.strip() for line in lines[1:])
    assert b"\n" not in b"".join(lines)


async def test_a_name_too_long_for_a_line_still_makes_a_good_signature() -> None:
    long = ".".join(["a" * 60] * 3) + ".example"
    whole = signed(MESSAGE, local_signer(long, "s" * 40, ed25519_key()))
    (outcome,) = await judged(whole, {f"{'s' * 40}._domainkey.{long}": published()[f"e._domainkey.{DOMAIN}"]})
    assert outcome.result is AuthResult.PASS


@pytest.mark.parametrize(("domain", "selector"), [("a b.example", "s"), ("a.example", "s;x"), ("bücher.example", "s")])
def test_names_that_are_none_are_refused_at_once(domain: str, selector: str) -> None:
    with pytest.raises(TagError):
        local_signer(domain, selector, ed25519_key())


# dkimpy treats a bare LF as CRLF, and white space at the very end of a body that has no line end as text: neither
# occurs here, nor does a space before the colon, which it refuses.
FOLDS = st.lists(
    st.sampled_from([b" ", b"\t", b"\r\n ", b"\r\n\t", b"a", b"B:", b"\xc3\xa4", b";=", b"\xff"]), max_size=12
)
VALUES = FOLDS.map(lambda parts: b" x" + b"".join(parts) + b"y")
LINES = st.lists(
    st.lists(st.sampled_from([b" ", b"\t", b"a", b"\xe4\xb8\xad", b"\xff", b"."]), max_size=6).map(b"".join), max_size=8
)
BODIES = st.builds(
    lambda lines, end: b"\r\n".join(lines) + end, LINES, st.sampled_from([b"", b"z", b"\r\n", b"\r\n\r\n"])
)
MESSAGES = st.builds(
    lambda fields, body: (
        b"From: a@b.example\r\n" + b"".join(n + b":" + v + b"\r\n" for n, v in fields) + b"\r\n" + body
    ),
    st.lists(
        st.tuples(st.sampled_from([b"To", b"SUBJECT", b"sUbject", b"X-Any", b"List-Id", b"Cc"]), VALUES), max_size=6
    ),
    BODIES.filter(lambda body: not body.endswith((b" ", b"\t"))),
)


@settings(max_examples=120, deadline=None)
@given(MESSAGES)
async def test_ours_and_dkimpys_verifier_accept_what_we_sign(raw: bytes) -> None:
    whole = signed(raw, rsa_signer(), ed25519_signer(), now=1_700_000_000)
    records = published()
    for index in range(2):
        assert dkim.DKIM(whole).verify(index, dnsfunc=lambda name, timeout=5: records[name.decode().rstrip(".")])
    assert [outcome.result for outcome in await judged(whole)] == [AuthResult.PASS] * 2


FORMS = st.sampled_from([b"simple", b"relaxed"])


@settings(max_examples=120, deadline=None)
@given(MESSAGES, FORMS, FORMS)
async def test_we_accept_what_dkimpy_signs(raw: bytes, header: bytes, body: bytes) -> None:
    field = dkim.DKIM(raw).sign(b"r", DOMAIN.encode(), pem(rsa_key()), canonicalize=(header, body))
    (outcome,) = await judged(field + raw)
    assert outcome.result is AuthResult.PASS, outcome


@settings(max_examples=100, deadline=None)
@given(MESSAGES, st.integers(0, 400), st.sampled_from([b"x", b" ", b"\t", b"\r\n", b"\r\n ", b":"]))
async def test_ours_and_dkimpy_agree_about_a_message_changed_anywhere(raw: bytes, place: int, what: bytes) -> None:
    whole = signed(raw, rsa_signer(), now=1_700_000_000)
    behind = whole.index(b"From: a@b")
    cut = min(behind + place, len(whole))
    changed = whole[:cut] + what + whole[cut:]
    if re.search(rb"(?<!\r)\n|\r(?!\n)", changed) or changed.endswith((b" ", b"\t")):
        return  # see above: dkimpy reads these otherwise
    records = published()
    (outcome,) = await judged(changed)
    try:
        theirs = dkim.DKIM(changed).verify(dnsfunc=lambda name, timeout=5: records[name.decode().rstrip(".")])
    except dkim.MessageFormatError:
        return  # a line without a colon is passed over here and refused there
    except dkim.DKIMException:
        theirs = False
    assert outcome.result.passed is theirs
