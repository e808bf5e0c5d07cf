"""explain tells what the live decisions decide, and nothing of its own."""

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from mta.contract.authentication import Authentication
from mta.contract.connectors import Connector
from mta.contract.inbound import Inbound
from mta.contract.outbound import Outbound, OutboundTls
from mta.contract.values import HostPort
from mta.model.tls import TlsLevel
from mta.policy.enforce import judge_header_from, judge_mail
from mta.policy.explain import Question, Seen, accepted, explain, whose
from mta.policy.identify import session
from mta.policy.recipient import judge_recipient
from tests.unit.policy.authentication_world import found, signature
from tests.unit.policy.test_enforce import AUTHORS, SENDERS
from tests.unit.policy.test_identify import INBOUNDS, SESSIONS
from tests.unit.policy.world import (
    CONTOSO,
    DEFAULT,
    FABRIKAM,
    FABRIKAM_CA,
    GOOD_PIN,
    INSIDER,
    INTERNAL,
    NOW,
    PARTNER,
    STRANGER,
    VERIFIER,
    demanding,
    from_,
    index,
    mailbox,
    networks,
)

ALICE, BOB, EVE = "alice@contoso.example", "bob@fabrikam.example", "eve@tailspin.example"
SCANNER = Connector("scanner", inbound=Inbound(tls=demanding(pins=(GOOD_PIN,))))
AUDITED = replace(FABRIKAM, mode="audit", outbound=Outbound(tls=OutboundTls(TlsLevel.VERIFIED)))


def ask(seen, sender, *connectors, to=(ALICE,), author=None, domains=(CONTOSO,)):
    question = Question(seen, mailbox(sender) if sender else None, tuple(mailbox(each) for each in to), author)
    document = explain(index(*connectors, domains=domains), question, VERIFIER, NOW)
    assert json.loads(json.dumps(document)) == document, "JSON types only"
    return document


def losers(part) -> dict[str, str]:
    return {loser["connector"]: loser["reason"] for loser in part["losers"]}


def test_the_document_has_the_keys_of_the_contract():
    document = ask(PARTNER, BOB)
    assert set(document) == {"inbound", "recipients"}
    told = {"connector", "mode", "decision", "would", "reply", "reasons", "authentication", "losers"}
    assert set(document["inbound"]) == told
    expected = {"address", "connector", "route", "tls", "losers", "decision", "reply", "reasons", "would", "mode"}
    assert set(document["recipients"][0]) == expected
    assert {"level", "names"} <= set(document["recipients"][0]["tls"])


def test_a_partner_that_proved_itself():
    document = ask(PARTNER, BOB)
    inbound, (alice,) = document["inbound"], document["recipients"]
    assert (inbound["connector"], inbound["mode"], inbound["decision"]) == ("fabrikam", "enforce", "accept")
    assert (inbound["would"], inbound["reply"]) == (None, None)
    assert inbound["reasons"] == ["claim: MAIL FROM fabrikam.example is claimed by fabrikam, which it satisfies"]
    assert alice["route"] == {"hosts": ["mail.contoso.example:25"]}
    assert (alice["connector"], alice["decision"], alice["tls"]["level"]) == ("internal", "accept", "encrypted")
    assert accepted(document)


def test_every_other_connector_is_a_loser_with_its_first_failing_condition():
    document = ask(PARTNER, BOB, SCANNER, Connector("sub", domains=("eu.fabrikam.example",)))
    reasons = losers(document["inbound"])
    assert set(reasons) == {"internal", "scanner", "sub", "default"}
    assert reasons["internal"] == "network: 203.0.113.9 is in none of 10.0.0.0/8, ::1/128"
    assert "proved, but another connector governs" in reasons["scanner"]
    assert "domains are not the sender's" in reasons["sub"]


def test_a_refusal_names_everything_that_was_missing():
    document = ask(STRANGER, BOB)
    inbound = document["inbound"]
    assert (inbound["decision"], inbound["reply"]) == ("refuse", "530 5.7.0 Must issue a STARTTLS command first")
    assert [reason.split(":")[0] for reason in inbound["reasons"]] == ["no-tls", "no-certificate", "network"]
    assert not accepted(document)


def test_a_header_from_that_is_refused_decides():
    document = ask(STRANGER, EVE, author=from_(BOB))
    inbound = document["inbound"]
    assert (inbound["connector"], inbound["decision"]) == ("fabrikam", "refuse")
    assert inbound["reply"] == "550 5.7.10 mail from fabrikam.example requires TLS"
    assert inbound["reasons"][0].startswith("no-tls")


