"""The TXT record and the policy file of MTA-STS, as they should be and as they are found."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.model.sts import StsPolicy
from mta.rfc.mtasts.match import names_host
from mta.rfc.mtasts.parse import MAX_AGE, MOST_OCTETS, PolicyFault, parse_policy, policy_id


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([b"v=STSv1; id=20160831085700Z;"], "20160831085700Z"),
        ([b"v=STSv1;id=1"], "1"),
        ([b"v=STSv1 ; \tid = 1 \t;"], "1"),
        ([b"v=STSv1; more=x; id=1; id=2"], "1"),
        ([b"v=spf1 -all", b"v=STSv1; id=1;"], "1"),
        ([b"v=STSv1x; id=9;", b"v=STSv1; id=1;"], "1"),
        ([], ""),
        ([b"v=STSv2; id=1;"], ""),
        ([b"V=STSv1; id=1;"], ""),
        ([b" v=STSv1; id=1;"], ""),
    ],
)
def test_what_a_record_announces(records: list[bytes], expected: str) -> None:
    assert policy_id(records) == expected


@pytest.mark.parametrize(
    "records",
    [
        [b"v=STSv1; id=1;", b"v=STSv1; id=1;"],
        [b"v=STSv1"],
        [b"v=STSv1;"],
        [b"v=STSv1; id=;"],
        [b"v=STSv1; id=a-b;"],
        [b"v=STSv1; id=" + b"1" * 33],
        [b"v=STSv1; id=1;;"],
        [b"v=STSv1; nonsense; id=1"],
        [b"v=STSv1; id=1; \xff=2"],
        [b"v=STSv1; ID=1;"],
    ],
)
def test_a_record_that_is_no_record(records: list[bytes]) -> None:
    with pytest.raises(PolicyFault):
        policy_id(records)


GOOD = "version: STSv1\nmode: enforce\nmx: mail.example.com\nmx: *.example.net\nmax_age: 604800\n"
READ = StsPolicy("enforce", ("mail.example.com", "*.example.net"), 604_800)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (GOOD, READ),
        (GOOD.replace("\n", "\r\n"), READ),
        (GOOD.rstrip("\n"), READ),
        (GOOD + "\n\r\n", READ),
        (GOOD.replace(": ", ":"), READ),
        (GOOD.replace(": ", "\t : \t").replace("\n", "  \n"), READ),
        (GOOD.replace("mail.example", "MAIL.Example"), READ),
        (GOOD + "mode: none\nmax_age: 1\nversion: STSv9\n", READ),
        (GOOD + "more: \u00e4nything at all: here\n", READ),
        (GOOD + "mx: mail.example.com\n", READ),
        ("max_age: 604800\nmx: mail.example.com\nmx: *.example.net\nmode: enforce\nversion: STSv1\n", READ),
        ("version: STSv1\nmode: none\nmax_age: 0", StsPolicy("none", (), 0)),
        ("version: STSv1\nmode: testing\nmx: a.example\nmax_age: 9999999999",
            StsPolicy("testing", ("a.example",), MAX_AGE)),
    ],
)  # fmt: skip
def test_a_policy(body: str, expected: StsPolicy) -> None:
    assert parse_policy(body.encode()) == expected


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("", "version"),
        (GOOD.replace("STSv1", "STSv2"), "version"),
        (GOOD.replace("version: STSv1\n", ""), "version"),
        (GOOD.replace("enforce", "Enforce"), "unknown mode"),
        (GOOD.replace("mode: enforce\n", ""), "no mode"),
        (GOOD.replace("max_age: 604800\n", ""), "no max_age"),
        (GOOD.replace("604800", "-1"), "no number"),
        (GOOD.replace("604800", "1 week"), "no number"),
        (GOOD.replace("604800", "١٢"), "no number"),
        (GOOD.replace("604800", "12345678901"), "no number"),
        ("version: STSv1\nmode: enforce\nmax_age: 60", "no mx"),
        (GOOD.replace("mail.example.com", "*"), "neither a host name"),
        (GOOD.replace("mail.example.com", "*.*.example.com"), "neither a host name"),
        (GOOD.replace("mail.example.com", "mail.*.com"), "neither a host name"),
        (GOOD.replace("mail.example.com", ".example.com"), "neither a host name"),
        (GOOD.replace("mail.example.com", "m\u00e4il.example.com"), "neither a host name"),
        (GOOD.replace("mail.example.com", ""), "neither a host name"),
        (GOOD + "<html>", "line 6"),
        (GOOD.replace("mode:", " mode:"), "line 2"),
    ],
)
def test_a_policy_that_is_none_says_why(body: str, fault: str) -> None:
    with pytest.raises(PolicyFault, match=fault):
        parse_policy(body.encode())


def test_size_and_octets_are_bounded() -> None:
    with pytest.raises(PolicyFault, match="more than"):
        parse_policy(GOOD.encode() + b"x" * MOST_OCTETS)
    with pytest.raises(PolicyFault, match="UTF-8"):
        parse_policy(GOOD.encode() + b"x: \xff")


def test_a_policy_is_written_as_it_is_read() -> None:
    assert parse_policy("\r\n".join(READ.lines).encode()) == READ


@pytest.mark.parametrize(
    ("patterns", "host", "expected"),
    [
        (("mail.example.com",), "mail.example.com", True),
        (("mail.example.com",), "MAIL.EXAMPLE.COM.", True),
        (("mail.example.com",), "mail2.example.com", False),
        (("*.example.com",), "mail.example.com", True),
        (("*.example.com",), "a.mail.example.com", False),  # one label
        (("*.example.com",), "example.com", False),
        (("*.example.com",), "mailexample.com", False),
        (("example.com",), "mail.example.com", False),
        (("other.example", "*.example.com"), "mail.example.com", True),
        (("*.com",), "com", False),
        ((), "mail.example.com", False),
        (("*.",), "com", False),
    ],
)
def test_which_hosts_a_policy_names(patterns: tuple[str, ...], host: str, expected: bool) -> None:
    assert names_host(patterns, host) is expected


LINES = st.sampled_from(
    [
        "version: STSv1",
        "mode: enforce",
        "mode: none",
        "mx: a.example",
        "mx: *.b.example",
        "max_age: 60",
        "x: y",
        "mx:",
        "",
    ]
)


@given(
    st.one_of(st.binary(max_size=200), st.lists(st.one_of(LINES, st.text(max_size=20))).map("\n".join).map(str.encode))
)
def test_any_octets_are_a_policy_or_a_fault(body: bytes) -> None:
    try:
        policy = parse_policy(body)
    except PolicyFault:
        return
    assert policy.mode == "none" or policy.mx
    assert parse_policy("\n".join(policy.lines).encode()) == policy


@given(st.lists(st.binary(max_size=60).map(lambda noise: b"v=STSv1; id=1" + noise), max_size=3))
def test_any_record_is_an_id_or_a_fault(records: list[bytes]) -> None:
    try:
        found = policy_id(records)
    except PolicyFault:
        return
    assert found.isalnum() or not found
