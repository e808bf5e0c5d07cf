"""What a report says of a session, case by case."""

from __future__ import annotations

import pytest

from mta.model.attempt import Failure, HostAttempt, Scope
from mta.model.auth import AuthenticationFacts, AuthResult, DmarcOutcome, SpfOutcome
from mta.model.reply import Reply
from mta.model.reporting import NOTHING_PUBLISHED, PublishedTls, TlsReportFacts
from mta.model.tls import TlsFacts, TlsLevel
from mta.model.word import Word
from mta.policy.decision import Decision, Reason, Verdict
from mta.policy.deliver import TlsRequirement
from mta.policy.report import dmarc_row, tls_session
from mta.policy.route import Destination
from mta.rfc.dmarc.report import ReportRow

MX = Destination("mx", "b.example", ())
STS = PublishedTls("sts", ("version: STSv1", "mode: enforce"), ("*.b.example",))
TLS = TlsFacts("1.3", "TLS_AES_128_GCM_SHA256")


def failed(reason: str) -> Failure | None:
    word, _, story = reason.partition(": ")
    return Failure(Scope.HOST, Word(word), story, Reply(450), permanent=False) if reason else None


def attempt(reason: str = "", tls: TlsFacts | None = None, given_up: str = "") -> HostAttempt:
    return HostAttempt(
        *("mx.b.example", 25, "192.0.2.1"),
        tls=tls,
        failure=failed(reason),
        local_address="192.0.2.9",
        tls_given_up=failed(given_up),
    )


def told(one: HostAttempt, published: PublishedTls = NOTHING_PUBLISHED) -> TlsReportFacts | None:
    return tls_session(MX, TlsRequirement(TlsLevel.OPPORTUNISTIC, published=published), one)


def test_a_session_with_tls_is_a_success() -> None:
    assert told(attempt(tls=TLS), STS) == TlsReportFacts(
        "sts", "b.example", STS.strings, STS.mx_hosts, "", "mx.b.example", "192.0.2.1", "192.0.2.9", ""
    )


@pytest.mark.parametrize(
    ("one", "published", "result", "reason"),
    [
        (attempt("starttls-not-offered: x"), NOTHING_PUBLISHED, "starttls-not-supported", "starttls-not-offered"),
        (attempt("starttls-refused: x"), NOTHING_PUBLISHED, "starttls-not-supported", "starttls-refused"),
        (attempt("tls-failed: x"), NOTHING_PUBLISHED, "validation-failure", "tls-failed"),
        (attempt(), NOTHING_PUBLISHED, "starttls-not-supported", "delivered-in-clear"),
        (attempt(given_up="tls-failed: x"), NOTHING_PUBLISHED, "validation-failure", "tls-failed"),
        (attempt("certificate-name: x", TLS), STS, "certificate-host-mismatch", "certificate-name"),
        (attempt("certificate-expired: x", TLS), STS, "certificate-expired", "certificate-expired"),
        (attempt("certificate-untrusted: x", TLS), STS, "certificate-not-trusted", "certificate-untrusted"),
        (attempt("tls-version: x", TLS), STS, "validation-failure", "tls-version"),
    ],
)
def test_a_failure_has_its_result_type(one: HostAttempt, published: PublishedTls, result: str, reason: str) -> None:
    facts = told(one, published)
    assert facts is not None
    assert (facts.result_type, facts.failure_reason, facts.failed) == (result, reason, True)


def test_what_our_contract_alone_demands_is_no_failure_of_theirs() -> None:
    facts = told(attempt("certificate-name: x", TLS))
    assert facts is not None
    assert not facts.failed


def test_a_contract_beside_dane_is_not_the_domains_affair() -> None:
    tlsa = PublishedTls("tlsa", ("3 1 1 AB",), ("mx.b.example",))
    contract = TlsRequirement(TlsLevel.VERIFIED, names=("mail.b.example",), published=tlsa)
    results = []
    for reason in ("certificate-name: x", "certificate-tlsa: x"):
        facts = tls_session(MX, contract, attempt(reason, TLS))
        assert facts is not None
        results.append(facts.result_type)
    assert results == ["", "validation-failure"]


@pytest.mark.parametrize("reason", ["connect: refused", "conversation: closed", "greeting: 554"])
def test_a_host_that_could_not_be_asked_says_nothing_of_tls(reason: str) -> None:
    assert told(attempt(reason)) is None


def test_hosts_of_our_own_choice_are_not_reported_on() -> None:
    requirement = TlsRequirement(TlsLevel.ENCRYPTED)
    assert tls_session(Destination("hosts", "b.example", ()), requirement, attempt(tls=TLS)) is None


# --- DMARC

RECORD = "v=DMARC1; p=reject; rua=mailto:d@b.example"


NO_SPF = SpfOutcome(AuthResult.NONE)


def judged(result: AuthResult, record: str = RECORD, policy: str = "reject", source: str = "192.0.2.1"):
    dmarc = DmarcOutcome(result, policy, "b.example", "b.example", record=record)
    return AuthenticationFacts(NO_SPF, NO_SPF, (), dmarc, source=source)


def row(facts: AuthenticationFacts, verdict: str, *reasons: str) -> ReportRow | None:
    decision = Decision(verdict, "default", reasons=tuple(Reason(Word(word), "") for word in reasons))
    return dmarc_row(facts, decision, "contoso.example")


FAIL, PASS = AuthResult.FAIL, AuthResult.PASS
ACCEPT, REFUSE, HOLD, DEFER = Verdict.ACCEPT, Verdict.REFUSE, Verdict.HOLD, Verdict.DEFER
TEST_MODE = RECORD + "; t=y"


@pytest.mark.parametrize(
    ("facts", "verdict", "reasons", "disposition", "override"),
    [
        (judged(PASS), ACCEPT, (), "pass", ""),
        (judged(PASS), REFUSE, (), "pass", ""),  # for another reason: DMARC has passed
        (judged(PASS, policy="none"), ACCEPT, (), "none", ""),
        (judged(FAIL), REFUSE, (), "reject", ""),
        (judged(FAIL), HOLD, (), "quarantine", "local_policy"),
        (judged(FAIL), ACCEPT, (), "none", "local_policy"),
        (judged(FAIL), ACCEPT, ("arc",), "none", "trusted_forwarder"),
        (judged(FAIL, policy="none"), ACCEPT, (), "none", ""),
        (judged(FAIL, policy="none"), REFUSE, ("dkim",), "reject", "local_policy"),
        (judged(FAIL, TEST_MODE, "quarantine"), HOLD, (), "quarantine", "policy_test_mode"),
    ],
)
def test_a_judged_message_has_its_row(
    facts: AuthenticationFacts, verdict: str, reasons: tuple[str, ...], disposition: str, override: str
) -> None:
    found = row(facts, verdict, *reasons)
    assert found is not None
    assert (found.disposition, found.override[0]) == (disposition, override)
    assert (found.source, found.envelope_to, found.header_from) == ("192.0.2.1", "contoso.example", "b.example")


@pytest.mark.parametrize(
    ("facts", "verdict"),
    [
        (judged(FAIL), DEFER),  # it comes again
        (judged(AuthResult.TEMPERROR), ACCEPT),
        (judged(AuthResult.NONE), ACCEPT),
        (judged(FAIL, "v=DMARC1; p=reject"), REFUSE),  # nobody asks
        (judged(FAIL, ""), REFUSE),
        (judged(FAIL, source=""), REFUSE),
    ],
)
def test_what_is_not_told(facts: AuthenticationFacts, verdict: str) -> None:
    assert row(facts, verdict) is None
