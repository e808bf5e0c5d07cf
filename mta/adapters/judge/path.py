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
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from typing import TYPE_CHECKING

from mta.adapters.judge.bounds import Purpose, anchor_fault, bounds_fault, critical_fault, usage_fault
from mta.adapters.judge.chains import Issuers, chains
from mta.adapters.judge.fetch import Fetcher
from mta.adapters.judge.readable import LARGEST, UNREADABLE, load, readable
from mta.adapters.judge.revocation import Search
from mta.errors import SmimeError
from mta.model.tls import CertificateFacts, PathFault, PathVerdict, RevocationList, RevocationState, RevocationStatus
from mta.rfc.pkix.certificate import UNREADABLE_ERRORS, certificate_facts
from mta.rfc.pkix.issuer import path_length
from mta.rfc.pkix.person import person_facts
from mta.rfc.smime.bounds import prove

logging.getLogger("pyhanko_certvalidator").setLevel(logging.CRITICAL)  # what it says, our verdict says

if TYPE_CHECKING:
    from asn1crypto.x509 import Certificate
    from pyhanko_certvalidator.authority import TrustQualifiers
    from pyhanko_certvalidator.context import ValidationContext
    from pyhanko_certvalidator.path import ValidationPath

MOST_OTHERS = 50  # certificates lying by
MOST_PATHS = 8  # ways to an anchor that are tried
LARGEST_LIST = 1 << 20  # octets of a list that the library may read: it takes its time
KEPT = 300.0  # seconds that a verdict is kept
KEPT_UNREACHABLE = 30.0
MOST_KEPT = 4096


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
        self._anchors = readable(settings.anchors)
        self._intermediates = readable(settings.intermediates)
        self._kept: OrderedDict[bytes, tuple[float, float, PathVerdict]] = OrderedDict()

    async def judge(self, certificate: bytes, others: Sequence[bytes], purpose: Purpose, now: float) -> PathVerdict:
        """Whether the certificate leads to an anchor, may do `purpose`, and was not revoked."""
        others = tuple(others[:MOST_OTHERS])
        key = _digest(purpose.encode(), certificate, *others)
        kept = self._kept.get(key)
        if kept is not None and kept[0] > time.monotonic() and abs(now - kept[1]) <= KEPT and _in_time(kept[2], now):
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
            wrong = usage_fault(person, purpose, self._settings.require_usage) or critical_fault(certificate)
        except (SmimeError, *UNREADABLE_ERRORS) as error:
            return PathVerdict(PathFault.INVALID, str(error))
        if wrong:
            return PathVerdict(PathFault.USAGE, wrong)
        path = await self._path(certificate, others, now)
        if isinstance(path, PathVerdict):
            return path
        chain = _facts(path)
        if self._settings.revocation != "off":
            fault = await self._revocation(chain, path, now)
            if fault is not None:
                return fault
        assert facts.sha256 == chain[0].sha256
        return PathVerdict(path=chain)

    async def _path(self, certificate: bytes, others: tuple[bytes, ...], now: float) -> ValidationPath | PathVerdict:
        """A path to an anchor, or what is wrong with the first way that could have been one."""
        faults: list[PathVerdict] = []
        try:
            leaf = load(certificate)
            anchored = any(anchor.dump() == certificate for anchor in self._anchors)
            ways = chains(leaf, Issuers(readable(others), self._intermediates), Issuers(self._anchors))
            for between, anchor in islice([([], leaf)] if anchored else ways, MOST_PATHS):
                verdict = anchor_fault(anchor, leaf, now) or await _validated(
                    leaf, self._context([anchor], between, now)
                )
                verdict = verdict if isinstance(verdict, PathVerdict) else bounds_fault(_facts(verdict)) or verdict
                if not isinstance(verdict, PathVerdict):
                    return verdict
                faults.append(verdict)
        except UNREADABLE as error:
            return PathVerdict(PathFault.INVALID, f"it cannot be read: {error}")
        issuer = certificate_facts(certificate).issuer or "nobody"
        return (
            faults[0] if faults else PathVerdict(PathFault.UNTRUSTED, f"no path to an anchor: its issuer is {issuer}")
        )

    def _context(
        self, anchors: list[Certificate], between: list[Certificate], now: float, lists: Sequence[bytes] = ()
    ) -> ValidationContext:
        from pyhanko_certvalidator.authority import AuthorityWithCert, TrustAnchor
        from pyhanko_certvalidator.context import ValidationContext
        from pyhanko_certvalidator.policy_decl import (
            NO_REVOCATION,
            REQUIRE_REVINFO,
            CertRevTrustPolicy,
            DisallowWeakAlgorithmsPolicy,
        )

        return ValidationContext(
            trust_roots=[TrustAnchor(AuthorityWithCert(anchor), _qualifiers(anchor)) for anchor in anchors],
            other_certs=between,
            time_tolerance=timedelta(0),
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
            revocation_list.der
            for revocation_list in self._settings.lists
            if len(revocation_list.der) <= LARGEST_LIST
            and (revocation_list.fault or _plain(revocation_list.issuer_name) in wanted)
        ]

    async def _revocation(
        self, chain: tuple[CertificateFacts, ...], path: ValidationPath, now: float
    ) -> PathVerdict | None:
        """The fault that was found, the worst first; None: the certificates are good, or nobody must know."""
        pairs = list(pairwise(chain))
        searches = [Search(self._settings.lists, self._fetcher, now) for _ in pairs]
        statuses = await asyncio.gather(*(search.ask(*pair) for search, pair in zip(searches, pairs, strict=True)))
        doubts: list[tuple[bool, str]] = []
        lists, library = self._for_library(chain), None
        for search, (certificate, _), status in zip(searches, pairs, statuses, strict=True):
            if status.state == RevocationState.UNKNOWN and lists:
                # Lists signed by others than the issuer find their signers among what was configured.
                issuers = [*path.iter_certs(include_root=False), *self._intermediates]
                library = library or self._context(self._anchors, issuers, now, lists)
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
    except (CRLValidationError, PathError, ValidationError, *UNREADABLE):
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
    except UNREADABLE as error:
        return PathVerdict(PathFault.INVALID, f"it cannot be read: {error}")


def _facts(path: ValidationPath) -> tuple[CertificateFacts, ...]:
    """The certificates of a path, leaf first."""
    return tuple(
        certificate_facts(certificate.dump()) for certificate in reversed(list(path.iter_certs(include_root=True)))
    )


def _qualifiers(anchor: Certificate) -> TrustQualifiers:
    from pyhanko_certvalidator.authority import TrustQualifiers

    return TrustQualifiers(max_path_length=path_length(anchor.dump()))


def _in_time(verdict: PathVerdict, now: float) -> bool:
    early = verdict.fault == PathFault.NOT_YET_VALID
    return not early and all(certificate.not_before <= now <= certificate.not_after for certificate in verdict.path)


def _digest(*parts: bytes) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(4, "big") + part)
    return digest.digest()


def _plain(name: str) -> str:
    """RFC 5280 §7.1: names that differ by case and white space alone are the same; the library looks closer."""
    return "".join(name.casefold().split()).replace("\\", "")
