"""Attacks on the seams between what one part of mail calls the author and what another does.

Whatever is composed: Authentication-Results and the From that a person sees agree, or the message is refused.
"""

from __future__ import annotations

import email
import email.policy
import re
from dataclasses import replace
from email.utils import getaddresses

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mta.contract.authentication import Authentication
from mta.contract.connectors import Connector
from mta.contract.inbound import Inbound
from mta.rfc.authres.parse import AuthenticationResults, parse_results
from mta.rfc.dkim.body import body_hashes
from mta.rfc.dkim.canonicalize import Headers
from mta.rfc.dkim.sign import BODY, sign
from mta.rfc.mime.from_ import parse_from
from mta.rfc.mime.header import scan_header
from mta.rfc.smtp.address import AddressError, parse_path
from mta.rfc.smtp.command import CommandError, parse_command, path_of
from tests.support.fake_resolver import FakeResolver
from tests.support.signatures import NOW, auth_message, local_signer, record, rsa_key
from tests.unit.pipeline.inbound_world import World
from tests.unit.policy.world import STRANGER

EVIL, GOOD = "evil.example", "fabrikam.example"
ZONE = {
    (EVIL, "TXT"): [b"v=spf1 ip4:198.51.100.7 -all"],
    (GOOD, "TXT"): [b"v=spf1 ip4:203.0.113.9 -all"],
    (f"_dmarc.{GOOD}", "TXT"): [b"v=DMARC1; p=reject"],
    (f"_dmarc.{EVIL}", "TXT"): [b"v=DMARC1; p=reject"],
    (f"r._domainkey.{EVIL}", "TXT"): [record(rsa_key())],
    (f"_dmarc.{GOOD}.{EVIL}", "TXT"): [b"v=DMARC1; p=reject"],
    (f"r._domainkey.{GOOD}.{EVIL}", "TXT"): [record(rsa_key())],
}
REST = b"To: alice@contoso.example\r\nSubject: invoice\r\n\r\nPlease pay.\r\n"
PARTNER = Connector(
    "fabrikam",
    domains=(GOOD, f"*.{GOOD}"),
    inbound=Inbound(identity="none", authentication=Authentication(True, dkim="aligned", on_failure="refuse")),
)
STRICT = Connector(
    "default", inbound=Inbound(authentication=Authentication(True, dmarc="enforce", on_failure="refuse"))
)


def by(raw: bytes, domain: str = EVIL, change: tuple[bytes, bytes] = (b"", b"")) -> bytes:
    """The message with a signature of `domain`, in which `change` is made afterwards."""
    message = auth_message(raw)
    digest = body_hashes(message, [BODY])[BODY].digest
    signature = sign(Headers(message.block), digest, local_signer(domain, "r", rsa_key()), NOW)
    return signature.replace(*change) + raw if change[0] else signature + raw


def origin(line: bytes) -> bytes:
    return b"From: " + line + b"\r\n" + REST


