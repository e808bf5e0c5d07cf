"""Judges certificates of S/MIME (ports.CertificateJudge): the path by pyhanko-certvalidator, revocation by our own.

The library builds and validates paths as RFC 5280 §6.1 has it. It is told to leave revocation alone: its rules ignore
a list at hand where a certificate names no place for one, and its fetching knows none of our bounds. Each certificate
below the anchor is then looked up in lists at hand, OCSP answers and fetched lists, in this order.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Literal

from mta.adapters.judge.chains import Issuers, chains
from mta.adapters.judge.fetch import Fetcher
from mta.adapters.judge.revocation import Search
from mta.errors import SmimeError
from mta.model.tls import CertificateFacts, PathFault, PathVerdict, RevocationList, RevocationState, RevocationStatus
from mta.rfc.pkix.certificate import UNREADABLE_ERRORS, certificate_facts, read_certificate
from mta.rfc.pkix.person import ANY_USAGE, EMAIL_PROTECTION, PersonFacts, person_facts
from mta.rfc.smime.bounds import prove

logging.getLogger("pyhanko_certvalidator").setLevel(logging.CRITICAL)  # what it says, our verdict says

if TYPE_CHECKING:
    from asn1crypto.x509 import Certificate
    from pyhanko_certvalidator.context import ValidationContext
    from pyhanko_certvalidator.path import ValidationPath

LARGEST = 65_536  # octets of a certificate
MOST_OTHERS = 50  # certificates lying by
MOST_PATHS = 8  # ways to an anchor that are tried
LARGEST_LIST = 1 << 20  # octets of a list that the library may read: it takes its time
KEPT = 300.0  # seconds that a verdict is kept
KEPT_UNREACHABLE = 30.0
MOST_KEPT = 4096
_USAGES = {"sign": {"digitalSignature", "nonRepudiation"}, "encrypt": {"keyEncipherment", "keyAgreement"}}
_KNOWN_CRITICAL = {
    *("2.5.29.15", "2.5.29.17", "2.5.29.19", "2.5.29.30", "2.5.29.32"),  # usage, names, constraints, policies
    *("2.5.29.33", "2.5.29.36", "2.5.29.37", "2.5.29.54"),  # mappings, policy constraints, purposes, anyPolicy
}
# What the library and asn1crypto raise in the middle of what they cannot make sense of.
_UNREADABLE = (*UNREADABLE_ERRORS, RecursionError, AttributeError, LookupError, NotImplementedError, AssertionError)
Purpose = Literal["sign", "encrypt"]


@dataclass(frozen=True, slots=True)
class JudgeSettings:
    """`anchors` and `intermediates` in DER; `revocation` is soft, hard or off; no signature may be made of `broken`."""

    anchors: tuple[bytes, ...]
    intermediates: tuple[bytes, ...] = ()
    revocation: str = "soft"
    lists: tuple[RevocationList, ...] = ()
    min_rsa_bits: int = 2048
    require_usage: bool = False
    broken: frozenset[str] = frozenset({"md2", "md5", "sha1"})


class PathJudge:
    """Believes what leads to one of the anchors."""

    def __init__(self, settings: JudgeSettings, fetcher: Fetcher) -> None:
        import pyhanko_certvalidator  # noqa: F401 - now, and not while the first message waits

        self._settings = settings
        self._fetcher = fetcher
        self._anchors = _readable(settings.anchors)
        self._intermediates = _readable(settings.intermediates)
        self._kept: OrderedDict[bytes, tuple[float, float, PathVerdict]] = OrderedDict()

    async def judge(self, certificate: bytes, others: Sequence[bytes], purpose: Purpose, now: float) -> PathVerdict:
        """Whether the certificate leads to an anchor, may do `purpose`, and was not revoked."""
        others = tuple(others[:MOST_OTHERS])
        key = _digest(purpose.encode(), certificate, *others)
        kept = self._kept.get(key)
        if kept is not None and kept[0] > time.monotonic() and abs(now - kept[1]) <= KEPT:
            return kept[2]
        verdict = await self._judge(certificate, others, purpose, now)
        seconds = KEPT_UNREACHABLE if verdict.temporary else KEPT
        self._kept[key] = (time.monotonic() + seconds, now, verdict)
        self._kept.move_to_end(key)
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        return verdict

    async def close(self) -> None:
        """Let go of connections."""
        await self._fetcher.close()

    async def _judge(self, certificate: bytes, others: tuple[bytes, ...], purpose: Purpose, now: float) -> PathVerdict:
        try:
            if len(certificate) > LARGEST:
                return PathVerdict(PathFault.INVALID, f"a certificate of {len(certificate)} octets is too large")
            prove(certificate)
            facts, person = certificate_facts(certificate), person_facts(certificate)
            wrong = _usage_fault(person, purpose, self._settings.require_usage) or _critical_fault(certificate)
        except (SmimeError, *UNREADABLE_ERRORS) as error:
            return PathVerdict(PathFault.INVALID, str(error))
        if wrong:
            return PathVerdict(PathFault.USAGE, wrong)
        path = await self._path(certificate, others, now)
        if isinstance(path, PathVerdict):
            return path
        chain = tuple(certificate_facts(one.dump()) for one in reversed(list(path.iter_certs(include_root=True))))
        if self._settings.revocation != "off":
            fault = await self._revocation(chain, path, now)
            if fault is not None:
                return fault
        assert facts.sha256 == chain[0].sha256
        return PathVerdict(path=chain)

    async def _path(self, certificate: bytes, others: tuple[bytes, ...], now: float) -> ValidationPath | PathVerdict:
        """A path to an anchor, or what is wrong with the first way that could have been one."""
        from asn1crypto.x509 import Certificate

        faults: list[PathVerdict] = []
        try:
            leaf = Certificate.load(certificate, strict=True)
            anchored = any(one.dump() == certificate for one in self._anchors)
            ways = chains(leaf, Issuers(_readable(others), self._intermediates), Issuers(self._anchors))
            for between, anchor in islice([([], leaf)] if anchored else ways, MOST_PATHS):
                found = await _validated(leaf, self._context([anchor], between, now))
                if not isinstance(found, PathVerdict):
                    return found
                faults.append(found)
        except _UNREADABLE as error:
            return PathVerdict(PathFault.INVALID, f"it cannot be read: {error}")
        issuer = certificate_facts(certificate).issuer or "nobody"
        return (
            faults[0] if faults else PathVerdict(PathFault.UNTRUSTED, f"no path to an anchor: its issuer is {issuer}")
        )

    def _context(
        self, anchors: list[Certificate], between: list[Certificate], now: float, lists: Sequence[bytes] = ()
    ) -> ValidationContext:
        from pyhanko_certvalidator.context import ValidationContext
        from pyhanko_certvalidator.policy_decl import (
            NO_REVOCATION,
            REQUIRE_REVINFO,
            CertRevTrustPolicy,
            DisallowWeakAlgorithmsPolicy,
        )

        return ValidationContext(
            trust_roots=anchors,
            other_certs=between,
            moment=datetime.fromtimestamp(now, UTC),
            allow_fetching=False,
            crls=lists,
            revinfo_policy=CertRevTrustPolicy(REQUIRE_REVINFO if lists else NO_REVOCATION),
            algorithm_usage_policy=DisallowWeakAlgorithmsPolicy(  # type: ignore[no-untyped-call]
                weak_hash_algos=self._settings.broken,
                rsa_key_size_threshold=self._settings.min_rsa_bits,
                dsa_key_size_threshold=self._settings.min_rsa_bits,
            ),
        )

    # --- revocation

    def _for_library(self, chain: tuple[CertificateFacts, ...]) -> list[bytes]:
        """The lists at hand that may be about certificates of a chain, or in a form that we do not read."""
        wanted = {_plain(certificate.issuer) for certificate in chain}
        return [
            one.der
            for one in self._settings.lists
            if len(one.der) <= LARGEST_LIST and (one.fault or _plain(one.issuer_name) in wanted)
        ]

    async def _revocation(
        self, chain: tuple[CertificateFacts, ...], path: ValidationPath, now: float
    ) -> PathVerdict | None:
        """The fault that was found, the worst first; None: the certificates are good, or nobody must know."""
        pairs = list(pairwise(chain))
        searches = [Search(self._settings.lists, self._fetcher, now) for _ in pairs]
        found = await asyncio.gather(*(one.ask(*pair) for one, pair in zip(searches, pairs, strict=True)))
        doubts: list[tuple[bool, str]] = []
        lists, library = self._for_library(chain), None
        for search, (certificate, _), status in zip(searches, pairs, found, strict=True):
            if status.state == RevocationState.UNKNOWN and lists:
                # Lists signed by others than the issuer find their signers among what was configured.
                known = [*path.iter_certs(include_root=False), *self._intermediates]
                library = library or self._context(self._anchors, known, now, lists)
                status = await _by_library(certificate, path, library, status)
            if status.state == RevocationState.REVOKED:
                return PathVerdict(PathFault.REVOKED, status.detail)
            if status.state == RevocationState.UNKNOWN:
                doubts.append((search.failed, f"{certificate.subject}: {status.detail}"))
        if not doubts or self._settings.revocation == "soft":
            return None
        # What never can be known is told before what may be known later: waiting would not help.
        failed, detail = min(doubts)
        return PathVerdict(PathFault.UNREACHABLE if failed else PathFault.UNCHECKED, detail)


async def _by_library(
    certificate: CertificateFacts, path: ValidationPath, context: ValidationContext, status: RevocationStatus
) -> RevocationStatus:
    """Lists in parts, indirect ones, and those that another key signed, are left to the library."""
    from pyhanko_certvalidator.errors import CRLValidationError, PathError, RevokedError, ValidationError
    from pyhanko_certvalidator.revinfo.validate_crl import verify_crl

    subject = next((one for one in path.iter_certs(include_root=True) if one.dump() == certificate.der), None)
    try:
        await verify_crl(subject, path, context)
    except RevokedError as error:
        return RevocationStatus(RevocationState.REVOKED, str(error))
    except (CRLValidationError, PathError, ValidationError, *_UNREADABLE):
        return status
    return RevocationStatus(RevocationState.GOOD, "list")


# --- paths ----------------------------------------------------------------------------------------------------------


async def _validated(leaf: Certificate, context: ValidationContext) -> ValidationPath | PathVerdict:
    """The path, if the one way that the context leaves open is good."""
    from pyhanko_certvalidator import CertificateValidator, errors

    try:
        return await CertificateValidator(leaf, validation_context=context).async_validate_path()
    except errors.ExpiredError as error:
        return PathVerdict(PathFault.EXPIRED, str(error))
    except errors.NotYetValidError as error:
        return PathVerdict(PathFault.NOT_YET_VALID, str(error))
    except (errors.PathBuildingError, errors.InvalidCertificateError) as error:  # no path, or it is its own issuer
        return PathVerdict(PathFault.UNTRUSTED, str(error))
    except (errors.ValidationError, errors.PathError) as error:
        return PathVerdict(PathFault.INVALID, str(error))
    except _UNREADABLE as error:
        return PathVerdict(PathFault.INVALID, f"it cannot be read: {error}")


def _digest(*parts: bytes) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(4, "big") + part)
    return digest.digest()


def _plain(name: str) -> str:
    """RFC 5280 §7.1: names that differ by case and white space alone are the same; the library looks closer."""
    return "".join(name.casefold().split()).replace("\\", "")


def _readable(ders: Sequence[bytes]) -> list[Certificate]:
    """Those of the certificates lying by that both libraries can read; asn1crypto reads when it is asked."""
    from asn1crypto.x509 import Certificate

    found = []
    for der in ders:
        try:
            if len(der) > LARGEST or prove(der) or not certificate_facts(der):  # DER knows no open ends
                continue
            certificate = Certificate.load(der, strict=True)
            for part in ("critical_extensions", "key_identifier", "public_key", "issuer_serial"):
                getattr(certificate, part)
            certificate.subject.hashable  # noqa: B018
        except (SmimeError, *_UNREADABLE):
            continue
        found.append(certificate)
    return found


def _usage_fault(person: PersonFacts, purpose: Purpose, require_usage: bool) -> str:
    """RFC 8550 §4.4.2 and §4.4.4: what is stated must allow it."""
    if person.key_usage is not None and not person.key_usage & _USAGES[purpose]:
        stated = ", ".join(sorted(person.key_usage)) or "nothing"
        return f"its key usage states {stated}"
    if person.purposes is None:
        return "it states no extended key usage" if require_usage else ""
    if not {EMAIL_PROTECTION, ANY_USAGE} & set(person.purposes):
        return f"its extended key usage is {', '.join(person.purposes) or 'unreadable'}"
    return ""


def _critical_fault(der: bytes) -> str:
    """RFC 5280 §4.2: a critical extension that is not understood makes a certificate unusable."""
    for extension in read_certificate(der).extensions:
        if extension.critical and extension.oid.dotted_string not in _KNOWN_CRITICAL:
            return f"its critical extension {extension.oid.dotted_string} is not understood"
    return ""
