"""Which certificate a recipient's mail is encrypted to: whether each fits, and which of those that fit is the best.

Every misfit is its own `Reason`. The words are stable: `unreadable`, `authority`, `wrong-address`, `expired`,
`not-yet-valid`, `key-usage`, `wrong-purpose`, `key-kind`, `weak-key`, `not-approved`, `untrusted`, `revoked`,
`revocation-unknown`, `revocation-unreachable`. All but the last stand until something changes; the last one may heal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from mta.model.address import Mailbox
from mta.model.directory import Association, Candidate, DirectoryAnswer, TrustRung
from mta.model.tls import CertificateFacts, PathFault, PathVerdict
from mta.model.word import Word
from mta.policy.decision import Reason
from mta.rfc.pkix.certificate import certificate_facts
from mta.rfc.pkix.person import ANY_USAGE, DOMAIN_AUTHORITY, EMAIL_PROTECTION, PSS_ALONE, PersonFacts, person_facts
from mta.rfc.smimea.association import vouches
from mta.rfc.smtp.address import AddressError, parse_mailbox

_MOST_RSA_BITS = 16_384  # beyond it one message costs more than it is worth
_CURVES = {
    *("secp256r1", "secp384r1", "secp521r1"),
    *("brainpoolP256r1", "brainpoolP384r1", "brainpoolP512r1"),
}
_AGREEING = {"x25519", "x448"}
_ENCAPSULATING = {"mlkem768", "mlkem1024", "mlkem512"}
_FAULT_WORDS = {
    PathFault.EXPIRED: Word.EXPIRED,
    PathFault.NOT_YET_VALID: Word.NOT_YET_VALID,
    PathFault.REVOKED: Word.REVOKED,
    PathFault.UNCHECKED: Word.REVOCATION_UNKNOWN,
    PathFault.UNREACHABLE: Word.REVOCATION_UNREACHABLE,
    PathFault.USAGE: Word.WRONG_PURPOSE,
}
TEMPORARY_WORD = Word.REVOCATION_UNREACHABLE
MOST_KNOWN = 50  # certificates of one mailbox among which a signer's is looked for


@dataclass(frozen=True, slots=True)
class Demands:
    """What the contract asks of every certificate that is encrypted to."""

    min_rsa_bits: int = 2048
    require_usage: bool = False


@dataclass(frozen=True, slots=True)
class Judged:
    """A candidate of source number `order` with the rung it reached, or the reasons why it cannot be used."""

    candidate: Candidate
    order: int
    rung: TrustRung | None = None
    reasons: tuple[Reason, ...] = ()
    begins: float = 0.0

    @property
    def fits(self) -> bool:
        """Whether mail may be encrypted to it."""
        return self.rung is not None and not self.reasons

    @property
    def unknown(self) -> bool:
        """Whether it might fit once somebody answers."""
        return bool(self.reasons) and all(reason.word is TEMPORARY_WORD for reason in self.reasons)

    @property
    def key(self) -> tuple[int, int, bool, float]:
        """Orders candidates, the best one first: rung, source, own before the domain's, the newest."""
        return (-(self.rung or 0), self.order, self.candidate.is_for_domain, -self.begins)


# --- fitness --------------------------------------------------------------------------------------------------------


def misfits(candidate: Candidate, mailbox: Mailbox, demands: Demands, now: float) -> tuple[Reason, ...]:
    """Every reason in the certificate itself why it cannot be used for `mailbox` at epoch second `now`."""
    try:
        facts, person = certificate_facts(candidate.der), person_facts(candidate.der)
    except ValueError as error:
        return (Reason(Word.UNREADABLE, str(error)),)
    return (
        *_standing(candidate, person),
        *_address(candidate, mailbox, person),
        *_dates(facts, now),
        *_key(facts, person, demands),
        *_usage(facts, person, demands),
    )


def _standing(candidate: Candidate, person: PersonFacts) -> Iterator[Reason]:
    if person.is_authority:
        yield Reason(Word.AUTHORITY, "it is the certificate of a CA, not of a person")
    if candidate.pending:
        yield Reason(Word.NOT_APPROVED, "nobody has approved it yet: mta directory approve")


def _address(candidate: Candidate, mailbox: Mailbox, person: PersonFacts) -> Iterator[Reason]:
    if candidate.stated:
        return
    named = {address for address in map(address_key, person.emails) if address}
    if candidate.is_for_domain:
        wanted = {f"{DOMAIN_AUTHORITY}@{mailbox.ascii_domain}"}  # RFC 3183 §4
        if mailbox.ascii_domain in person.dns_names:
            return
    else:
        wanted = {mailbox.key, *filter(None, map(address_key, candidate.aliases))}
    if named.isdisjoint(wanted):
        names = ", ".join((*person.emails, *person.dns_names)[:5]) or "nobody"
        yield Reason(Word.WRONG_ADDRESS, f"it names {names}, not {' or '.join(sorted(wanted)[:5])}")


def address_key(text: str) -> str:
    """What two spellings of an address in a certificate share (model/address.py); empty for what is no address.

    RFC 9598 §5: a domain in U-labels is the same as in A-labels. RFC 5280 §4.2.1.6 has local parts differ by case;
    no mail system does, and people write them as they like.
    """
    try:
        return parse_mailbox(text).key
    except AddressError:
        return ""


def _dates(facts: CertificateFacts, now: float) -> Iterator[Reason]:
    if now > facts.not_after:
        yield Reason(Word.EXPIRED, f"it expired on {_day(facts.not_after)}")
    if now < facts.not_before:
        yield Reason(Word.NOT_YET_VALID, f"it is not valid before {_day(facts.not_before)}")


