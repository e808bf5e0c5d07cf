"""Certificates and revocation lists in a file, or in all files of a folder."""

from __future__ import annotations

import os
from collections.abc import Callable

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from mta.config.files import Files, Finding, read
from mta.config.problems import Path
from mta.contract.watch import stamp
from mta.rfc.pkix.bundle import certificates_in
from mta.rfc.pkix.certificate import certificate_facts
from mta.rfc.pkix.crl import read_lists

Read = Callable[[bytes], tuple[bytes, ...]]


def bundle(name: str | None, files: Files, path: Path, reader: Read = certificates_in) -> tuple[tuple[bytes, str], ...]:
    """What `reader` finds in a file, or in every file of a folder: DER, and the file it stood in."""
    if name is None:
        return ()

    def judge(file: str, finding: Finding) -> None:
        found: list[tuple[bytes, str]] = []
        finding.stamp = stamp(file)  # of a folder, before it is listed: what comes later changes it
        for member in _members(file, finding):
            inner = finding if member == file else Finding()
            found += ((der, member) for der in _contents(member, inner, reader))
            if inner is not finding:
                files.stamps.setdefault(member, inner.stamp)
                finding.faults += inner.faults
        finding.value = tuple(found)
        if not found and not finding.faults:
            finding.fault(f"{file} holds nothing of this kind", "PEM or DER files, or one of them")

    kind = "certificates" if reader is certificates_in else "crls"
    found: tuple[tuple[bytes, str], ...] | None = files.look(kind, files.resolve(name), path, judge)
    return found or ()


def _members(file: str, finding: Finding) -> list[str]:
    """The file itself, or the files of the folder in the order of their names."""
    if not os.path.isdir(file):
        return [file]
    try:
        names = sorted(name for name in os.listdir(file) if not name.startswith("."))
    except OSError as error:
        finding.fault(f"{file} cannot be read: {error.strerror}", "give this user the right to read it")
        return []
    return [member for member in (os.path.join(file, name) for name in names) if os.path.isfile(member)]


def _contents(file: str, finding: Finding, reader: Read) -> tuple[bytes, ...]:
    content = read(file, finding)
    if content is None:
        return ()
    try:
        found = reader(content)
        for der in found:
            _usable(der, reader)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        finding.fault(f"{file} cannot be used: {error}")
        return ()
    return found


def _usable(der: bytes, reader: Read) -> None:
    """Raises for what the library will not read later either."""
    if reader is certificates_in:
        x509.load_der_x509_certificate(der).public_key()
        certificate_facts(der)
    else:
        read_lists(der)
