"""Which certificate fits a recipient, and which of those that fit is chosen."""

from __future__ import annotations

import hashlib
import subprocess
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.model.directory import Association, Candidate, DirectoryAnswer, DirectoryStatus, TrustRung
from mta.model.tls import PathFault, PathVerdict
from mta.policy.directory import (
    MOST_KNOWN,
    Demands,
    Judged,
    address_key,
    beaten,
    best,
    certificates_of,
    could_reach,
    misfits,
    trusted,
    why_not,
)
from tests.support.people import BOB, EPOCH, NOW, candidate, der, mailbox
from tests.support.pki import needs_openssl

DAY = timedelta(days=1)
NONE = PathVerdict()
UNTRUSTED = PathVerdict(PathFault.UNTRUSTED, "no path")


def words(found: Candidate, address: str = BOB, demands: Demands | None = None, now: float = EPOCH) -> list[str]:
    return [reason.word for reason in misfits(found, mailbox(address), demands or Demands(), now)]


FITS: list[dict[str, Any]] = [
    {},
    {"emails": ["BOB@Fabrikam.Example"]},
    {"emails": ["other@fabrikam.example", BOB]},
    {"emails": [], "subject_email": BOB},
    {"usages": None},
    {"usages": ("key_agreement",)},
    {"kind": "rsa-2048", "usages": ("key_encipherment",)},
    {"kind": "ec-p384"},
    {"kind": "ec-brainpool256"},
    {"purposes": None},
    {"purposes": ("2.5.29.37.0",)},
    {"purposes": ("1.3.6.1.5.5.7.3.2", "1.3.6.1.5.5.7.3.4")},
]


@pytest.mark.parametrize("wishes", FITS, ids=str)
def test_what_fits(wishes: dict[str, Any]) -> None:
    assert words(candidate(der(**wishes))) == []


MISFITS: list[tuple[dict[str, Any], str]] = [
    ({"emails": ["alice@fabrikam.example"]}, "wrong-address"),
    (
        {"emails": ["alice@fabrikam.example"], "subject_email": BOB},
        "wrong-address",
    ),  # the SAN comes first
    ({"emails": []}, "wrong-address"),
    ({"emails": [], "dns_names": ["fabrikam.example"]}, "wrong-address"),  # it was found for bob, not for the domain
    ({"begins": NOW - 9 * DAY, "ends": NOW - DAY}, "expired"),
    ({"begins": NOW + DAY, "ends": NOW + 9 * DAY}, "not-yet-valid"),
    ({"usages": ("digital_signature",)}, "key-usage"),
    ({"usages": ("key_encipherment",)}, "key-usage"),  # an EC key agrees, it does not encipher
    ({"kind": "rsa-2048", "usages": ("key_agreement",)}, "key-usage"),
    ({"purposes": ("1.3.6.1.5.5.7.3.1",)}, "wrong-purpose"),
    ({"kind": "rsa-1024"}, "weak-key"),
    ({"kind": "ed25519", "usages": None}, "key-kind"),
    ({"ca": True}, "authority"),
]


@pytest.mark.parametrize(("wishes", "word"), MISFITS, ids=lambda value: value if isinstance(value, str) else "")
def test_every_misfit_has_its_name(wishes: dict[str, Any], word: str) -> None:
    assert words(candidate(der(**wishes))) == [word]


@needs_openssl
def test_an_rsa_key_that_only_signs(tmp_path: Path) -> None:
    asked = ["openssl", "req", "-x509", "-newkey", "rsa-pss", "-pkeyopt", "rsa_keygen_bits:2048", "-nodes", "-batch"]
    names = [
        "-subj",
        "/CN=x",
        "-addext",
        f"subjectAltName=email:{BOB}",
        "-keyout",
        str(tmp_path / "k"),
        "-outform",
        "DER",
    ]
    made = subprocess.run([*asked, *names], capture_output=True, check=True).stdout
    assert words(candidate(made), now=time.time() + 60) == ["authority", "key-kind"]


def test_several_misfits_are_told_together() -> None:
    bad = der(emails=["x@y.example"], ends=NOW - DAY, kind="rsa-1024", usages=("digital_signature",))
    assert words(candidate(bad)) == ["wrong-address", "expired", "weak-key", "key-usage"]


def test_an_unreadable_certificate_and_one_that_waits() -> None:
    assert words(candidate(b"\x30\x03\x02\x01\x00")) == ["unreadable"]
    assert words(candidate(pending=True)) == ["not-approved"]