def test_an_audit_tells_what_it_would_have_done_and_why():
    document = ask(STRANGER, BOB, AUDITED)
    inbound = document["inbound"]
    assert (inbound["connector"], inbound["mode"]) == ("fabrikam", "audit")
    assert (inbound["decision"], inbound["would"], inbound["reply"]) == ("accept", "refuse", None)
    assert any(reason.startswith("no-certificate") for reason in inbound["reasons"])
    assert accepted(document)


def test_an_audited_header_from_is_not_hidden_by_a_good_mail_from():
    document = ask(STRANGER, EVE, AUDITED, author=from_(BOB))
    assert (document["inbound"]["connector"], document["inbound"]["would"]) == ("fabrikam", "refuse")


def test_of_two_audits_the_one_that_would_refuse_is_told():
    tailspin = Connector("tailspin", "audit", ("tailspin.example",), inbound=Inbound(tls=demanding(min_version="1.4")))
    document = ask(PARTNER, BOB, AUDITED, tailspin, author=from_(EVE))
    assert (document["inbound"]["connector"], document["inbound"]["would"]) == ("tailspin", "refuse")


def test_outbound_levels_names_and_routes():
    partner = replace(FABRIKAM, outbound=Outbound(tls=OutboundTls(TlsLevel.VERIFIED, ca=FABRIKAM_CA)))
    document = ask(INSIDER, ALICE, partner, to=(BOB, EVE))
    bob, eve = document["recipients"]
    assert (bob["connector"], bob["route"]) == ("fabrikam", "mx")
    assert bob["tls"]["level"] == "verified"
    assert bob["tls"]["names"] == ["fabrikam.example", ".fabrikam.example"]
    assert bob["tls"]["ca"] == "fabrikam-ca.pem"
    assert (eve["connector"], eve["tls"]["level"], eve["tls"]["names"]) == ("default", "encrypted", [])
    assert losers(eve)["fabrikam"] == "its domains are not the recipient's"
    assert losers(bob)["internal"] == "it claims no domains"


def test_every_configured_host_is_expected_by_its_name():
    hosts = (HostPort("a.fabrikam.example", 25), HostPort("b.fabrikam.example", 2525))
    partner = replace(FABRIKAM, outbound=Outbound(hosts, OutboundTls(TlsLevel.VERIFIED)))
    (bob,) = ask(INSIDER, ALICE, partner, to=(BOB,))["recipients"]
    assert bob["route"] == {"hosts": ["a.fabrikam.example:25", "b.fabrikam.example:2525"]}
    assert bob["tls"]["names"] == ["a.fabrikam.example", "b.fabrikam.example"]


def test_an_audited_outbound_shows_both():
    (bob,) = ask(INSIDER, ALICE, AUDITED, to=(BOB,))["recipients"]
    assert (bob["mode"], bob["tls"]["level"], bob["tls"]["would"]["level"]) == ("audit", "encrypted", "verified")


def test_one_refused_recipient_is_a_no_but_shows_its_route():
    document = ask(STRANGER, EVE, to=(ALICE, BOB))
    alice, bob = document["recipients"]
    assert (alice["decision"], bob["decision"]) == ("accept", "refuse")
    assert (bob["reply"], bob["connector"]) == ("550 5.7.1 Relaying denied", "fabrikam")
    assert not accepted(document)


def test_an_audited_relay_connector_shows_what_it_would_permit():
    (bob,) = ask(INSIDER, EVE, replace(INTERNAL, mode="audit"), to=(BOB,))["recipients"]
    assert (bob["decision"], bob["would"]) == ("refuse", "accept")


def test_a_verifying_domain_says_that_it_would_be_asked():
    (alice,) = ask(STRANGER, EVE, domains=(replace(CONTOSO, recipients="verify"),))["recipients"]
    assert alice["decision"] == "accept"
    assert alice["reasons"][-1].startswith("callout")


def test_postmaster_shows_whose_mailbox_it_is():
    (found,) = ask(STRANGER, EVE, to=("postmaster",))["recipients"]
    assert (found["address"], found["mailbox"]) == ("postmaster", "postmaster@contoso.example")


RECIPIENTS = st.sampled_from([ALICE, BOB, EVE, "nobody@contoso.example", "postmaster"])


