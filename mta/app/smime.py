"""What `mta smime` works with: certificates and keys in files, and a judge of certificates with given anchors."""

from __future__ import annotations

from collections.abc import Sequence

from mta.model.tls import RevocationList
from mta.pipeline.directory import NoJudge
from mta.ports import CertificateJudge, OwnCertificate, Resolver


def read_certificates(paths: Sequence[str]) -> tuple[bytes, ...]:
    """Every certificate in these files. Raises UsageError."""
    from mta.adapters.smime_files import read_certificates as read

    return read(paths)


def read_own(certificates: Sequence[str], keys: Sequence[str], password: str) -> tuple[OwnCertificate, ...]:
    """Private keys with their certificates. Raises UsageError."""
    from mta.adapters.smime_files import read_own as read

    return read(certificates, keys, password)


def read_lists(paths: Sequence[str]) -> tuple[RevocationList, ...]:
    """Every revocation list in these files. Raises UsageError."""
    from mta.adapters.smime_files import read_lists as read

    return read(paths)


def anchored_judge(
    anchors: Sequence[bytes], lists: Sequence[RevocationList] = (), revocation: str = "soft"
) -> CertificateJudge:
    """A judge that believes what leads to one of these certificates; it asks nothing of the network."""
    if not anchors:
        return NoJudge("no CA was named (--trust)")
    from mta.adapters.judge.fetch import Fetcher, FetchSettings
    from mta.adapters.judge.path import JudgeSettings, PathJudge

    settings = JudgeSettings(anchors=tuple(anchors), lists=tuple(lists), revocation=revocation)
    return PathJudge(settings, Fetcher(FetchSettings((), False), _no_names))


def _no_names() -> Resolver:
    raise AssertionError("nothing is fetched")
