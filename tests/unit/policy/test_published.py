"""What is said of the record of a key that signs for us."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mta.contract.dkim import DkimKey
from mta.policy.published import Doubt, ended, judge_record
from mta.ports import DnsStatus, TxtAnswer
from mta.rfc.dkim.record import compose_record

PUBLIC = Ed25519PrivateKey.generate().public_key()
RECORD = compose_record(PUBLIC).encode()
OTHER = compose_record(Ed25519PrivateKey.generate().public_key()).encode()
KEY = DkimKey("s1", "", 100.0, "ed25519-sha256", 200.0)
NAME = "s1._domainkey.own.example"


def judged(*records: bytes, now: float = 150.0, status: DnsStatus = DnsStatus.OK) -> Doubt | None:
    return judge_record("own.example", KEY, PUBLIC, TxtAnswer(status, records, detail="SERVFAIL"), now)


def test_the_right_record_leaves_nothing_to_say():
    assert judged(RECORD) is None
    assert judged(b"v=spf1 -all", RECORD) is None
    assert judged(RECORD, RECORD) is None
    assert judged(RECORD, RECORD.replace(b"; ", b";") + b" ;") is None


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ((), f"there is no TXT record at {NAME}"),
        ((OTHER,), f"the record at {NAME} does not fit: it publishes another key than ours"),
        ((RECORD, OTHER), f"there are 2 TXT records at {NAME}"),
    ],
)
def test_what_breaks_mail_is_grave_as_soon_as_the_key_signs(records: tuple[bytes, ...], message: str):
    for now, grave in ((99.0, False), (100.0, True)):
        doubt = judged(*records, now=now)
        assert doubt is not None
        assert (doubt.grave, doubt.message) == (grave, message)


@pytest.mark.parametrize("status", [DnsStatus.NODATA, DnsStatus.NXDOMAIN])
def test_no_name_and_no_record_are_the_same(status: DnsStatus):
    assert judged(status=status) == judged()


def test_what_cannot_be_known_now_is_only_a_warning():
    message = f"{NAME} could not be looked up: SERVFAIL"
    assert judged(status=DnsStatus.TEMPORARY) == Doubt(False, message, "try again later")


def test_a_record_under_test_is_a_warning():
    doubt = judged(RECORD + b"; t=y")
    assert doubt is not None
    assert not doubt.grave
    assert "says t=y" in doubt.message


def test_a_key_ends_at_its_until():
    assert not ended(KEY, 199.0)
    assert ended(KEY, 200.0)
    assert not ended(DkimKey("s", ""), 1e12)