@given(INBOUNDS, SESSIONS, SENDERS, AUTHORS, RECIPIENTS, st.sampled_from(["enforce", "audit"]))
def test_explain_decides_as_live_mail_is_decided(inbound, seen, sender, author, to, mode):
    partner = replace(FABRIKAM, inbound=inbound, mode=mode)
    document = ask(seen, sender, partner, replace(DEFAULT, inbound=Inbound(tls=demanding())), to=(to,), author=author)
    table = index(partner, replace(DEFAULT, inbound=Inbound(tls=demanding())))
    who = session(table, seen, VERIFIER, NOW)
    begun = judge_mail(table, seen, who, mailbox(sender) if sender else None, VERIFIER, NOW)
    ended = judge_header_from(table, seen, who, begun, author, VERIFIER, NOW)
    assert (document["inbound"]["decision"] == "accept") is (begun.accepted and ended.accepted)
    would = all((decision.would or decision).accepted for decision in (begun, ended))
    if document["inbound"]["would"]:
        assert (document["inbound"]["would"] == "accept") is would
    judged = judge_recipient(table, who, mailbox(to), None)
    assert document["recipients"][0]["decision"] == judged.decision.verdict
    assert document["recipients"][0]["connector"] == judged.route.connector.name


@given(INBOUNDS, SESSIONS, SENDERS)
def test_no_connector_is_both_chosen_and_a_loser_and_none_is_forgotten(inbound, seen, sender):
    partner = replace(FABRIKAM, inbound=inbound)
    outsider = Connector("outsider", inbound=Inbound(networks=networks("192.0.2.0/24")))
    document = ask(seen, sender, partner, outsider)
    for part in (document["inbound"], *document["recipients"]):
        assert sorted([part["connector"], *losers(part)]) == ["default", "fabrikam", "internal", "outsider"]


# --- who really sent it -------------------------------------------------------------------------------------------

SIGNING = replace(
    FABRIKAM,
    inbound=Inbound(
        identity="none", authentication=Authentication(True, dkim="aligned", on_failure="refuse"), header_from="dkim"
    ),
)
HELD = replace(
    SIGNING, inbound=replace(SIGNING.inbound, authentication=Authentication(True, "aligned", on_failure="quarantine"))
)


def asked(connector, facts, author=BOB):
    question = Question(STRANGER, mailbox(BOB), (mailbox(ALICE),), from_(author))
    known = index(connector)
    connectors = whose(known, question, VERIFIER, NOW)
    seen = tuple(Seen(one, facts, b"Authentication-Results: x;\r\n\tspf=none\r\n") for one in connectors)
    document = explain(known, replace(question, seen=seen), VERIFIER, NOW)
    assert json.loads(json.dumps(document)) == document, "JSON types only"
    return document


def test_the_demands_on_authentication_decide_as_they_do_live():
    document = asked(SIGNING, found())
    assert document["inbound"]["decision"] == "refuse"
    assert document["inbound"]["reply"].startswith("550 5.7.20")
    assert any(reason.startswith("dkim: ") for reason in document["inbound"]["reasons"])
    told = document["inbound"]["authentication"]
    assert (told["dkim"], told["arc"]["result"]) == ([], "none")
    assert told["authentication_results"] == "Authentication-Results: x;\r\n\tspf=none"
    assert not accepted(document)
    good = asked(SIGNING, found(signature()))
    assert accepted(good)
    assert good["inbound"]["authentication"]["dkim"][0]["result"] == "pass"


def test_what_is_held_was_taken():
    document = asked(HELD, found())
    assert document["inbound"]["decision"] == "hold"
    assert accepted(document)


def test_the_authors_signature_may_stand_in_here_too():
    contract = replace(SIGNING, inbound=replace(FABRIKAM.inbound, header_from="dkim"))
    question = Question(STRANGER, mailbox(EVE), (mailbox(ALICE),), from_(BOB))
    known = index(contract)
    for facts, decision in ((found(), "refuse"), (found(signature()), "accept")):
        seen = tuple(Seen(one, facts) for one in whose(known, question, VERIFIER, NOW))
        assert len(seen) == 1
        assert explain(known, replace(question, seen=seen), VERIFIER, NOW)["inbound"]["decision"] == decision


def test_nobody_wants_to_know_without_a_message_or_a_demand():
    question = Question(STRANGER, mailbox(BOB), (mailbox(ALICE),))
    assert whose(index(SIGNING), question, VERIFIER, NOW) == ()
    assert whose(index(), replace(question, from_field=from_(EVE)), VERIFIER, NOW) == ()
    assert ask(PARTNER, BOB)["inbound"]["authentication"] is None
