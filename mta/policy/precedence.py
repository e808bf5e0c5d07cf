"""Who wins: connector, DANE, MTA-STS and REQUIRETLS combined to the strictest, as tables.

Three questions, in this order. *What does DANE say of this host?* (`DANE_SAYS`) *What does MTA-STS say?*
(`STS_SAYS`) *What does a connector of this level then demand?* (`TABLE`). docs/tls.md shows the same tables; a test
compares them. A cell is the level with what must hold besides the connector's own names, CA and pins:

    dane, halfdane   one of the TLSA records; with halfdane nobody has proved that this host is the domain's
    mta-sts          a certificate of a public CA with the host's own name
    proof            as mta-sts, where signed MX records or the contract name the host; else the mail is returned
    wait             nothing is sent to this host now
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from mta.model.tls import TlsLevel
from mta.policy.dane import DaneState

OPPORTUNISTIC, MANDATORY, OFF = "opportunistic", "mandatory", "off"


class StsState(Enum):
    """What was found of the MTA-STS policy of the recipient's domain, and of this host in it."""

    OFF = "off"  # nobody asked
    NONE = "none"  # there is no policy, or it says so itself
    UNKNOWN = "unknown"  # there is one, it could not be fetched or read, and none is remembered
    TESTING = "testing"
    NAMED = "named"  # mode enforce, and the host is one of its
    UNNAMED = "unnamed"  # mode enforce, and the host is none of its


class Says(Enum):
    """What one of the two adds to a connector."""

    NOTHING = "nothing"
    ENCRYPTED = "encrypted"
    HALFDANE = "halfdane"
    DANE = "dane"
    STS = "mta-sts"
    WAIT = "wait"


NOTHING, ENCRYPTED, HALFDANE, DANE, STS, WAIT = Says

# What was found (usable records: whether the host's name is secure) -> what it means, by the mode of `tls.dane`.
DANE_SAYS: dict[tuple[DaneState, bool], dict[str, Says]] = {
    (DaneState.NONE, True): {OPPORTUNISTIC: NOTHING, MANDATORY: WAIT},
    (DaneState.INSECURE, True): {OPPORTUNISTIC: NOTHING, MANDATORY: WAIT},
    (DaneState.UNUSABLE, True): {OPPORTUNISTIC: ENCRYPTED, MANDATORY: WAIT},  # RFC 7672 §2.2: TLS, not authenticated
    (DaneState.UNKNOWN, True): {OPPORTUNISTIC: WAIT, MANDATORY: WAIT},  # RFC 7672 §2.1.2: as if unreachable
    (DaneState.USABLE, False): {OPPORTUNISTIC: HALFDANE, MANDATORY: WAIT},  # RFC 7672 §2.2.1
    (DaneState.USABLE, True): {OPPORTUNISTIC: DANE, MANDATORY: DANE},
}

# What was found -> what it means, by the mode of `tls.mta_sts`.
STS_SAYS: dict[StsState, dict[str, Says]] = {
    StsState.NONE: {OPPORTUNISTIC: NOTHING, MANDATORY: WAIT},
    StsState.UNKNOWN: {OPPORTUNISTIC: NOTHING, MANDATORY: WAIT},  # RFC 8461 §5.1: as if there were no policy
    StsState.TESTING: {OPPORTUNISTIC: NOTHING, MANDATORY: WAIT},
    StsState.NAMED: {OPPORTUNISTIC: STS, MANDATORY: STS},
    StsState.UNNAMED: {OPPORTUNISTIC: WAIT, MANDATORY: WAIT},  # RFC 8461 §5: not a host to deliver to
}

# The columns of `TABLE`. Level `none` is no column: with it nobody is asked.
COLUMNS = (TlsLevel.OPPORTUNISTIC, TlsLevel.ENCRYPTED, TlsLevel.VERIFIED, TlsLevel.PINNED)

