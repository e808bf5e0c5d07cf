"""What a contract makes of what is known of a path: hard, soft and off, in both directions."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.x509 import ocsp

from mta.contract.configuration import Configuration
from mta.contract.connectors import Connector
from mta.contract.inbound import Inbound, InboundTls
from mta.contract.index import ConnectorIndex
from mta.contract.outbound import Outbound, OutboundTls
from mta.model.tls import HARD, OFF, SOFT, PathVerdict, Revocation, TlsFacts, TlsLevel
from mta.policy.certificate import CertificateDemand, judge_certificate, revocation
from mta.policy.decision import Verdict
from mta.policy.deliver import judge_tls, requirement
from mta.policy.enforce import judge_mail
from mta.policy.identify import session
from mta.policy.recipient import judge_recipient
from mta.rfc.pkix.certificate import certificate_facts
from mta.rfc.pkix.crl import read_lists
from tests.support.pki import NOW, anchors, authority, crl, staple
from tests.unit.policy.test_deliver import HOST, HOSTS
from tests.unit.policy.world import CONTOSO, SERVER, demanding, facts, mailbox

ROOT = authority("Revocation Root")
MAIL_CA = ROOT.intermediate("Revocation Mail CA")
GOOD = MAIL_CA.issue(dns_names=[HOST.host])
BAD = MAIL_CA.issue(dns_names=[HOST.host])
TRUST = anchors(ROOT)
NOW_S = NOW.timestamp()
LISTS = read_lists(crl(MAIL_CA, BAD)) + read_lists(crl(ROOT))
REVOKED = ocsp.OCSPCertStatus.REVOKED


class PathOf:
    """A verifier that trusts what was shown, with the root at its end."""

    def verify(self, chain, anchors, now) -> PathVerdict:
        return PathVerdict(path=(*chain, certificate_facts(ROOT.der)))


def shown(issued, stapled: bytes = b"") -> TlsFacts:
    return TlsFacts("1.3", "TLS_AES_256_GCM_SHA384", chain=tuple(map(certificate_facts, issued.ders)), staple=stapled)


def words(mode: str, lists, issued, stapled: bytes = b"") -> list[str]:
    demand = CertificateDemand((HOST.host,), TRUST, revocation=Revocation(mode, lists))
    return [reason.word for reason in judge_certificate(demand, shown(issued, stapled), PathOf(), NOW_S)]


CASES = [
    # mode, lists, who, staple, reasons
    (OFF, LISTS, BAD, b"", []),
    (SOFT, LISTS, GOOD, b"", []),
    (SOFT, LISTS, BAD, b"", ["certificate-revoked"]),
    (SOFT, (), GOOD, b"", []),
    (SOFT, (), BAD, staple(MAIL_CA, BAD, status=REVOKED), ["certificate-revoked"]),
    (HARD, LISTS, GOOD, b"", []),
    (HARD, LISTS, BAD, b"", ["certificate-revoked"]),
    (HARD, (), GOOD, b"", ["revocation-unknown"]),
    (HARD, read_lists(crl(MAIL_CA)), GOOD, b"", ["revocation-unknown"]),  # nothing is known of the intermediate
    (HARD, read_lists(crl(ROOT)), GOOD, b"", ["revocation-unknown"]),
    (HARD, read_lists(crl(ROOT)), GOOD, staple(MAIL_CA, GOOD), []),
    (HARD, read_lists(crl(ROOT)), GOOD, staple(MAIL_CA, BAD), ["revocation-unknown"]),
    (HARD, LISTS, GOOD, staple(MAIL_CA, GOOD, status=REVOKED), ["certificate-revoked"]),  # either may say so
    (HARD, LISTS, BAD, staple(MAIL_CA, BAD), ["certificate-revoked"]),
    (HARD, LISTS, GOOD, b"nonsense", []),
]


@pytest.mark.parametrize(("mode", "lists", "who", "stapled", "expected"), CASES)
def test_what_is_demanded_decides(mode, lists, who, stapled, expected):
    assert words(mode, lists, who, stapled) == expected


def test_each_certificate_below_the_anchor_is_told_of():
    path = (*map(certificate_facts, GOOD.ders), certificate_facts(ROOT.der))
    told = [str(each) for each in revocation(Revocation(SOFT, read_lists(crl(ROOT))), path, b"", NOW_S)]
    assert [text.split(":")[0] for text in told] == ["unknown", "good"]
    assert "there is no list of CN=Revocation Mail CA" in told[0]
    assert revocation(Revocation(HARD, LISTS), path[-1:], b"", NOW_S) == ()  # an anchor answers for itself


def test_a_path_that_nobody_shows_is_not_known_to_be_good():
    class Silent:
        def verify(self, chain, anchors, now) -> PathVerdict:
            return PathVerdict()

    demand = CertificateDemand((HOST.host,), TRUST, revocation=Revocation(HARD, LISTS))
    [reason] = judge_certificate(demand, shown(GOOD), Silent(), NOW_S)
    assert reason.word == "revocation-unknown"


@pytest.mark.parametrize(
    ("wanted", "who", "reason", "evidence"),
    [
        (Revocation(HARD, LISTS), GOOD, "", "good: list; good: list"),
        (Revocation(HARD, LISTS), BAD, "certificate-revoked", "revoked: CN="),
        (Revocation(HARD), GOOD, "revocation-unknown", "unknown: the peer stapled no OCSP response"),
        (Revocation(SOFT, LISTS[1:]), GOOD, "", "unknown: there is no list of CN=Revocation Mail CA"),
        (Revocation(SOFT), GOOD, "", ""),
    ],
)
def test_mail_that_goes_out_waits_and_the_attempt_says_what_is_known(wanted, who, reason, evidence):
    outbound = Outbound(tls=OutboundTls(TlsLevel.VERIFIED, (HOST.host,), TRUST, revocation=wanted))
    judgement = judge_tls(requirement(outbound, HOSTS, HOST), shown(who), PathOf(), NOW_S)
    assert judgement.revocation.startswith(evidence)
    assert bool(judgement.revocation) is bool(evidence)
    if reason:
        assert judgement.failure.reason.startswith(reason)
        assert (judgement.failure.permanent, judgement.failure.reply.status) == (False, "4.7.5")
    else:
        assert judgement.failure is None


FABRIKAM = Connector("fabrikam", domains=("fabrikam.example",))
SENDER = mailbox("bob@fabrikam.example")


def inbound(lists, **more) -> Inbound:
    return Inbound(tls=demanding(names=(HOST.host,), ca=TRUST, revocation=Revocation(HARD, lists)), **more)


@pytest.mark.parametrize(
    ("lists", "who", "verdict", "reply"),
    [
        (LISTS, GOOD, Verdict.ACCEPT, ""),
        (LISTS, BAD, Verdict.REFUSE, "550 5.7.1"),
        (read_lists(crl(ROOT)), GOOD, Verdict.DEFER, "451 4.7.1"),
    ],
)
def test_a_partner_hears_at_mail_from_what_is_wrong(lists, who, verdict, reply):
    partner = replace(FABRIKAM, inbound=inbound(lists))
    index = ConnectorIndex(Configuration(SERVER, {}, {c.name: c for c in (partner, Connector("default"))}))
    seen = facts(tls=shown(who))
    decision = judge_mail(index, seen, session(index, seen, PathOf(), NOW_S), SENDER, PathOf(), NOW_S)
    assert decision.verdict == verdict
    assert str(decision.reply or "").startswith(reply)


def test_what_else_is_wrong_for_good_is_told_before_what_is_not_known():
    partner = replace(FABRIKAM, inbound=inbound(read_lists(crl(ROOT)), networks=()))
    wrong = replace(partner.inbound.tls.client_certificate, names=("other.example",))
    partner = replace(partner, inbound=replace(partner.inbound, tls=InboundTls(True, "1.2", wrong)))
    index = ConnectorIndex(Configuration(SERVER, {}, {c.name: c for c in (partner, Connector("default"))}))
    seen = facts(tls=shown(GOOD))
    decision = judge_mail(index, seen, session(index, seen, PathOf(), NOW_S), SENDER, PathOf(), NOW_S)
    assert [reason.word for reason in decision.reasons] == ["certificate-name", "revocation-unknown"]
    assert (decision.verdict, decision.reply.code) == (Verdict.REFUSE, 550)


@pytest.mark.parametrize(("lists", "code"), [(LISTS, 0), (read_lists(crl(ROOT)), 451)])
def test_a_relay_whose_list_is_out_of_date_is_asked_to_come_back(lists, code):
    """Not 550: its mail would be lost, and tomorrow it may relay again."""
    relay = Connector("branch", relay=True, inbound=inbound(lists))
    index = ConnectorIndex(
        Configuration(SERVER, {"contoso.example": CONTOSO}, {c.name: c for c in (relay, Connector("default"))})
    )
    seen = facts(tls=shown(GOOD))
    identity = session(index, seen, PathOf(), NOW_S)
    asked = judge_recipient(index, identity, mailbox("x@elsewhere.example"), None).decision
    own = judge_mail(index, seen, identity, mailbox("alice@contoso.example"), PathOf(), NOW_S)
    for decision in (asked, own):
        assert (decision.reply.code if decision.reply else 0) == code
    assert not judge_recipient(
        index, session(index, facts(), PathOf(), NOW_S), mailbox("x@e.example"), None
    ).decision.accepted