def test_the_ends_of_its_time_are_inside() -> None:
    one = candidate(der(begins=NOW, ends=NOW + DAY))
    assert words(one, now=EPOCH) == words(one, now=EPOCH + 86_400) == []
    assert words(one, now=EPOCH - 1) == ["not-yet-valid"]
    assert words(one, now=EPOCH + 86_401) == ["expired"]


def test_what_the_contract_asks_beyond() -> None:
    strict = Demands(min_rsa_bits=3072, require_usage=True)
    assert words(candidate(der(purposes=None)), demands=strict) == ["wrong-purpose"]
    assert words(candidate(der(kind="rsa-2048")), demands=strict) == ["weak-key"]
    assert words(candidate(der()), demands=strict) == []


def test_a_source_may_state_for_whom_it_is_and_know_other_addresses() -> None:
    other = der(emails=["robert@fabrikam.example"])
    assert words(candidate(other)) == ["wrong-address"]
    assert words(candidate(other, stated=True)) == []
    assert words(candidate(other, aliases=("smtp-nonsense", "Robert@fabrikam.example"))) == []


def test_a_domain_certificate_names_its_domain_or_its_authority() -> None:
    for_domain = {"found_for": "@fabrikam.example"}
    by_name = der(emails=[], dns_names=["fabrikam.example"])
    by_role = der(emails=["domain-confidentiality-authority@fabrikam.example"])
    for one in (by_name, by_role):
        assert words(candidate(one, **for_domain), "anybody@fabrikam.example") == []
        assert words(candidate(one, **for_domain), "anybody@wingtip.example") == ["wrong-address"]
    assert words(candidate(der(), **for_domain)) == ["wrong-address"]  # bob's own is not everybody's


def test_international_addresses() -> None:
    one = der(emails=[], utf8_mailboxes=["jörg@bücher.example"])
    assert words(candidate(one), "jörg@xn--bcher-kva.example") == []
    assert words(candidate(der(emails=["joe@xn--bcher-kva.example"])), "joe@bücher.example") == []
    assert words(candidate(one), "joerg@xn--bcher-kva.example") == ["wrong-address"]


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_none(text: str) -> None:
    assert isinstance(address_key(text), str)


# --- trust


RUNGS = [
    # what the source vouches for, what the judge says, the rung, the word
    (TrustRung.MANUAL, NONE, TrustRung.MANUAL, ""),
    (TrustRung.MANUAL, UNTRUSTED, TrustRung.MANUAL, ""),
    (TrustRung.MANUAL, PathVerdict(PathFault.REVOKED), None, "revoked"),
    (TrustRung.MANUAL, PathVerdict(PathFault.UNREACHABLE), None, "revocation-unreachable"),
    (TrustRung.ANCHORED, NONE, TrustRung.ANCHORED, ""),
    (TrustRung.ANCHORED, UNTRUSTED, None, "untrusted"),
    (TrustRung.ANCHORED, PathVerdict(PathFault.INVALID), None, "untrusted"),
    (TrustRung.ANCHORED, PathVerdict(PathFault.EXPIRED), None, "expired"),
    (TrustRung.ANCHORED, PathVerdict(PathFault.USAGE), None, "wrong-purpose"),
    (TrustRung.SECURE_DNS, NONE, TrustRung.ANCHORED, ""),
    (TrustRung.SECURE_DNS, UNTRUSTED, TrustRung.SECURE_DNS, ""),
    (TrustRung.SECURE_DNS, PathVerdict(PathFault.REVOKED), None, "revoked"),
    (TrustRung.SECURE_DNS, PathVerdict(PathFault.UNCHECKED), None, "revocation-unknown"),
    (TrustRung.HARVESTED, NONE, TrustRung.HARVESTED, ""),
    (TrustRung.HARVESTED, UNTRUSTED, None, "untrusted"),
]


@pytest.mark.parametrize(("vouched", "verdict", "rung", "word"), RUNGS, ids=str)
def test_the_rung_that_is_reached(vouched: TrustRung, verdict: PathVerdict, rung: TrustRung | None, word: str) -> None:
    found, reasons = trusted(candidate(rung=vouched), verdict, (), EPOCH)
    assert (found, [reason.word for reason in reasons]) == (rung, [word] if word else [])