FROM_FIELDS = {
    "two fields, theirs first": b"From: bob@fabrikam.example\r\nFrom: eve@evil.example\r\n" + REST,
    "two fields, theirs last": b"From: eve@evil.example\r\nFrom: bob@fabrikam.example\r\n" + REST,
    "a field with a space before its colon": b"From : bob@fabrikam.example\r\nFrom: eve@evil.example\r\n" + REST,
    "a field with a NUL in its name": b"Fr\0om: bob@fabrikam.example\r\nFrom: eve@evil.example\r\n" + REST,
    "a field behind a line that is none": b"X\r\nFrom: bob@fabrikam.example\r\nFrom: eve@evil.example\r\n" + REST,
    "two authors": origin(b"eve@evil.example, bob@fabrikam.example"),
    "two authors without a comma": origin(b"<eve@evil.example> <bob@fabrikam.example>"),
    "an address as a bare name": origin(b"bob@fabrikam.example <eve@evil.example>"),
    "an address as a quoted name": origin(b'"bob@fabrikam.example" <eve@evil.example>'),
    "an address as an encoded name": origin(b"=?utf-8?q?bob=40fabrikam.example?= <eve@evil.example>"),
    "an encoded address": origin(b"=?utf-8?q?bob=40fabrikam.example=2c?=@evil.example"),
    "an encoded NUL": origin(b"=?utf-8?b?Ym9iQGZhYnJpa2FtLmV4YW1wbGUA?=@evil.example"),
    "a NUL behind theirs": origin(b"bob@fabrikam.example\0@evil.example"),
    "a source route": origin(b"<@fabrikam.example:eve@evil.example>"),
    "a route the other way": origin(b"<@evil.example,@x.example:bob@fabrikam.example>"),
    "a comment": origin(b"eve@evil.example (bob@fabrikam.example)"),
    "a comment within": origin(b"eve(<bob@fabrikam.example>)@evil.example"),
    "a group": origin(b"all: eve@evil.example, bob@fabrikam.example;"),
    "an empty group": origin(b"bob@fabrikam.example:;"),
    "a quoted local part": origin(b'"bob@fabrikam.example,"@evil.example'),
    "a folded field": origin(b"\r\n bob@fabrikam.example\r\n <eve@evil.example>"),
    "a folded line of blanks": origin(b"eve@evil.example\r\n \t\r\n ,bob@fabrikam.example"),
    "a backslash": origin(b"<bob@fabrikam.example\\>,eve@evil.example>"),
    "two at signs": origin(b"<bob@fabrikam.example@evil.example>"),
    "an unclosed angle": origin(b"<bob@fabrikam.example, <eve@evil.example>"),
    "no author": origin(b""),
    "no From at all": REST,
    "a parent's name": origin(b"bob@fabrikam.example.evil.example"),
    "a dot at the end": origin(b"bob@fabrikam.example."),
    "another case": origin(b"bob@FABRIKAM.example"),
}
SIGNATURES = {
    "i= of theirs": (EVIL, (b" s=r;", b" s=r; i=@fabrikam.example;")),
    "d= of theirs": (EVIL, (b"d=evil.example", b"d=fabrikam.example")),
    "d= with a NUL": (EVIL, (b"d=evil.example", b"d=fabrikam.example\0.evil.example")),
    "s= that leads elsewhere": (EVIL, (b"s=r;", b"s=r._domainkey.evil.example.\0.x;")),
    "s= with a comment": (EVIL, (b"s=r;", b"s=r._domainkey.evil.example(;")),
    "d= of the top": (EVIL, (b"d=evil.example", b"d=example")),
    "d= twice": (EVIL, (b"d=evil.example", b"d=evil.example; d=fabrikam.example")),
    "a parent's d=": (f"{GOOD}.{EVIL}", (b"", b"")),
    "d= with a quote": (EVIL, (b"d=evil.example", b'd=fabrikam.example" header.d="x')),
    "a signature that ends before the body": (EVIL, (b" b=", b" l=0; b=")),
}


def seen_by_people(raw: bytes) -> set[str]:
    """The domains that some reader would take for the author's: Python's two, and one that looks for angles."""
    found: set[str] = set()
    old = email.message_from_bytes(raw)
    found.update(address for _, address in getaddresses(list(map(str, old.get_all("from", [])))))
    for line in re.findall(rb"^From[ \t]*:((?:.|\r\n[ \t])*)", raw.partition(b"\r\n\r\n")[0], re.I | re.M):
        angles = re.findall(rb"<([^<>]*)>", re.sub(rb"\([^()]*\)", b"", line))
        found.update(address.decode("latin-1") for address in angles[:1])
    return {address.rpartition("@")[2].lower() for address in found if "@" in address}


async def verdict(raw: bytes, **envelope: str) -> tuple[bool, AuthenticationResults | None]:
    """Whether it is taken by a relay with a contract for Fabrikam, and what that then says in its own name."""
    world = World(PARTNER, STRICT)
    world.site.resolver = FakeResolver(ZONE)
    answer = await world.send(raw, **{"sender": "eve@evil.example", **envelope})
    assert bool(world.store.taken) is answer.positive
    if not answer.positive:
        assert answer.permanent
        return False, None
    [message] = world.store.taken
    whole = message.prefix + (message.content.data or b"")
    fields = [parse_results(value) for value in scan_header(whole, 100_000).values(b"authentication-results")]
    ours = [field for field in fields if field is not None and field.authserv_id == "mx.contoso.example"]
    assert len(ours) == 1, fields
    return True, ours[0]


def passing(results: AuthenticationResults, method: str, key: str) -> set[str]:
    return {
        one.get(key).rpartition("@")[2].lower()
        for one in results.results
        if (one.method, one.result) == (method, "pass")
    }


@pytest.mark.parametrize("signer", [EVIL, f"{GOOD}.{EVIL}"])
@pytest.mark.parametrize("name", FROM_FIELDS)
async def test_the_author_that_is_judged_is_the_author_that_is_seen(name: str, signer: str) -> None:
    raw = FROM_FIELDS[name]
    taken, results = await verdict(by(raw, signer))
    seen = seen_by_people(raw)
    if taken:
        assert results is not None
        passed = passing(results, "dmarc", "header.from")
        assert seen <= passed, (seen, results)
        assert not any(domain == GOOD or domain.endswith(f".{GOOD}") for domain in passed)
        assert passing(results, "dkim", "header.d") <= {signer}
    else:
        assert name not in ("an address as a quoted name", "a comment")  # these say truly who wrote


