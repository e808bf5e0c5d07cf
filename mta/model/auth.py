"""What SPF, DKIM, ARC and DMARC found: results are data, each with its reason (words of RFC 8601 §2.7)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class AuthResult(Enum):
    """The result words of RFC 8601 §2.7 that our methods use."""

    NONE = "none"
    PASS = "pass"  # noqa: S105 - the result, no password
    FAIL = "fail"
    SOFTFAIL = "softfail"  # SPF only
    NEUTRAL = "neutral"
    POLICY = "policy"  # DKIM: valid, but not acceptable to us
    TEMPERROR = "temperror"  # unknown now: try later
    PERMERROR = "permerror"  # cannot be interpreted, and waiting will not help

    @property
    def passed(self) -> bool:
        """Whether it is a pass and nothing less."""
        return self is AuthResult.PASS


@dataclass(frozen=True, slots=True)
class SpfOutcome:
    """RFC 7208 for one identity. `domain` was checked (A-labels); `reason` says which mechanism or what is wrong."""

    result: AuthResult
    domain: str = ""
    reason: str = ""
    explanation: str = ""  # the domain owner's own words (`exp=`), already made printable


@dataclass(frozen=True, slots=True)
class DkimOutcome:
    """One DKIM-Signature (RFC 6376). `algorithm` is `rsa-sha256` or the like, `key_bits` the size of an RSA key.

    `identity` is `i=`; `tag` the first characters of `b=`, by which RFC 6008 tells signatures apart; `testing` is
    `t=y` of the key record; `body_length` is `l=` if given, `None` otherwise.
    """

    result: AuthResult
    domain: str = ""
    selector: str = ""
    algorithm: str = ""
    reason: str = ""
    key_bits: int = 0
    identity: str = ""
    tag: str = ""
    testing: bool = False
    body_length: int | None = None
    signed_headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ArcOutcome:
    """The chain of RFC 8617: NONE, PASS or FAIL (or TEMPERROR); `sealers` are the `d=` of the seals, newest first."""

    result: AuthResult
    sealers: tuple[str, ...] = ()
    reason: str = ""
    oldest_pass: int = 0  # the lowest instance whose AMS still verifies, 0: none


@dataclass(frozen=True, slots=True)
class DmarcOutcome:
    """RFC 9989. `policy` is what the domain asks for (`none`, `quarantine`, `reject`), after `t=y` and `sp`/`np`.

    `domain` is the author's domain, `policy_domain` where the record was found; both in A-labels.
    """

    result: AuthResult
    policy: str = ""
    domain: str = ""
    policy_domain: str = ""
    reason: str = ""
    spf_aligned: bool = False
    dkim_aligned: bool = False
    testing: bool = False
    record: str = ""


@dataclass(frozen=True, slots=True)
class SenderOutcome:
    """Whether the domain of MAIL FROM takes mail: FAIL where it publishes a null MX (RFC 7505), so that nobody answers.

    PASS otherwise; NONE where nothing was asked: the null sender.
    """

    result: AuthResult
    domain: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AuthenticationFacts:
    """All that was found about one message, in the order it was asked for."""

    spf_helo: SpfOutcome
    spf_mail_from: SpfOutcome
    dkim: tuple[DkimOutcome, ...] = ()
    dmarc: DmarcOutcome | None = None
    arc: ArcOutcome | None = None
    sender: SenderOutcome | None = None
    source: str = ""  # the address that SPF was judged at; empty: not known
