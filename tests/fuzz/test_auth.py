"""Whatever domains publish and messages claim: a result, a bounded number of questions, never an exception."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from mta.model.address import Mailbox
from mta.model.auth import AuthResult, DkimOutcome, SpfOutcome
from mta.model.author import FromField
from mta.rfc.authres.parse import is_ours, parse_results
from mta.rfc.dmarc.check import check
from mta.rfc.dmarc.evaluate import MAX_IDENTIFIERS
from mta.rfc.dmarc.walk import MAX_QUERIES
from mta.rfc.spf.check import SpfQuery, check_mail_from
from tests.support.fake_resolver import TEMPORARY, FakeResolver

NAMES = ["b.example", "c.example", "x.b.example", "h.example"]
MECHANISMS = ["all", "include", "a", "mx", "ptr", "ip4", "ip6", "exists", "redirect", "exp", "moo", ""]
TAILS = [
    *("", ":", "=", ":b.example", "=c.example", ":%{p}.b.example", ":%{l1r-}.%{d}", "/24", "//64", "/0//0", "/33"),
    *(":192.0.2.0/24", ":2001:db8::/32", ":%{ir}.%{v}.c.example", ":%{L}%%", ":%{", "=%{c}", ":1.2.3.4/00", " "),
    *("\x01", "\t", ":\x7f.b.example"),
]
TERMS = st.tuples(
    st.sampled_from(["", "+", "-", "~", "?", "!"]), st.sampled_from(MECHANISMS), st.sampled_from(TAILS)
).map("".join)
RECORDS = st.one_of(
    st.lists(TERMS, max_size=14).map(lambda terms: ("v=spf1 " + " ".join(terms)).encode()),
    st.binary(max_size=60).map(lambda noise: b"v=spf1 " + noise),
)
MOST_LOOK_UPS = 1 + 1 + 10 * 11 + 11  # records, terms with ten hosts each, a client with ten names, an explanation


def spf_zone(records: list[bytes], hosts: list[str]) -> FakeResolver:
    """Each name publishes one of the records; hosts answer, are silent, or point at each other."""
    resolver = FakeResolver({(name, "TXT"): [record] for name, record in zip(NAMES, records, strict=False)})
    for name, address in zip(NAMES, hosts, strict=False):
        resolver.set(name, "A", TEMPORARY if address == "?" else [address])
        resolver.set(name, "MX", [f"{i} {host}" for i, host in enumerate(NAMES * 4)])
    resolver.set("1.2.0.192.in-addr.arpa", "PTR", NAMES * 9)
    return resolver


@given(
    records=st.lists(RECORDS, min_size=1, max_size=4),
    hosts=st.lists(st.sampled_from(["192.0.2.1", "198.51.100.1", "?"]), max_size=4),
    local=st.text(max_size=20),
    helo=st.text(max_size=20),
    client=st.sampled_from(["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", "nonsense"]),
)
def test_any_spf_record_comes_to_a_result(
    records: list[bytes], hosts: list[str], local: str, helo: str, client: str
) -> None:
    resolver = spf_zone(records, hosts)
    query = SpfQuery(client, helo, Mailbox(local, "b.example", "b.example"))
    outcome = asyncio.run(check_mail_from(query, resolver))
    assert isinstance(outcome.result, AuthResult)
    assert resolver.asked <= MOST_LOOK_UPS
    assert outcome.explanation.isprintable()
    assert outcome.reason.isprintable()


TAGS = st.tuples(
    st.sampled_from(["v", "p", "sp", "np", "psd", "t", "adkim", "rua", "P", ""]),
    st.sampled_from(["=", " = ", "", "=="]),
    st.sampled_from(["DMARC1", "none", "reject", "y", "n", "s", "mailto:a@b.example", "", "\x00", "é"]),
).map("".join)
POLICY_RECORDS = st.lists(TAGS, max_size=6).map(lambda tags: ";".join(["v=DMARC1", *tags]).encode("latin-1"))
DOMAINS = st.lists(st.sampled_from(["a", "b", "example"]), min_size=1, max_size=12).map(".".join)


@given(
    zone=st.dictionaries(DOMAINS, st.lists(POLICY_RECORDS, max_size=2) | st.just(TEMPORARY), max_size=5),
    author=DOMAINS,
    spf=DOMAINS,
    signers=st.lists(DOMAINS, max_size=12),
    results=st.lists(st.sampled_from(AuthResult), min_size=13, max_size=13),
)
def test_any_dmarc_record_comes_to_a_result(
    zone: dict[str, list[bytes] | str], author: str, spf: str, signers: list[str], results: list[AuthResult]
) -> None:
    resolver = FakeResolver({(f"_dmarc.{name}", "TXT"): records for name, records in zone.items()})
    dkim = tuple(DkimOutcome(result, domain) for result, domain in zip(results, signers, strict=False))
    from_field = FromField((Mailbox("a", author, author),), 1)
    outcome = asyncio.run(check(from_field, SpfOutcome(results[-1], spf), dkim, resolver))
    vouching = [results[-1], *results[: len(signers)]]
    assert outcome.result is not AuthResult.PASS or AuthResult.PASS in vouching
    assert resolver.asked <= MAX_QUERIES * (2 + MAX_IDENTIFIERS) + 1
    assert outcome.reason.isprintable()
    assert outcome.record.isprintable()


PIECES = st.lists(
    st.sampled_from(
        ["us.example", "spf", "=", "pass", ";", "(", ")", '"', "\\", " ", "\r\n\t", ".", "reason", "\x00", "é"]
    )
).map("".join)


@given(value=PIECES.map(lambda text: text.encode("latin-1")) | st.binary(max_size=80))
def test_any_results_field_is_ours_or_not(value: bytes) -> None:
    parsed = parse_results(value)
    claimed = is_ours(value, "us.example")
    assert parsed is None or claimed == (parsed.authserv_id == "us.example") or b'"' in value
    if value.strip().startswith(b"us.example;"):
        assert claimed