@pytest.mark.parametrize("name", SIGNATURES)
async def test_no_signature_speaks_for_another_domain(name: str) -> None:
    domain, change = SIGNATURES[name]
    raw = by(origin(b"bob@fabrikam.example"), domain, change)
    taken, _ = await verdict(raw)
    assert not taken
    taken, results = await verdict(by(origin(b"eve@evil.example"), domain, change))
    if taken:
        assert results is not None
        assert GOOD not in passing(results, "dkim", "header.d")
        assert passing(results, "dmarc", "header.from") <= {EVIL}


@pytest.mark.parametrize("sender", ["eve@evil.example", ""])
async def test_what_spf_proves_is_not_the_author(sender: str) -> None:
    """The host may use evil.example, in MAIL FROM or in HELO: that says nothing of who is written in From."""
    facts = replace(STRANGER, helo=EVIL)
    taken, _ = await verdict(origin(b"bob@fabrikam.example"), sender=sender, facts=facts)  # type: ignore[arg-type]
    assert not taken


@pytest.mark.parametrize(
    "local",
    [
        "x; dkim=pass header.d=fabrikam.example",
        'x" dkim=pass header.d=fabrikam.example; y="',
        'x\\"; dmarc=pass header.from=fabrikam.example (',
        "x) dkim=pass (",
    ],
)
async def test_no_word_of_a_stranger_becomes_a_result(local: str) -> None:
    quoted = '"' + local.replace("\\", "\\\\").replace('"', '\\"') + '"'
    taken, results = await verdict(by(origin(b"eve@evil.example")), sender=f"{quoted}@evil.example")
    assert taken
    assert results is not None
    assert passing(results, "dkim", "header.d") == {EVIL}
    assert passing(results, "dmarc", "header.from") == {EVIL}
    assert len(results.results) == 5  # two of SPF, one each of DKIM, ARC and DMARC


@pytest.mark.parametrize(
    "path",
    [
        "<bob@fabrikam.example\0@evil.example>",
        "<eve@evil.example\0>",
        "<bob@fabrikam.example@evil.example>",
        "<bob@fabrikam.example>@evil.example",
        "<eve@evil.example,bob@fabrikam.example>",
        "<(bob@fabrikam.example)eve@evil.example>",
        "<eve@evil.example(bob@fabrikam.example)>",
        "bob@fabrikam.example <eve@evil.example>",
        "<=?utf-8?q?bob=40fabrikam.example?=>",
        "<eve@evil.example\r\nDATA>",
    ],
)
def test_an_odd_mail_from_is_no_path(path: str) -> None:
    """A NUL or a second address in MAIL FROM would be cut differently by the next one who reads it."""
    try:
        command = parse_command(b"MAIL FROM:" + path.encode() + b"\r\n")
        text = path_of(command.argument, "FROM")
    except CommandError:
        return
    with pytest.raises(AddressError):
        parse_path(text, smtputf8=False, null_ok=True)


async def test_letters_that_look_alike_are_another_domain_and_said_so() -> None:
    """What a person takes for fabrikam.example is told as the A-labels that it is."""
    taken, results = await verdict(by(origin("bob@f\u0430brikam.example".encode())))
    assert taken
    assert results is not None
    assert [one.get("header.from") for one in results.results if one.method == "dmarc"] == ["xn--fbrikam-2fg.example"]
    assert passing(results, "dmarc", "header.from") == set()


async def test_an_honest_message_is_taken() -> None:
    """The relay of these tests does take mail: of a stranger that is what it says, and of nobody else."""
    taken, results = await verdict(by(origin(b"Eve <eve@evil.example>")))
    assert taken
    assert results is not None
    assert passing(results, "dmarc", "header.from") == {EVIL}


WORDS = (b"eve@evil.example", b"bob@fabrikam.example", b"Bob", b"=?utf-8?q?x=40fabrikam.example?=", b"\r\nFrom: ")
PIECES = st.sampled_from(
    [
        *WORDS,
        b"<",
        b">",
        b",",
        b";",
        b":",
        b'"',
        b"(",
        b")",
        b" ",
        b"\r\n ",
        b"\\",
        b"@",
        b"\t",
        b".",
        b"[",
        b"]",
        b"\0",
    ]
)


@settings(max_examples=400, deadline=None)
@example([b"Bob", b" ", b"<", b"eve@evil.example", b">"])
@given(st.lists(PIECES, min_size=1, max_size=9))
def test_a_sole_author_is_the_one_that_every_reader_sees(pieces: list[bytes]) -> None:
    """Whatever is put together: what is read here as one author, without doubt, no other reader takes for another."""
    raw = origin(b"".join(pieces))
    author = parse_from(scan_header(raw, 100_000), 10_000)
    if len(author.authors) == 1 and not author.ambiguous:
        assert seen_by_people(raw) <= set(author.domains)