def test_secure_dns_lifts_what_another_source_found() -> None:
    one = candidate(rung=TrustRung.ANCHORED)
    said = Association(3, 0, 1, hashlib.sha256(one.der).digest())
    assert trusted(one, UNTRUSTED, (said,), EPOCH) == (TrustRung.SECURE_DNS, ())
    assert trusted(one, UNTRUSTED, (replace(said, usage=1),), EPOCH)[0] is None
    assert trusted(one, PathVerdict(PathFault.REVOKED), (said,), EPOCH)[0] is None


# --- the choice


def judged(order: int = 0, rung: TrustRung | None = TrustRung.MANUAL, begins: float = 0.0, **fields: Any) -> Judged:
    return Judged(candidate(b"%d-%f" % (order, begins), **fields), order, rung, (), begins)


def test_rung_then_source_then_own_then_newest() -> None:
    ladder = [
        judged(9, TrustRung.MANUAL),
        judged(1, TrustRung.ANCHORED, begins=1.0, found_for=BOB),
        judged(1, TrustRung.ANCHORED, begins=0.5, found_for=BOB),
        judged(1, TrustRung.ANCHORED, begins=9.0, found_for="@fabrikam.example"),
        judged(2, TrustRung.ANCHORED, begins=8.0),
        judged(0, TrustRung.SECURE_DNS, begins=9.0),
        judged(0, TrustRung.HARVESTED, begins=9.9),
    ]
    for place in range(len(ladder)):
        for order in (ladder[place:], [*ladder[:place:-1], ladder[place]]):
            assert best(order) is ladder[place]
    assert best([judged(rung=None)]) is None
    assert best([]) is None


def test_what_can_still_take_the_place() -> None:
    chosen = judged(1, TrustRung.ANCHORED)
    assert beaten(chosen, TrustRung.ANCHORED, 2)
    assert beaten(chosen, TrustRung.HARVESTED, 0)
    assert not beaten(chosen, TrustRung.ANCHORED, 0)
    assert not beaten(chosen, TrustRung.MANUAL, 9)
    assert could_reach(candidate(rung=TrustRung.SECURE_DNS)) is TrustRung.ANCHORED
    assert could_reach(candidate(rung=TrustRung.HARVESTED)) is TrustRung.HARVESTED
    assert could_reach(candidate(rung=TrustRung.MANUAL)) is TrustRung.MANUAL


def test_why_each_other_one_was_not_chosen() -> None:
    chosen = judged(1, TrustRung.ANCHORED, begins=86_400.0 * 9, source="ldap")
    told = [
        why_not(one, chosen)
        for one in (
            judged(0, TrustRung.HARVESTED),
            judged(2, TrustRung.ANCHORED, source="ldap-2"),
            judged(1, TrustRung.ANCHORED, found_for="@fabrikam.example"),
            judged(1, TrustRung.ANCHORED, begins=86_400.0),
            replace(chosen, order=2),
        )
    ]
    assert told == [
        "harvested is a lower rung than anchored",
        "ldap stands before ldap-2",
        "the address has a certificate of its own",
        "it began on 1970-01-02, before the one that was chosen (1970-01-10)",
        "the same certificate was found by ldap",
    ]


@given(
    st.lists(
        st.tuples(st.sampled_from([None, *TrustRung]), st.integers(0, 3), st.booleans(), st.integers(0, 5)), max_size=8
    )
)
def test_the_choice_does_not_depend_on_the_order_of_arrival(rows: list[tuple[Any, int, bool, int]]) -> None:
    all_of = [
        judged(order, rung, float(begins), found_for="@fabrikam.example" if domain else BOB)
        for rung, order, domain, begins in rows
    ]
    one, other = best(all_of), best(all_of[::-1])
    assert (one is None) == (other is None) == all(not each.fits for each in all_of)
    if one and other:
        assert one.key == other.key == min(each.key for each in all_of if each.fits)


def test_all_that_was_found_is_told_once_and_within_bounds() -> None:
    one, many = candidate(b"1"), tuple((candidate(str(number).encode()), "why") for number in range(100))
    answer = DirectoryAnswer(DirectoryStatus.FOUND, one, others=many)
    found = certificates_of(answer)
    assert found[:3] == (b"1", b"0", b"2")
    assert len(found) == len(set(found)) == MOST_KNOWN
    assert certificates_of(DirectoryAnswer(DirectoryStatus.NONE)) == ()
