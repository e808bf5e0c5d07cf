"""`crl` and `revocation` beside a `ca`: of the peer's certificate, inbound and outbound."""

from __future__ import annotations

from typing import Protocol

from mta.config.problems import Path, Report
from mta.config.workshop import Workshop
from mta.model.tls import HARD, OFF, Revocation, TrustAnchors
from mta.rfc.pkix.certificate import read_certificate


class RevocationKeys(Protocol):
    """The keys as they stand in an object beside `ca`."""

    @property
    def crl(self) -> list[str]:
        """Files of revocation lists."""

    @property
    def revocation(self) -> str | None:
        """`hard`, `soft`, `off`, or not written."""


def build_revocation(keys: RevocationKeys, judged: bool, usual: str, place: tuple[Workshop, Path]) -> Revocation:
    """What is asked about revocation; `usual` where neither key is written.

    `judged`: whether the chain is led to a CA at all, whose word on revocation could be asked for.
    """
    shop, path = place
    lists = tuple(
        one for n, name in enumerate(keys.crl) for one in shop.files.revocation_lists(name, (*path, "crl", n))
    )
    if not judged:
        for key in ("crl", "revocation"):
            if getattr(keys, key) and getattr(keys, key) != OFF:
                hint = "write `ca` or `names`; pins alone are renewed by hand"
                shop.report.problem(
                    (*path, key), "only what an authority has issued can be revoked by it", hint, key=True
                )
        return Revocation()
    mode = keys.revocation or (HARD if keys.crl else usual)
    if usual == OFF and mode != OFF and not keys.crl:
        hint = "clients staple no OCSP response: name the lists of their CAs in `crl`"
        shop.report.problem((*path, "revocation"), f"{mode} needs lists to look into", hint)
    return Revocation(mode, lists if mode != OFF else ())


def check_lists(revocation: Revocation, ca: TrustAnchors | None, report: Report, path: Path) -> None:
    """Warn at `path` of authorities without a list: what they have issued cannot be known not to be revoked."""
    if revocation.mode != HARD or not revocation.lists or ca is None or ca.is_system:
        return
    issuers = {each.issuer for each in revocation.lists}
    subjects = [read_certificate(der).subject for der in ca.certificates]
    silent = [subject.rfc4514_string() for subject in subjects if subject.public_bytes() not in issuers]
    if silent:
        hint = "add its list, or name in `ca` the authority below it that issues"
        report.warning(
            (*path, "crl"), f"none of these lists is of {', '.join(silent)}: mail it vouches for waits", hint
        )