_WAIT = ("wait", "wait", "wait", "wait")
_DANE = ("verified+dane", "verified+dane", "verified+dane", "pinned+dane")
_STS = ("verified+mta-sts", "verified+mta-sts", "verified+mta-sts", "pinned+mta-sts")
_BOTH = (
    *("verified+halfdane+mta-sts", "verified+halfdane+mta-sts", "verified+halfdane+mta-sts"),
    "pinned+halfdane+mta-sts",
)
_PROOF = ("verified+proof", "verified+proof", "verified", "pinned")

# (DANE says, MTA-STS says, the message demands TLS) -> what a connector of each level demands.
TABLE: dict[tuple[Says, Says, bool], tuple[str, str, str, str]] = {
    (NOTHING, NOTHING, False): ("opportunistic", "encrypted", "verified", "pinned"),
    (NOTHING, STS, False): _STS,
    (NOTHING, WAIT, False): _WAIT,
    (ENCRYPTED, NOTHING, False): ("encrypted", "encrypted", "verified", "pinned"),
    (ENCRYPTED, STS, False): _STS,
    (ENCRYPTED, WAIT, False): _WAIT,
    (HALFDANE, NOTHING, False): (
        *("encrypted+halfdane", "encrypted+halfdane"),
        *("verified+halfdane", "pinned+halfdane"),
    ),
    (HALFDANE, STS, False): _BOTH,
    (HALFDANE, WAIT, False): _WAIT,
    (DANE, NOTHING, False): _DANE,
    (DANE, STS, False): _DANE,  # RFC 8461 §2: MTA-STS never overrides DANE, a failing one least of all
    (DANE, WAIT, False): _DANE,
    (WAIT, NOTHING, False): _WAIT,
    (WAIT, STS, False): _WAIT,
    (WAIT, WAIT, False): _WAIT,
    (NOTHING, NOTHING, True): _PROOF,
    (NOTHING, STS, True): _STS,
    (NOTHING, WAIT, True): _WAIT,
    (ENCRYPTED, NOTHING, True): _PROOF,
    (ENCRYPTED, STS, True): _STS,
    (ENCRYPTED, WAIT, True): _WAIT,
    (HALFDANE, NOTHING, True): (
        *("verified+halfdane+proof", "verified+halfdane+proof"),
        *("verified+halfdane", "pinned+halfdane"),
    ),
    (HALFDANE, STS, True): _BOTH,
    (HALFDANE, WAIT, True): _WAIT,
    (DANE, NOTHING, True): _DANE,
    (DANE, STS, True): _DANE,
    (DANE, WAIT, True): _DANE,
    (WAIT, NOTHING, True): _WAIT,
    (WAIT, STS, True): _WAIT,
    (WAIT, WAIT, True): _WAIT,
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """A cell of `TABLE`, taken apart. `waits_for` is whose word it is that nothing is sent: DANE before MTA-STS."""

    level: TlsLevel
    parts: frozenset[str] = frozenset()
    waits_for: str = ""


def combine(level: TlsLevel, dane: Says, sts: Says, must_protect: bool) -> Outcome:
    """What a connector of `level` demands of a host of which DANE and MTA-STS say this."""
    if level is TlsLevel.NONE:
        return Outcome(level)
    level_word, *parts = TABLE[dane, sts, must_protect][COLUMNS.index(level)].split("+")
    if level_word == "wait":
        return Outcome(level, waits_for="dane" if dane is WAIT else "mta-sts")
    return Outcome(TlsLevel[level_word.upper()], frozenset(parts))


def dane_says(mode: str, state: DaneState, named: bool, relaxed: bool) -> Says:
    """What DANE says of a host. `relaxed`: the sender wrote `TLS-Required: No`, which no connector heeds."""
    if mode == OFF or state is DaneState.OFF or (relaxed and mode == OPPORTUNISTIC):  # RFC 8689 §4.2.2
        return NOTHING
    return DANE_SAYS[state, named or state is not DaneState.USABLE][mode]


def sts_says(mode: str, state: StsState, relaxed: bool) -> Says:
    """What MTA-STS says of a host."""
    if mode == OFF or state is StsState.OFF or (relaxed and mode == OPPORTUNISTIC):  # RFC 8689 §4.2.2
        return NOTHING
    return STS_SAYS[state][mode]
