"""Whether the revocation lists of a contract can answer at all for the authorities that it names."""

from __future__ import annotations

from mta.config.problems import Path, Report
from mta.model.tls import HARD, Revocation, TrustAnchors
from mta.rfc.pkix.certificate import read_certificate


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
