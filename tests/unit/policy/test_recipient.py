"""RCPT TO: our own domains, relaying, and the postmaster."""

from dataclasses import replace

import pytest

from mta.contract.domains import Domain
from mta.contract.values import HostPort
from mta.model.reply import Reply
from mta.policy.identify import session
from mta.policy.recipient import judge_recipient, mailbox_exists
from tests.unit.policy.world import (
    CONTOSO,
    INSIDER,
    INTERNAL,
    NOW,
    PARTNER,
    SERVER,
    STRANGER,
    VERIFIER,
    index,
    mailbox,
    words,
)

ANY = Domain("any.example", (HostPort("mail.any.example", 25),), "default", "any")
VERIFY = Domain("verify.example", (HostPort("mail.verify.example", 25),), "default", "verify")
DOMAINS = (CONTOSO, ANY, VERIFY)
NO_SUCH, DENIED = "550 5.1.1 No such mailbox here", "550 5.7.1 Relaying denied"


def judge(seen, recipient: str, *connectors, known=None, server=SERVER, domains=DOMAINS):
    table = index(*connectors, domains=domains, server=server)
    return judge_recipient(table, session(table, seen, VERIFIER, NOW), mailbox(recipient), known)


RECIPIENTS = [
    # who, RCPT TO, what a call-out said; then what the peer hears (None: taken), and the outbound connector
    ("listed", STRANGER, "alice@contoso.example", None, None, "internal"),
    ("listed, in other letters", STRANGER, "ALICE@Contoso.Example", None, None, "internal"),
    ("not listed", STRANGER, "carol@contoso.example", None, NO_SUCH, "internal"),
    ("not listed, from our own systems", INSIDER, "carol@contoso.example", None, NO_SUCH, "internal"),
    ("any", STRANGER, "whoever@any.example", None, None, "default"),
    ("verified", STRANGER, "dave@verify.example", True, None, "default"),
    ("verified to be missing", STRANGER, "dave@verify.example", False, NO_SUCH, "default"),
    ("a subdomain of ours is not ours", STRANGER, "alice@eu.contoso.example", None, DENIED, "default"),
    ("relaying by a stranger", STRANGER, "eve@tailspin.example", None, DENIED, "default"),
    ("relaying by a partner", PARTNER, "eve@tailspin.example", None, DENIED, "default"),
    ("relaying by our own systems", INSIDER, "eve@tailspin.example", None, None, "default"),
    ("to a partner by our own systems", INSIDER, "bob@eu.fabrikam.example", None, None, "fabrikam"),
    ("nobody's name", INSIDER, "alice", None, "553 5.1.3 The recipient needs a domain", "default"),
]


@pytest.mark.parametrize(
    ("seen", "recipient", "known", "reply", "connector"), [r[1:] for r in RECIPIENTS], ids=[r[0] for r in RECIPIENTS]
)
def test_a_recipient(seen, recipient, known, reply, connector):
    judged = judge(seen, recipient, known=known)
    assert (str(judged.decision.reply) if judged.decision.reply else None) == reply
    assert judged.decision.accepted is (reply is None)
    assert judged.route.connector.name == connector
    assert judged.mailbox == mailbox(recipient)
    assert judged.needs_callout is False


def test_an_unasked_recipient_of_a_verifying_domain_needs_a_call_out():
    judged = judge(STRANGER, "dave@verify.example")
    assert judged.needs_callout
    assert judged.decision.accepted
    assert judged.own is VERIFY


POSTMASTERS = [
    ("no domain", "postmaster", "postmaster@contoso.example"),
    ("no domain, in capitals", "POSTMASTER", "postmaster@contoso.example"),
    ("our host name", "Postmaster@mx.contoso.example", "postmaster@contoso.example"),
    ("quoted", '"postmaster"@mx.contoso.example', "postmaster@contoso.example"),
    ("our domain that lists it", "postmaster@contoso.example", "postmaster@contoso.example"),
    ("our domain that takes any", "postmaster@any.example", "postmaster@any.example"),
    ("our domain that does not list it", "postmaster@short.example", "postmaster@contoso.example"),
]


@pytest.mark.parametrize(
    ("recipient", "mailbox_used"), [row[1:] for row in POSTMASTERS], ids=[row[0] for row in POSTMASTERS]
)
def test_postmaster_is_always_taken(recipient, mailbox_used):
    short = replace(CONTOSO, name="short.example", recipients=frozenset())
    judged = judge(STRANGER, recipient, domains=(*DOMAINS, short))
    assert judged.decision.accepted
    assert str(judged.mailbox) == mailbox_used


