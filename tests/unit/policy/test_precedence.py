"""The table of precedence: each cell by the live decision, and the same in docs/tls.md."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from mta.contract.outbound import Outbound, OutboundTls
from mta.contract.values import HostPort
from mta.model.attempt import Failure, Scope
from mta.model.sts import StsAnswer, StsPolicy
from mta.model.tls import TlsLevel
from mta.policy.certificate import SYSTEM, CertificateDemand
from mta.policy.dane import NOT_ASKED, DaneDemand, DaneFinding, DaneState
from mta.policy.deliver import TlsRequirement, requirement, strictest
from mta.policy.discover import Findings, Wish
from mta.policy.precedence import (
    COLUMNS,
    DANE_SAYS,
    STS_SAYS,
    TABLE,
    Says,
    StsState,
    dane_says,
    sts_says,
)
from mta.policy.route import Destination
from mta.policy.sts import NO_POLICY, StsFinding, about_host
from mta.ports import TlsaRecord
from tests.unit.policy.world import GOOD_PIN, OTHER_CA

NONE, OPPORTUNISTIC, ENCRYPTED, VERIFIED, PINNED = TlsLevel
MX, HOST = Destination("mx", "fabrikam.example"), HostPort("mx1.fabrikam.example", 25)
HOSTS = Destination("hosts", str(HOST), (HOST,))
RECORD = TlsaRecord(3, 1, 1, b"\x01" * 32)
BASE, NAMES = "mx1.fabrikam.example", ("mx1.fabrikam.example", "fabrikam.example")
USABLE = DaneFinding(DaneState.USABLE, BASE, (RECORD,), (), NAMES, named=True)
POLICY = StsPolicy("enforce", ("*.fabrikam.example",))
NAMED = about_host("fabrikam.example", StsAnswer(POLICY), HOST.host)
UNNAMED = about_host("fabrikam.example", StsAnswer(StsPolicy("enforce", ("mx.other.example",))), HOST.host)

# a finding that makes each of the two say what the row is about
DANE_FOUND = {
    Says.NOTHING: DaneFinding(DaneState.NONE, named=True),
    Says.ENCRYPTED: DaneFinding(DaneState.UNUSABLE, BASE, unusable=("0 0 1 …: no",), named=True),
    Says.HALFDANE: DaneFinding(DaneState.USABLE, BASE, (RECORD,), (), NAMES, named=False),
    Says.DANE: USABLE,
    Says.WAIT: DaneFinding(DaneState.UNKNOWN, BASE, named=True, detail="SERVFAIL"),
}
STS_FOUND = {Says.NOTHING: NO_POLICY, Says.STS: NAMED, Says.WAIT: UNNAMED}
CELLS = [(row, column, TABLE[row][place]) for row in TABLE for place, column in enumerate(COLUMNS)]


def outbound(level: TlsLevel, **stated: str) -> Outbound:
    return Outbound(tls=OutboundTls(level, pins=(GOOD_PIN,) if level is PINNED else (), **stated))  # type: ignore[arg-type]


def test_the_table_has_every_row_and_column() -> None:
    dane = (Says.NOTHING, Says.ENCRYPTED, Says.HALFDANE, Says.DANE, Says.WAIT)
    assert set(TABLE) == set(product(dane, (Says.NOTHING, Says.STS, Says.WAIT), (False, True)))
    assert set(TlsLevel) == {NONE, *COLUMNS}


@pytest.mark.parametrize(
    ("row", "level", "cell"), CELLS, ids=[f"{r[0].value}-{r[1].value}-{r[2]}-{c.word}" for r, c, _ in CELLS]
)
def test_a_cell(row: tuple[Says, Says, bool], level: TlsLevel, cell: str) -> None:
    """The live decision gives what the table says, part by part."""
    dane, sts, must = row
    found = Findings(DANE_FOUND[dane], STS_FOUND[sts], mx_secure=True)
    needed = strictest(outbound(level), MX, HOST, found, Wish(required=must))
    if cell == "wait":
        assert isinstance(needed, Failure)
        assert (needed.scope, needed.permanent, needed.reply.code) == (Scope.HOST, False, 450)
        assert needed.reason.startswith("dane-unknown: " if dane is Says.WAIT else "sts-mx: ")
        return
    word, *parts = cell.split("+")
    assert isinstance(needed, TlsRequirement)
    assert needed.level.word == word
    assert needed.level >= level
    assert needed.requiretls is must
    records = DaneDemand(BASE, (RECORD,), NAMES)
    assert needed.dane == (records if {"dane", "halfdane"} & set(parts) else None)
    webpki = CertificateDemand((HOST.host,), SYSTEM)
    assert needed.webpki == (webpki if {"mta-sts", "proof"} & set(parts) else None)
    own = requirement(outbound(level), MX, HOST, True)
    assert (needed.names, needed.anchors, needed.pins) == (own.names, own.anchors, own.pins)
    assert needed.by == tuple(part for part in parts if part != "proof")


@pytest.mark.parametrize(("row", "level"), [(row, column) for row in TABLE for column in COLUMNS])
def test_nothing_ever_lowers_a_connector(row: tuple[Says, Says, bool], level: TlsLevel) -> None:
    dane, sts, must = row
    found = Findings(DANE_FOUND[dane], STS_FOUND[sts])
    for wish in (Wish(), Wish(required=must), Wish(optional=True)):
        needed = strictest(outbound(level), MX, HOST, found, wish)
        assert isinstance(needed, Failure) or needed.level >= level


@pytest.mark.parametrize(("state", "named"), DANE_SAYS)
def test_what_dane_says(state: DaneState, named: bool) -> None:
    said = DANE_SAYS[state, named]
    assert dane_says("opportunistic", state, named, relaxed=False) is said["opportunistic"]
    assert dane_says("mandatory", state, named, relaxed=False) is said["mandatory"]
    assert dane_says("opportunistic", state, named, relaxed=True) is Says.NOTHING
    assert dane_says("mandatory", state, named, relaxed=True) is said["mandatory"]
    assert dane_says("off", state, named, relaxed=False) is Says.NOTHING
    if state is not DaneState.USABLE:
        assert dane_says("mandatory", state, False, relaxed=False) is said["mandatory"]


@pytest.mark.parametrize("state", STS_SAYS)
def test_what_mta_sts_says(state: StsState) -> None:
    said = STS_SAYS[state]
    assert sts_says("opportunistic", state, relaxed=False) is said["opportunistic"]
    assert sts_says("mandatory", state, relaxed=False) is said["mandatory"]
    assert sts_says("opportunistic", state, relaxed=True) is Says.NOTHING
    assert sts_says("mandatory", state, relaxed=True) is said["mandatory"]
    assert sts_says("off", state, relaxed=False) is Says.NOTHING


def test_every_state_that_can_be_found_has_a_meaning() -> None:
    assert {state for state, _ in DANE_SAYS} == set(DaneState) - {DaneState.OFF}
    assert set(STS_SAYS) == set(StsState) - {StsState.OFF}


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (StsAnswer(), StsState.NONE),
        (StsAnswer(StsPolicy("none")), StsState.NONE),
        (StsAnswer(problem="sts-policy-fetch-error", detail="404"), StsState.UNKNOWN),
        (StsAnswer(StsPolicy("testing", ("mx.other.example",))), StsState.TESTING),
        (StsAnswer(StsPolicy("enforce", ("mx1.fabrikam.example",))), StsState.NAMED),
        (StsAnswer(StsPolicy("enforce", ("fabrikam.example",))), StsState.UNNAMED),
        (StsAnswer(POLICY, problem="sts-policy-fetch-error"), StsState.NAMED),  # the remembered one holds
    ],
)
def test_what_a_policy_says_of_a_host(answer: StsAnswer, state: StsState) -> None:
    assert about_host("fabrikam.example", answer, HOST.host).state is state


# --- beside the table ------------------------------------------------------------------------------------------------


def test_requiretls_is_returned_where_nobody_vouches_for_the_host() -> None:
    needed = strictest(outbound(ENCRYPTED), MX, HOST, Findings(), Wish(required=True))
    assert isinstance(needed, Failure)
    assert (str(needed.reply.code), needed.reply.status, needed.permanent) == ("550", "5.7.30", True)
    assert needed.reason.startswith("requiretls: nothing vouches for the name of mx1.fabrikam.example:25")
    assert isinstance(strictest(outbound(ENCRYPTED), HOSTS, HOST, Findings(), Wish(required=True)), TlsRequirement)
    assert isinstance(strictest(outbound(VERIFIED), MX, HOST, Findings(), Wish(required=True)), TlsRequirement)


def test_requiretls_never_goes_by_a_contract_without_tls_unless_it_says_so() -> None:
    needed = strictest(outbound(NONE), HOSTS, HOST, Findings(), Wish(required=True))
    assert isinstance(needed, Failure)
    assert needed.reply.status == "5.7.30"
    eased = strictest(outbound(NONE, requiretls="opportunistic"), HOSTS, HOST, Findings(), Wish(required=True))
    assert isinstance(eased, TlsRequirement)
    assert (eased.level, eased.requiretls) == (NONE, False)


def test_beside_requiretls_the_header_field_is_ignored() -> None:
    found = Findings(USABLE, NO_POLICY, mx_secure=True)
    needed = strictest(outbound(OPPORTUNISTIC), MX, HOST, found, Wish(required=True, optional=True))
    assert isinstance(needed, TlsRequirement)
    assert needed.dane is not None


def test_the_sender_relaxes_dane_and_mta_sts_and_never_a_connector() -> None:
    bogus = Findings(DANE_FOUND[Says.WAIT], UNNAMED, mx_secure=True)
    relaxed = strictest(outbound(ENCRYPTED), MX, HOST, bogus, Wish(optional=True))
    assert isinstance(relaxed, TlsRequirement)
    assert relaxed.word == "encrypted"
    strict = strictest(outbound(ENCRYPTED, dane="mandatory"), MX, HOST, bogus, Wish(optional=True))
    assert isinstance(strict, Failure)


@pytest.mark.parametrize(
    ("found", "mode", "reason"),
    [
        (Findings(DaneFinding(DaneState.NONE, named=True)), {"dane": "mandatory"}, "dane-required: "),
        (Findings(DaneFinding(DaneState.INSECURE)), {"dane": "mandatory"}, "dane-required: "),
        (Findings(DANE_FOUND[Says.HALFDANE]), {"dane": "mandatory"}, "dane-required: "),
        (Findings(DANE_FOUND[Says.ENCRYPTED]), {"dane": "mandatory"}, "dane-unusable: "),
        (Findings(NOT_ASKED, StsFinding(StsState.NONE, "x.example")), {"mta_sts": "mandatory"}, "sts-required: "),
        (Findings(NOT_ASKED, StsFinding(StsState.UNKNOWN, detail="404")), {"mta_sts": "mandatory"}, "sts-required: "),
        (Findings(NOT_ASKED, StsFinding(StsState.TESTING)), {"mta_sts": "mandatory"}, "sts-required: "),
    ],
)
def test_what_is_mandatory_and_missing_is_told(found: Findings, mode: dict[str, str], reason: str) -> None:
    needed = strictest(outbound(ENCRYPTED, **mode), MX, HOST, found)
    assert isinstance(needed, Failure)
    assert needed.reason.startswith(f"{reason}mx1.fabrikam.example:25: ")
    assert not needed.permanent


def test_the_host_asks_for_the_name_that_each_standard_says() -> None:
    based = DaneFinding(DaneState.USABLE, "real.example", (RECORD,), (), ("real.example",), named=True)
    for found, name in (
        (Findings(based, NAMED), "real.example"),
        (Findings(NOT_ASKED, NAMED), HOST.host),
        (Findings(), "mail.fabrikam.example"),
    ):
        stated = Outbound(tls=OutboundTls(VERIFIED, names=("mail.fabrikam.example",)))
        needed = strictest(stated, MX, HOST, found)
        assert isinstance(needed, TlsRequirement)
        assert needed.sni == name
        assert needed.names == ("mail.fabrikam.example",)


def test_a_host_of_signed_mx_records_may_bear_its_own_name() -> None:
    assert (
        "mx9.elsewhere.example"
        in requirement(outbound(VERIFIED), MX, HostPort("mx9.elsewhere.example", 25), True).names
    )
    assert (
        "mx9.elsewhere.example" not in requirement(outbound(VERIFIED), MX, HostPort("mx9.elsewhere.example", 25)).names
    )


@pytest.mark.parametrize(
    ("found", "word", "verdict"),
    [
        (Findings(USABLE), "verified:dane=mx1.fabrikam.example", "verified:dane"),
        (Findings(DANE_FOUND[Says.HALFDANE]), "encrypted:halfdane=mx1.fabrikam.example", "encrypted:halfdane"),
        (Findings(NOT_ASKED, NAMED), "verified:mta-sts=mx1.fabrikam.example", "verified:mta-sts"),
        (Findings(), "encrypted", "encrypted"),
    ],
)
def test_a_requirement_in_words(found: Findings, word: str, verdict: str) -> None:
    needed = strictest(outbound(ENCRYPTED), MX, HOST, found)
    assert isinstance(needed, TlsRequirement)
    assert (needed.word, needed.verdict) == (word, verdict)


def test_what_applied_is_told_in_reports() -> None:
    needed = strictest(outbound(ENCRYPTED), MX, HOST, Findings(USABLE, NAMED))
    assert isinstance(needed, TlsRequirement)
    assert (needed.published.type, needed.published.strings) == ("tlsa", ("3 1 1 " + "01" * 32,))
    needed = strictest(outbound(ENCRYPTED), MX, HOST, Findings(NOT_ASKED, NAMED))
    assert isinstance(needed, TlsRequirement)
    assert (needed.published.type, needed.published.mx_hosts) == ("sts", ("*.fabrikam.example",))


# --- docs/tls.md -----------------------------------------------------------------------------------------------------

PAGE = Path(__file__).resolve().parents[3] / "docs" / "tls.md"


def table(*heading: str) -> list[list[str]]:
    """The rows of the table with this heading."""
    lines = iter(PAGE.read_text(encoding="utf-8").splitlines())
    head = "| " + " | ".join(heading) + " |"
    assert head in lines, f"docs/tls.md has no table with the heading {head}"
    next(lines)
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def test_the_page_shows_the_table() -> None:
    shown = table("DANE says", "MTA-STS says", "REQUIRETLS", *(level.word for level in COLUMNS))
    told = [[d.value, s.value, "yes" if must else "no", *cells] for (d, s, must), cells in TABLE.items()]
    assert shown == told


def test_the_page_shows_what_each_finding_says() -> None:
    for heading, says in (
        ("DANE: what was found", list(DANE_SAYS.values())),
        ("MTA-STS: what was found", list(STS_SAYS.values())),
    ):
        shown = [row[1:] for row in table(heading, "opportunistic", "mandatory")]
        assert shown == [[said["opportunistic"].value, said["mandatory"].value] for said in says]


def test_hosts_under_a_policy_are_judged_by_the_authorities_for_policies() -> None:
    found = Findings(sts=replace(NAMED, anchors=OTHER_CA))
    needed = strictest(outbound(OPPORTUNISTIC), MX, HOST, found)
    assert isinstance(needed, TlsRequirement)
    assert needed.webpki == CertificateDemand((HOST.host.lower(),), OTHER_CA)


def test_what_is_returned_for_requiretls_is_our_own_word() -> None:
    returned = strictest(outbound(NONE), HOSTS, HOST, Findings(), Wish(required=True))
    assert isinstance(returned, Failure)
    assert (returned.local, returned.permanent) == (True, True)
