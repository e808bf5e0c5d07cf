"""What a destination publishes about the TLS of its hosts, as it is kept with an attempt."""

from __future__ import annotations

from mta.model.frozen import frozen


@frozen
class DanePublished:
    """TLSA records (RFC 7672): the state that they put the host in, the records, and those that nobody may use.

    `mx_secure`: the host's name was learnt in a secure way.
    """

    state: str
    base: str = ""
    records: tuple[str, ...] = ()
    unusable: tuple[str, ...] = ()
    detail: str = ""
    mx_secure: bool = False


@frozen
class StsPublished:
    """An MTA-STS policy (RFC 8461); `mx` is None where there is none."""

    state: str
    id: str = ""
    mx: tuple[str, ...] | None = None
    problem: str = ""


@frozen
class Published:
    """Both, as far as they were asked for."""

    dane: DanePublished | None = None
    sts: StsPublished | None = None
