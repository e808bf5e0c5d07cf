"""Requests for TLS reports, as they stand in the DNS."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.rfc.tlsrpt.parse import MAX_DESTINATIONS, TlsRptRecord, parse_record, select_record, url_problem

MAIL, WEB = "mailto:tls@b.example", "https://b.example/tls?x=1"


@pytest.mark.parametrize(
    ("text", "destinations"),
    [
        (f"v=TLSRPTv1;rua={MAIL}", (MAIL,)),
        (f"v=TLSRPTv1; rua={MAIL};", (MAIL,)),
        (f"v=TLSRPTv1; rua={MAIL} , {WEB}", (MAIL, WEB)),
        (f"v=TLSRPTv1; later=x; rua={WEB}; more=y", (WEB,)),
        (f"v=TLSRPTv1; rua={MAIL},{MAIL}", (MAIL,)),
        (f"v=TLSRPTv1; rua=ftp://b.example,{MAIL}", (MAIL,)),
        ("v=TLSRPTv1; rua=MAILTO:tls@b.example", ("MAILTO:tls@b.example",)),
        (f"v=TLSRPTv1 \t; \trua={MAIL} \t;", (MAIL,)),
        (f"v=TLSRPTv1;rua={MAIL} ,\t {WEB}  ", (MAIL, WEB)),
        (f"v=TLSRPTv1;rua={MAIL};rua={WEB}", (MAIL, WEB)),
        (f"v=TLSRPTv1;rua={MAIL};{'x' * 32}=!<>~;", (MAIL,)),
        ("v=TLSRPTv1;rua=mailto:a%2Cb@b.example", ("mailto:a%2Cb@b.example",)),
    ],
)
def test_what_asks_for_reports(text: str, destinations: tuple[str, ...]) -> None:
    assert parse_record(text.encode()) == TlsRptRecord(destinations)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "v=TLSRPTv1",
        "v=TLSRPTv1;",
        f"v=TLSRPTv2;rua={MAIL}",
        f"V=TLSRPTv1;rua={MAIL}",  # RFC 8460 §3: %s, case counts
        f"v=TLSRPTv1;rua= {MAIL}",
        f"v=TLSRPTv1;rua ={MAIL}",
        f"v=TLSRPTv1;;rua={MAIL}",
        f"v=TLSRPTv1;rua={MAIL};;",
        f"v=TLSRPTv1;rua={MAIL} other",
        f"v=TLSRPTv1;rua={MAIL},",
        f"v=TLSRPTv1;rua={MAIL},noscheme",
        f"v=TLSRPTv1;rua={MAIL},https://b.example/%",
        f"v=TLSRPTv1;rua={MAIL};more=",
        f"v=TLSRPTv1;rua={MAIL};more",
        f"v=TLSRPTv1;rua={MAIL};more= x",
        f"v=TLSRPTv1;rua={MAIL};1%=a",
        f"v=TLSRPTv1;rua={MAIL};test==",
        f"v=TLSRPTv1;rua={MAIL};{'x' * 33}=1",
        f" v=TLSRPTv1;rua={MAIL}",
        f"v=TLSRPTv1;RUA={MAIL}",
        "v=TLSRPTv1;rua=",
        "v=TLSRPTv1;rua=tls@b.example",
        f"rua={MAIL};v=TLSRPTv1;",
        "v=TLSRPTv1;rua=mailto:" + "x" * 20_000,
    ],
)
def test_what_does_not(text: str) -> None:
    assert parse_record(text.encode()) is None


def test_other_records_beside_it_do_not_matter_but_a_second_request_voids_both() -> None:
    one, other = f"v=TLSRPTv1;rua={MAIL}".encode(), f"v=TLSRPTv1;rua={WEB}".encode()
    assert select_record((b"v=spf1 -all", one)) == TlsRptRecord((MAIL,))
    assert select_record((one, other)) is None
    assert select_record(()) is None


@given(st.binary(max_size=200) | st.binary(max_size=100).map(lambda noise: b"v=TLSRPTv1;rua=" + noise))
def test_whatever_stands_there_is_a_request_or_none(noise: bytes) -> None:
    found = parse_record(noise)
    assert found is None or 0 < len(found.destinations) <= MAX_DESTINATIONS


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://collector.example/", "no https"),
        ("https:///x", "no https"),
        ("https://user:word@collector.example/", "user name"),
        ("https://127.0.0.1/", "no public"),
        ("https://[::1]/", "no public"),
        ("https://10.0.0.1/", "no public"),
        ("https://collector.example:99999/", "no URL"),
        ("https://[::1/", "no URL"),
        ("https://collector.example/" + "x" * 3000, "no https"),
    ],
)
def test_urls_that_are_not_posted_to(url: str, why: str) -> None:
    assert why in url_problem(url)


def test_a_url_that_is() -> None:
    assert url_problem("https://collector.example:8443/v1?x=y") == ""


@given(st.text(max_size=60).map("https://{}".format))
def test_any_url_is_posted_to_or_has_a_problem(url: str) -> None:
    assert isinstance(url_problem(url), str)