def test_postmaster_of_a_verifying_domain_that_has_none_is_the_administrator():
    judged = judge(STRANGER, "postmaster@verify.example", known=False)
    assert (judged.decision.accepted, str(judged.mailbox)) == (True, "postmaster@contoso.example")


def test_the_appointed_postmaster_is_taken_even_where_its_domain_does_not_list_it():
    unlisted = replace(CONTOSO, recipients=frozenset())
    judged = judge(STRANGER, "postmaster@contoso.example", domains=(unlisted,))
    assert judged.decision.accepted
    assert judged.own is unlisted


def test_a_postmaster_elsewhere_is_routed_like_any_outbound_address():
    server = replace(SERVER, postmaster="it@fabrikam.example")
    judged = judge(STRANGER, "postmaster", server=server)
    assert judged.decision.accepted
    assert (str(judged.mailbox), judged.route.connector.name, judged.own) == ("it@fabrikam.example", "fabrikam", None)


def test_a_foreign_postmaster_is_no_way_around_relaying():
    assert not judge(STRANGER, "postmaster@tailspin.example").decision.accepted


def test_an_audited_relay_connector_relays_nothing_and_tells_that_it_would():
    judged = judge(INSIDER, "eve@tailspin.example", replace(INTERNAL, mode="audit"))
    assert words(judged.decision.reasons) == ["relay-denied"]
    assert judged.decision.would is not None
    assert (judged.decision.would.connector, judged.decision.would.accepted) == ("internal", True)


@pytest.mark.parametrize(
    ("code", "enhanced", "exists"),
    [
        (250, "2.1.5", True),
        (251, "", True),
        (550, "5.1.1", False),
        (554, "5.1.1", False),
        (550, "5.1.10", False),
        (553, "5.1.3", False),
        (551, "5.1.6", False),
        (550, "", False),
        (551, "", False),
        (553, "", False),
        (552, "", None),
        (554, "", None),
        (530, "", None),
        (503, "5.5.1", None),
        (552, "5.2.2", None),
        (550, "5.2.1", None),
        (550, "5.7.1", None),
        (530, "5.7.0", None),
        (550, "5.0.0", None),
        (550, "5.1.5", None),  # it is valid
        (550, "5.1.7", None),  # of the sender
        (550, "5.1.8", None),
        (550, "5.4.1", None),
        (450, "4.2.0", None),
        (421, "", None),
        (450, "", None),
    ],
)
def test_only_what_speaks_of_the_mailbox_says_that_it_is_not_there(code: int, enhanced: str, exists: bool | None):
    assert mailbox_exists(Reply(code, enhanced)) is exists


ROUTED = ("eve%tailspin.example@{}", "tailspin.example!eve@{}", '"eve@tailspin.example"@{}', '"a::b"@{}')


@pytest.mark.parametrize("form", ROUTED)
@pytest.mark.parametrize("domain", ["any.example", "verify.example"])
@pytest.mark.parametrize("seen", [STRANGER, PARTNER])
def test_a_route_in_the_local_part_is_for_those_who_may_relay(form, domain, seen):
    judged = judge(seen, form.format(domain))
    assert str(judged.decision.reply) == DENIED
    assert not judged.needs_callout  # nobody behind us is asked in a stranger's name


@pytest.mark.parametrize("form", ROUTED)
def test_a_relay_may_write_to_a_route(form):
    assert judge(INSIDER, form.format("any.example")).decision.accepted
    assert judge(INSIDER, form.format("verify.example")).needs_callout


def test_a_listed_address_is_taken_whatever_it_looks_like():
    odd = mailbox("eve%tailspin.example@odd.example")
    listed = Domain("odd.example", (HostPort("mail.odd.example", 25),), "default", frozenset({odd.key}))
    assert judge(STRANGER, str(odd), domains=(*DOMAINS, listed)).decision.accepted


@pytest.mark.parametrize("recipient", ['"postmaster@x"@any.example', '"postmaster@x"@mx.contoso.example'])
def test_a_local_part_that_begins_like_the_postmaster_is_not_his(recipient):
    assert str(judge(STRANGER, recipient).decision.reply) == DENIED
