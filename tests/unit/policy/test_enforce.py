"""MAIL FROM and header From: each rule of *Claims* is a row."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.contract.connectors import Connector
from mta.contract.inbound import Inbound
from mta.model.address import Mailbox
from mta.model.author import FromField
from mta.policy.decision import Decision
from mta.policy.enforce import judge_header_from, judge_mail
from mta.policy.identify import judge_proof, session
from mta.policy.refusal import reply_for
from tests.unit.policy.test_identify import INBOUNDS, SESSIONS
from tests.unit.policy.world import (
    CERTIFICATE,
    CONTOSO,
    DAY,
    DEFAULT,
    FABRIKAM,
    INSIDER,
    INTERNAL,
    NOW,
    PARTNER,
    STRANGER,
    VERIFIER,
    IssuerVerifier,
    certificate,
    demanding,
    facts,
    from_,
    index,
    mailbox,
    networks,
    tls,
    words,
)

BOB, EVE = "bob@fabrikam.example", "eve@tailspin.example"
ALICE = "alice@contoso.example"
SUB = "bob@eu.fabrikam.example"
FORCED = replace(DEFAULT, inbound=Inbound(tls=demanding()))
AUDITED = replace(FABRIKAM, mode="audit")
ENCRYPTED = facts(tls=tls())


def mail(seen, sender: str | None, *connectors: Connector, verifier=VERIFIER, **world) -> Decision:
    table = index(*connectors, **world)
    who = session(table, seen, verifier, NOW)
    return judge_mail(table, seen, who, mailbox(sender) if sender else None, verifier, NOW)


def header(seen, author: FromField, *connectors: Connector, sender: str | None = EVE, verifier=VERIFIER) -> Decision:
    table = index(*connectors)
    who = session(table, seen, verifier, NOW)
    begun = judge_mail(table, seen, who, mailbox(sender) if sender else None, verifier, NOW)
    assert begun.accepted
    return judge_header_from(table, seen, who, begun, author, verifier, NOW)


def clear(ip: str):
    return facts(ip)


RELAYING_PARTNER = replace(FABRIKAM, relay=True)
HEADER_ONLY = replace(FABRIKAM, inbound=replace(FABRIKAM.inbound, claims=frozenset({"header_from"})))
MAIL_ONLY = replace(FABRIKAM, inbound=replace(FABRIKAM.inbound, claims=frozenset({"mail_from"})))
EXACT_SUB = Connector("sub", domains=("eu.fabrikam.example",), inbound=Inbound(networks=networks("198.51.100.0/24")))
OUTBOUND_ONLY = replace(FABRIKAM, inbound=Inbound(), own_inbound=False)

MAILS = [
    # who, MAIL FROM, connectors beside the usual; then who decides, what the peer hears (None: accepted)
    ("a stranger's own domain", STRANGER, EVE, [], "default", None),
    ("a partner with all its proof", PARTNER, BOB, [], "fabrikam", None),
    ("a partner's subdomain", PARTNER, SUB, [], "fabrikam", None),
    ("a claim in clear", clear("203.0.113.9"), BOB, [], "fabrikam", "530 5.7.0 Must issue a STARTTLS command first"),
    ("a claim without certificate", facts("203.0.113.9", tls()), BOB, [], "fabrikam",
        "550 5.7.1 fabrikam.example requires a client certificate of that organisation"),
    ("a claim from elsewhere", facts(tls=tls(CERTIFICATE)), BOB, [], "fabrikam",
        "550 5.7.1 mail from fabrikam.example is not accepted from this address"),
    ("the claimed domain is told, not the pattern", facts(tls=tls(CERTIFICATE)), SUB, [], "fabrikam",
        "550 5.7.1 mail from eu.fabrikam.example is not accepted from this address"),
    ("exact beats *.x", STRANGER, SUB, [EXACT_SUB], "sub", None),
    ("whoever the peer has otherwise proved to be", INSIDER, BOB, [], "fabrikam",
        "530 5.7.0 Must issue a STARTTLS command first"),
    ("a claim by header From only is none here", STRANGER, BOB, [HEADER_ONLY], "default", None),
    ("the null sender claims nothing", STRANGER, None, [], "default", None),
    ("our own systems", INSIDER, EVE, [], "internal", None),
    ("default demands TLS of everyone", STRANGER, EVE, [FORCED], "default",
        "530 5.7.0 Must issue a STARTTLS command first"),
    ("default demands TLS for the null sender", STRANGER, None, [FORCED], "default",
        "530 5.7.0 Must issue a STARTTLS command first"),
    ("default's demands are not our systems'", INSIDER, EVE, [FORCED], "internal", None),
    ("default demands TLS 1.3", facts(tls=tls(version="1.2")), EVE,
        [replace(DEFAULT, inbound=Inbound(tls=demanding(min_version="1.3")))], "default",
        "550 5.7.10 a newer version of TLS is required"),
    ("our own domain from outside", STRANGER, ALICE, [], "default",
        "550 5.7.1 mail from contoso.example is accepted from its own systems only"),
    ("our own domain from our systems", INSIDER, ALICE, [], "internal", None),
    ("our own domain from a partner that proved itself", PARTNER, ALICE, [], "default",
        "550 5.7.1 mail from contoso.example is accepted from its own systems only"),
    ("our own domain from a partner that may relay", PARTNER, ALICE, [RELAYING_PARTNER], "fabrikam", None),
    ("our own domain where the governing connector allows it", STRANGER, ALICE,
        [replace(DEFAULT, inbound=Inbound(allow_own_sender=True))], "default", None),
    ("a partner without an inbound has default's", STRANGER, BOB, [OUTBOUND_ONLY], "fabrikam", None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("seen", "sender", "connectors", "connector", "reply"), [row[1:] for row in MAILS], ids=[row[0] for row in MAILS]
)
def test_mail_from(seen, sender, connectors, connector, reply):
    decision = mail(seen, sender, *connectors)
    assert (decision.connector, str(decision.reply) if decision.reply else None) == (connector, reply)
    assert decision.accepted is (reply is None)
    assert decision.would is None
    assert decision.reasons, "every decision says why"


def test_our_own_domain_may_allow_it():
    assert mail(STRANGER, ALICE, domains=(replace(CONTOSO, allow_own_sender=True),)).accepted


def test_all_that_was_missing_is_told_to_us_and_the_first_to_the_peer():
    decision = mail(facts(tls=tls(certificate(issuer="x", not_after=NOW - DAY))), BOB)
    assert words(decision.reasons) == ["certificate-expired", "certificate-untrusted", "network"]
    assert str(decision.reply) == "550 5.7.1 the client certificate presented for fabrikam.example has expired"


def test_a_proof_already_given_is_not_asked_for_again():
    verifier = IssuerVerifier()
    assert mail(PARTNER, BOB, RELAYING_PARTNER, verifier=verifier).accepted
    assert verifier.calls == 1


NARROW_AUDIT = Connector("sub", "audit", ("eu.fabrikam.example",), inbound=Inbound(networks=networks("192.0.2.0/24")))

AUDITS = [
    # who, MAIL FROM, connectors; then who decides, in which mode, the verdict, what enforcing would have decided
    ("a failed claim", STRANGER, BOB, [AUDITED], ("fabrikam", "audit", "accept"), ("fabrikam", "refuse")),
    ("a good claim", PARTNER, BOB, [AUDITED], ("fabrikam", "audit", "accept"), ("fabrikam", "accept")),
    ("default's demands hold all the same", STRANGER, BOB, [AUDITED, FORCED],
        ("default", "enforce", "refuse"), ("fabrikam", "refuse")),
    ("default's demands hold for a good claim", clear("203.0.113.9"), BOB,
        [replace(AUDITED, inbound=Inbound(networks=networks("203.0.113.0/24"))), FORCED],
        ("default", "enforce", "refuse"), ("fabrikam", "accept")),
    ("a shorter claim that enforces is not hidden", PARTNER, SUB, [NARROW_AUDIT],
        ("sub", "audit", "accept"), ("sub", "refuse")),
    ("a shorter claim that enforces refuses", STRANGER, SUB, [NARROW_AUDIT],
        ("fabrikam", "enforce", "refuse"), ("sub", "refuse")),
    ("an audited relay connector lets no own sender in", INSIDER, ALICE, [replace(INTERNAL, mode="audit")],
        ("default", "enforce", "refuse"), ("internal", "accept")),
    ("an audited relay connector is told", INSIDER, EVE, [replace(INTERNAL, mode="audit")],
        ("internal", "audit", "accept"), ("internal", "accept")),
    ("default itself", STRANGER, EVE, [replace(FORCED, mode="audit")],
        ("default", "audit", "accept"), ("default", "refuse")),
    ("default itself, satisfied", ENCRYPTED, EVE, [replace(FORCED, mode="audit")],
        ("default", "audit", "accept"), ("default", "accept")),
    ("an enforced claim from an audited network", facts("10.1.2.3"), BOB, [replace(INTERNAL, mode="audit")],
        ("fabrikam", "enforce", "refuse"), None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("seen", "sender", "connectors", "decided", "would"), [row[1:] for row in AUDITS], ids=[row[0] for row in AUDITS]
)
def test_audit_changes_nothing_and_tells_what_it_would(seen, sender, connectors, decided, would):
    decision = mail(seen, sender, *connectors)
    assert (decision.connector, decision.mode, decision.verdict) == decided
    assert (decision.would and (decision.would.connector, decision.would.verdict)) == would


ANY_FROM_BOB = from_(BOB)
TWO_AUTHORS = from_(EVE, BOB)
STRANGERS = from_(EVE, "mallory@tailspin.example")
BROKEN = from_(error="no closing >")
TLS_MISSING = "550 5.7.10 mail from fabrikam.example requires TLS"
AMBIGUOUS = "550 5.7.1 the From header field must name exactly one author"

HEADERS = [
    # who, From, connectors; then who decides, what the peer hears (None: accepted)
    ("nobody's domain", STRANGER, from_(EVE), [], "default", None),
    ("no From at all", STRANGER, from_(count=0), [], "fabrikam",
        "550 5.7.1 the From header field must name exactly one author"),
    ("no From at all, by a relay of ours", INSIDER, from_(count=0), [], "internal", None),
    ("a From that names nobody", STRANGER, from_(), [], "default", None),
    ("a spoofed author in clear", STRANGER, ANY_FROM_BOB, [], "fabrikam", TLS_MISSING),
    ("a spoofed author", ENCRYPTED, ANY_FROM_BOB, [], "fabrikam",
        "550 5.7.1 fabrikam.example requires a client certificate of that organisation"),
    ("a partner's author", PARTNER, ANY_FROM_BOB, [], "fabrikam", None),
    ("a claim by MAIL FROM only is none here", STRANGER, ANY_FROM_BOB, [MAIL_ONLY], "default", None),
    ("in a relay session From is no claim", INSIDER, ANY_FROM_BOB, [], "internal", None),
    ("in a relay session even an ambiguous one", INSIDER, BROKEN, [], "internal", None),
    ("several authors, one claimed", STRANGER, TWO_AUTHORS, [], "fabrikam", AMBIGUOUS),
    ("several authors, one claimed, though all is proven", PARTNER, TWO_AUTHORS, [], "fabrikam", AMBIGUOUS),
    ("several authors, none claimed", STRANGER, STRANGERS, [], "default", None),
    ("several From fields, one claimed", STRANGER, from_(EVE, BOB, count=2), [], "fabrikam", AMBIGUOUS),
    ("several From fields of a stranger", STRANGER, from_(EVE, EVE, count=2), [], "default", None),
    ("a syntax error may mean any claim", STRANGER, BROKEN, [], "fabrikam", AMBIGUOUS),
    ("a syntax error where nobody claims by From", STRANGER, BROKEN, [MAIL_ONLY], "default", None),
    ("a syntax error where the only partner states no inbound", STRANGER, BROKEN, [OUTBOUND_ONLY], "default", None),
    ("two authors of a partner that states no inbound", STRANGER, TWO_AUTHORS, [OUTBOUND_ONLY], "default", None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("seen", "author", "connectors", "connector", "reply"), [row[1:] for row in HEADERS], ids=[r[0] for r in HEADERS]
)
def test_header_from(seen, author, connectors, connector, reply):
    decision = header(seen, author, *connectors)
    assert (decision.connector, str(decision.reply) if decision.reply else None) == (connector, reply)
    assert decision.accepted is (reply is None)
    assert decision.would is None


def test_with_the_null_sender_only_from_counts():
    assert header(STRANGER, ANY_FROM_BOB, sender=None).connector == "fabrikam"


def test_mail_from_proven_for_one_partner_proves_nothing_for_the_author_of_another():
    other = Connector("tailspin", domains=("tailspin.example",), inbound=Inbound(networks=networks("192.0.2.0/24")))
    decision = header(PARTNER, from_(EVE), other, sender=BOB)
    assert (decision.connector, words(decision.reasons)) == ("tailspin", ["network"])


def test_the_same_claim_is_proved_once_for_both():
    verifier = IssuerVerifier()
    assert header(PARTNER, ANY_FROM_BOB, sender=BOB, verifier=verifier).accepted
    assert verifier.calls == 1


HEADER_AUDITS = [
    ("a spoofed author", STRANGER, ANY_FROM_BOB, [AUDITED], ("fabrikam", "audit", "accept"), "refuse"),
    ("a good author", PARTNER, ANY_FROM_BOB, [AUDITED], ("fabrikam", "audit", "accept"), "accept"),
    ("an ambiguous From", STRANGER, TWO_AUTHORS, [AUDITED], ("fabrikam", "audit", "accept"), "refuse"),
    ("a syntax error", STRANGER, BROKEN, [AUDITED], ("fabrikam", "audit", "accept"), "refuse"),
    ("a syntax error, an enforcing claim too", STRANGER, BROKEN, [AUDITED, EXACT_SUB], ("sub", "enforce", "refuse"),
        "refuse"),
    ("two authors, an enforcing claim too", STRANGER, from_(BOB, SUB), [AUDITED, EXACT_SUB],
        ("sub", "enforce", "refuse"), "refuse"),
    ("an audited relay connector", INSIDER, ANY_FROM_BOB, [replace(INTERNAL, mode="audit")],
        ("fabrikam", "enforce", "refuse"), "accept"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("seen", "author", "connectors", "decided", "would"),
    [row[1:] for row in HEADER_AUDITS],
    ids=[row[0] for row in HEADER_AUDITS],
)
def test_audit_of_the_header_from(seen, author, connectors, decided, would):
    decision = header(seen, author, *connectors)
    assert (decision.connector, decision.mode, decision.verdict) == decided
    assert decision.would is not None
    assert decision.would.verdict == would


# --- properties ------------------------------------------------------------------------------------------------------

SENDERS = st.sampled_from([None, BOB, EVE, ALICE, SUB])
AUTHORS = st.builds(
    from_,
    st.sampled_from([BOB, EVE, SUB]),
    count=st.integers(1, 2),
    error=st.sampled_from(["", "no closing >"]),
)


def decide(table, seen, sender: Mailbox | None, author: FromField) -> tuple[Decision, Decision]:
    who = session(table, seen, VERIFIER, NOW)
    begun = judge_mail(table, seen, who, sender, VERIFIER, NOW)
    return begun, judge_header_from(table, seen, who, begun, author, VERIFIER, NOW)


@given(INBOUNDS, SESSIONS, SENDERS, AUTHORS)
def test_an_audited_connector_never_changes_a_verdict(inbound, seen, sender, author):
    partner = replace(FABRIKAM, inbound=inbound)
    sender = mailbox(sender) if sender else None
    audited = decide(index(replace(partner, mode="audit")), seen, sender, author)
    absent = decide(index(replace(partner, domains=())), seen, sender, author)
    if session(index(replace(partner, domains=())), seen, VERIFIER, NOW).connector.name != "fabrikam":
        assert [decision.verdict for decision in audited] == [decision.verdict for decision in absent]


@given(INBOUNDS, SESSIONS, SENDERS, AUTHORS)
def test_what_audit_says_it_would_do_is_what_enforcing_does(inbound, seen, sender, author):
    partner = replace(FABRIKAM, inbound=inbound)
    sender = mailbox(sender) if sender else None
    table, enforcing = index(replace(partner, mode="audit")), index(partner)
    who = session(table, seen, VERIFIER, NOW)
    told = judge_mail(table, seen, who, sender, VERIFIER, NOW)
    done = judge_mail(enforcing, seen, session(enforcing, seen, VERIFIER, NOW), sender, VERIFIER, NOW)
    assert (told.would or told).verdict == done.verdict
    assert (told.would or told).reply == done.reply


@given(INBOUNDS, SESSIONS)
def test_a_claim_is_accepted_exactly_where_its_proof_is_complete(inbound, seen):
    partner = replace(FABRIKAM, inbound=inbound)
    table = index(partner)
    sender = mailbox(BOB)
    decision = judge_mail(table, seen, session(table, seen, VERIFIER, NOW), sender, VERIFIER, NOW)
    assert decision.accepted is (judge_proof(partner, seen, VERIFIER, NOW) == ())


@given(INBOUNDS, SESSIONS)
def test_a_reply_never_tells_what_the_contract_expects(inbound, seen):
    secret = Connector("wingtip", domains=("wingtip.example",), inbound=inbound)
    for reason in judge_proof(secret, seen, VERIFIER, NOW):
        for at_data in (False, True):
            reply = reply_for(reason, "wingtip.example", at_data=at_data)
            assert reply.permanent
            told = str(reply)
            assert all(word not in told for word in ("fabrikam", "ca.pem", "KEY-", "203.0.113", "2001:db8", "ff" * 8))
