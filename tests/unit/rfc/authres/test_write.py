"""The Authentication-Results field as we write it: it says what was found, and nothing a stranger could add."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.errors import LocalProtocolError
from mta.model.address import Mailbox
from mta.model.auth import ArcOutcome, AuthenticationFacts, AuthResult, DkimOutcome, DmarcOutcome, SpfOutcome
from mta.rfc.authres.parse import parse_results
from mta.rfc.authres.write import authentication_results
from mta.rfc.spf.check import SpfQuery
from mta.rfc.spf.received import received_spf

FACTS = AuthenticationFacts(
    SpfOutcome(AuthResult.NONE, "mx.b.example"),
    SpfOutcome(AuthResult.PASS, "b.example", "ip4:192.0.2.0/24 of b.example"),
    (
        DkimOutcome(AuthResult.PASS, "b.example", "s1", "rsa-sha256", "", 2048, "@b.example", "dzdVyOfA"),
        DkimOutcome(AuthResult.FAIL, "l.example", "x", "ed25519-sha256", 'the "body" changed', 0, "", "a/b+c="),
    ),
    DmarcOutcome(AuthResult.PASS, "reject", "b.example", "b.example"),
    ArcOutcome(AuthResult.PASS, ("l.example",), "", 1),
)


def test_a_field_as_a_person_reads_it() -> None:
    field = authentication_results("mx.us.example", FACTS, mail_from="bob@b.example", client="2001:db8::1")
    assert field.decode() == (
        "Authentication-Results: mx.us.example;\r\n"
        "\tspf=none smtp.helo=mx.b.example;\r\n"
        '\tspf=pass reason="ip4:192.0.2.0/24 of b.example" smtp.mailfrom=bob@b.example;\r\n'
        "\tdkim=pass (2048-bit key) header.d=b.example header.i=@b.example header.s=s1\r\n"
        "\t header.a=rsa-sha256 header.b=dzdVyOfA;\r\n"
        '\tdkim=fail reason="the \\"body\\" changed" header.d=l.example header.s=x\r\n'
        '\t header.a=ed25519-sha256 header.b="a/b+c=";\r\n'
        "\tarc=pass (i=1 sealed by l.example) header.oldest-pass=0\r\n"
        '\t smtp.remote-ip="2001:db8::1";\r\n'
        "\tdmarc=pass (p=reject) policy.dmarc=reject header.from=b.example\r\n"
    )


def test_what_is_written_is_read_again() -> None:
    parsed = parse_results(authentication_results("mx.us.example", FACTS).partition(b":")[2])
    assert parsed is not None
    assert parsed.authserv_id == "mx.us.example"
    assert [(one.method, one.result) for one in parsed.results] == [
        ("spf", "none"), ("spf", "pass"), ("dkim", "pass"), ("dkim", "fail"), ("arc", "pass"), ("dmarc", "pass"),
    ]  # fmt: skip
    assert parsed.results[3].reason == 'the "body" changed'
    assert parsed.results[3].get("header.b") == "a/b+c="
    assert parsed.results[1].get("smtp.mailfrom") == "b.example"


def test_without_signature_and_verdict() -> None:
    facts = AuthenticationFacts(SpfOutcome(AuthResult.NONE), SpfOutcome(AuthResult.NONE))
    field = authentication_results("us.example", facts)
    assert field == b"Authentication-Results: us.example;\r\n\tspf=none;\r\n\tspf=none;\r\n\tdkim=none\r\n"


def test_a_verdict_that_was_not_reached_names_no_policy() -> None:
    outcome = DmarcOutcome(AuthResult.TEMPERROR, "reject", "b.example", "b.example", "DNS does not answer")
    facts = AuthenticationFacts(FACTS.spf_helo, FACTS.spf_mail_from, (), outcome)
    field = authentication_results("us.example", facts)
    assert b"policy.dmarc" not in field
    assert b'dmarc=temperror (p=reject) reason="DNS does not answer"' in field


@pytest.mark.parametrize("authserv_id", ["", "a b", "a;b", "a\r\nX: y", "ä.example", "a(b)"])
def test_an_identifier_that_is_none_is_our_own_mistake(authserv_id: str) -> None:
    with pytest.raises(LocalProtocolError):
        authentication_results(authserv_id, FACTS)


HOSTILE = st.text(alphabet=st.sampled_from('ab.@;=()"\\ \r\n\0\té<>[]:' + "x" * 3), max_size=400)


@given(texts=st.lists(HOSTILE, min_size=12, max_size=12), result=st.sampled_from(AuthResult))
def test_no_stranger_writes_a_field_or_a_result(texts: list[str], result: AuthResult) -> None:
    facts = AuthenticationFacts(
        SpfOutcome(result, texts[0], texts[1]),
        SpfOutcome(result, texts[2], texts[3]),
        (DkimOutcome(result, texts[4], texts[5], texts[6], texts[7], 1024, texts[8], texts[9]),),
        DmarcOutcome(result, "none", texts[10], "", texts[11]),
        ArcOutcome(result, (texts[0],), texts[1], 2),
    )
    field = authentication_results("us.example", facts, mail_from=texts[2], client=texts[3])
    lines = field.split(b"\r\n")
    assert lines[-1] == b""
    assert all(line.startswith(b"\t") and len(line) < 998 and line.strip() for line in lines[1:-1])
    assert all(32 <= octet < 127 or octet == 9 for line in lines for octet in line)
    parsed = parse_results(field.partition(b":")[2])
    assert parsed is not None
    assert [one.method for one in parsed.results] == ["spf", "spf", "dkim", "arc", "dmarc"]
    assert {one.result for one in parsed.results} == {result.value}


def test_received_spf() -> None:
    query = SpfQuery("2001:db8::1", "mx.b.example", Mailbox("bob", "b.example", "b.example"), "mx.us.example")
    assert received_spf(query, SpfOutcome(AuthResult.PASS, "b.example", "+mx (a)")).decode() == (
        "Received-SPF: pass\r\n"
        "\t(mx.us.example: +mx \\(a\\))\r\n"
        '\tclient-ip="2001:db8::1";\r\n'
        '\tenvelope-from="bob@b.example";\r\n'
        "\thelo=mx.b.example;\r\n"
        "\treceiver=mx.us.example;\r\n"
        "\tidentity=mailfrom\r\n"
    )


@given(helo=HOSTILE, local=HOSTILE, reason=HOSTILE)
def test_received_spf_is_one_field_whatever_strangers_say(helo: str, local: str, reason: str) -> None:
    query = SpfQuery("192.0.2.1", helo, Mailbox(local, "b.example", "b.example"), "us.example")
    lines = received_spf(query, SpfOutcome(AuthResult.FAIL, "b.example", reason), "helo").split(b"\r\n")
    assert all(line.startswith(b"\t") for line in lines[1:-1])
    assert all(32 <= octet < 127 or octet == 9 for line in lines for octet in line)