def _key(facts: CertificateFacts, person: PersonFacts, demands: Demands) -> Iterator[Reason]:
    kind, _, rest = facts.key.partition("-")
    if person.key_algorithm == PSS_ALONE:
        yield Reason(Word.KEY_KIND, "its key is for RSA-PSS signatures alone")
    elif kind == "rsa" and rest.isdigit():
        if int(rest) < demands.min_rsa_bits:
            yield Reason(Word.WEAK_KEY, f"its RSA key has {rest} bits, {demands.min_rsa_bits} are asked for")
        if int(rest) > _MOST_RSA_BITS:
            yield Reason(Word.WEAK_KEY, f"its RSA key has {rest} bits, which is out of bounds")
    elif not ((kind == "ec" and rest in _CURVES) or kind in _AGREEING or kind in _ENCAPSULATING):
        yield Reason(Word.KEY_KIND, f"nothing can be encrypted to a key of kind {facts.key}")


def _usage(facts: CertificateFacts, person: PersonFacts, demands: Demands) -> Iterator[Reason]:
    kind = facts.key.partition("-")[0]
    needed = "keyAgreement" if kind == "ec" or kind in _AGREEING else "keyEncipherment"  # RFC 8550 §4.4.2
    if person.key_usage is not None and needed not in person.key_usage:
        stated = ", ".join(sorted(person.key_usage)) or "nothing"
        yield Reason(Word.KEY_USAGE, f"encrypting to it needs {needed}, its key usage states {stated}")
    if person.purposes is None:
        if demands.require_usage:
            yield Reason(Word.WRONG_PURPOSE, "it states no extended key usage, and emailProtection is asked for")
    elif not {EMAIL_PROTECTION, ANY_USAGE} & set(person.purposes):  # RFC 8550 §4.4.4
        yield Reason(Word.WRONG_PURPOSE, f"its extended key usage is {', '.join(person.purposes) or 'unreadable'}")


def _day(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d")


# --- trust ----------------------------------------------------------------------------------------------------------


def trusted(
    candidate: Candidate, verdict: PathVerdict, associations: Iterable[Association], now: float
) -> tuple[TrustRung | None, tuple[Reason, ...]]:
    """The rung that a fitting candidate reached, or why nobody vouches for it.

    What is revoked, or must be known not to be, is used on no rung. One of an administrator, or of secure DNS, needs
    no path to an anchor. What was harvested needs one and stays on its rung: it came with mail, whoever issued it.
    """
    if verdict.fault in (PathFault.REVOKED, PathFault.UNCHECKED, PathFault.UNREACHABLE):
        return None, (Reason(_FAULT_WORDS[verdict.fault], verdict.detail or "its issuer has revoked it"),)
    if candidate.rung is TrustRung.MANUAL:
        return TrustRung.MANUAL, ()
    if verdict.trusted:
        return (TrustRung.HARVESTED if candidate.rung is TrustRung.HARVESTED else TrustRung.ANCHORED), ()
    by_dns = candidate.rung is TrustRung.SECURE_DNS or any(
        vouches(association, candidate.der, candidate.chain, now) for association in associations
    )
    if by_dns and verdict.fault in (PathFault.UNTRUSTED, PathFault.INVALID):
        return TrustRung.SECURE_DNS, ()
    return None, (Reason(_FAULT_WORDS.get(verdict.fault, Word.UNTRUSTED), verdict.detail or "it leads to no anchor"),)


# --- the choice -----------------------------------------------------------------------------------------------------


def best(judged: Iterable[Judged]) -> Judged | None:
    """The certificate to use: rung, then source, then the address' own before its domain's, then the newest."""
    fitting = [candidate for candidate in judged if candidate.fits]
    return min(fitting, key=lambda candidate: candidate.key) if fitting else None


def certificates_of(answer: DirectoryAnswer) -> tuple[bytes, ...]:
    """All that was found for a mailbox (DER), whatever it is good for: a signer's may be among them. Bounded."""
    candidates = (*((answer.chosen,) if answer.chosen else ()), *(candidate for candidate, _ in answer.others))
    return tuple(dict.fromkeys(candidate.der for candidate in candidates))[:MOST_KNOWN]


def beaten(chosen: Judged, rung: TrustRung, order: int) -> bool:
    """Whether nothing of source number `order`, whose best rung is `rung`, could take the place of `chosen`."""
    assert chosen.rung is not None
    return (chosen.rung, -chosen.order) > (rung, -order)


def could_reach(candidate: Candidate) -> TrustRung:
    """The best rung of a candidate of which something is not known yet."""
    return candidate.rung if candidate.rung is TrustRung.HARVESTED else max(candidate.rung, TrustRung.ANCHORED)


def why_not(judged: Judged, chosen: Judged | None) -> str:
    """One line for a person: why this candidate was not chosen."""
    if judged.reasons:
        return "; ".join(map(str, judged.reasons))
    if chosen is None or chosen.rung is None or judged.rung is None:
        return "unknown: see what is temporary"
    if judged.candidate.der == chosen.candidate.der:
        return f"the same certificate was found by {chosen.candidate.source}"
    if judged.rung < chosen.rung:
        return f"{judged.rung.word} is a lower rung than {chosen.rung.word}"
    if judged.order > chosen.order:
        return f"{chosen.candidate.source} stands before {judged.candidate.source}"
    if judged.candidate.is_for_domain and not chosen.candidate.is_for_domain:
        return "the address has a certificate of its own"
    return f"it began on {_day(judged.begins)}, before the one that was chosen ({_day(chosen.begins)})"


def begins(candidate: Candidate) -> float:
    """When the certificate begins to be valid; 0 for one that cannot be read."""
    try:
        return certificate_facts(candidate.der).not_before
    except ValueError:
        return 0.0
