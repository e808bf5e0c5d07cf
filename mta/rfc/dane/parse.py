"""Which TLSA records can be used, and where they are published. Odd records are data, never an exception."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from mta.ports import TlsaRecord
from mta.rfc.pkix.certificate import certificate_facts

MOST_RECORDS = 100  # of one host; nobody needs more, and each costs a comparison


class Usage(IntEnum):
    """RFC 7218 §2.1: what the data of a record is about."""

    PKIX_TA = 0
    PKIX_EE = 1
    DANE_TA = 2
    DANE_EE = 3


class Selector(IntEnum):
    """RFC 7218 §2.2: which part of a certificate is compared."""

    CERTIFICATE = 0
    KEY = 1


class Matching(IntEnum):
    """RFC 7218 §2.3: how it is compared. The larger of two digests is the stronger one."""

    FULL = 0
    SHA256 = 1
    SHA512 = 2


_DIGEST_OCTETS = {Matching.SHA256: 32, Matching.SHA512: 64}


@dataclass(frozen=True, slots=True)
class Selection:
    """`usable` decide; `unusable` say in words why each other one does not."""

    usable: tuple[TlsaRecord, ...]
    unusable: tuple[str, ...] = ()


def owner(base_domain: str, port: int) -> str:
    """Where the TLSA records of a host are (RFC 6698 §3)."""
    return f"_{port}._tcp.{base_domain}"


def words(record: TlsaRecord) -> str:
    """A record for people: its three numbers and the beginning of its data."""
    data = record.data.hex()
    return f"{record.usage} {record.selector} {record.matching} {data[:16]}{'…' if len(data) > 16 else ''}"


def select(records: Sequence[TlsaRecord]) -> Selection:
    """The records that count: usable ones, and of several digests of the same thing the strongest alone."""
    usable: list[TlsaRecord] = []
    unusable: list[str] = []
    for record in dict.fromkeys(records[:MOST_RECORDS]):
        if fault := _fault(record):
            unusable.append(f"{words(record)}: {fault}")
        else:
            usable.append(record)
    if len(records) > MOST_RECORDS:
        unusable.append(f"{len(records) - MOST_RECORDS} records beyond the first {MOST_RECORDS} are not looked at")
    return Selection(_agile(usable), tuple(unusable))


def _fault(record: TlsaRecord) -> str:
    """Why a record is unusable (RFC 6698 §4.1), or nothing."""
    if record.usage in (Usage.PKIX_TA, Usage.PKIX_EE):
        return "certificate usages 0 and 1 mean nothing in SMTP"  # RFC 7672 §3.1.3
    if record.usage not in (Usage.DANE_TA, Usage.DANE_EE):
        return "its certificate usage is unknown"
    if record.selector not in (Selector.CERTIFICATE, Selector.KEY):
        return "its selector is unknown"
    if record.matching == Matching.FULL:
        return "" if _is_readable(record) else "it holds neither a certificate nor a key"
    octets = _DIGEST_OCTETS.get(Matching(record.matching)) if record.matching <= Matching.SHA512 else None
    if octets is None:
        return "its matching type is unknown"
    return "" if len(record.data) == octets else f"a digest of {len(record.data)} octets is none"


def _is_readable(record: TlsaRecord) -> bool:
    if record.selector == Selector.KEY:
        return record.data[:1] == b"\x30"  # a SEQUENCE; whether it is a key is seen when it is used
    try:
        certificate_facts(record.data)
    except ValueError:
        return False
    return True


def _agile(records: Iterable[TlsaRecord]) -> tuple[TlsaRecord, ...]:
    """RFC 7671 §9: of digests with the same usage and selector only those of the strongest algorithm count."""
    candidates = tuple(records)
    strongest: dict[tuple[int, int], int] = {}
    for record in candidates:
        group = (record.usage, record.selector)
        strongest[group] = max(record.matching, strongest.get(group, Matching.FULL))
    return tuple(
        record for record in candidates if record.matching in (Matching.FULL, strongest[record.usage, record.selector])
    )
