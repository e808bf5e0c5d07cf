"""Facts about who sent a message, made by hand, and a contract that demands something of them."""

from __future__ import annotations

from mta.contract.authentication import Authentication
from mta.contract.connectors import Connector
from mta.contract.inbound import Inbound
from mta.model.auth import ArcOutcome, AuthenticationFacts, AuthResult, DkimOutcome, DmarcOutcome, SpfOutcome
from mta.model.word import Word
from mta.policy.decision import Decision, Reason, Verdict
from tests.unit.policy.world import from_

R = AuthResult
BOB = from_("bob@fabrikam.example")
ACCEPTED = Decision(Verdict.ACCEPT, "fabrikam", reasons=(Reason(Word.CLAIM, "is satisfied"),))


def partner(mode: str = "enforce", header_from: str = "contract", **demands: object) -> Connector:
    authentication = Authentication(checked=True, **{"on_failure": "refuse", **demands})  # type: ignore[arg-type]
    inbound = Inbound(authentication=authentication, header_from=header_from)
    return Connector("fabrikam", mode, ("fabrikam.example", "*.fabrikam.example"), inbound=inbound)


def signature(result: AuthResult = R.PASS, domain: str = "fabrikam.example", bits: int = 2048) -> DkimOutcome:
    return DkimOutcome(result, domain, "s1", "rsa-sha256" if bits else "ed25519-sha256", key_bits=bits)


def found(
    *dkim: DkimOutcome, spf: AuthResult = R.NONE, dmarc: tuple[AuthResult, str] | None = None
) -> AuthenticationFacts:
    outcome = DmarcOutcome(dmarc[0], dmarc[1], "fabrikam.example", "fabrikam.example") if dmarc else None
    mail_from = SpfOutcome(spf, "fabrikam.example", "-all")
    return AuthenticationFacts(SpfOutcome(R.NONE), mail_from, dkim, outcome, ArcOutcome(R.NONE))


OTHERS = signature(domain="stranger.example")
