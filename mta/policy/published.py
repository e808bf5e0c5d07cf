"""Whether DNS publishes the keys that sign for us: what `mta check --dns` says of each."""

from __future__ import annotations

from dataclasses import dataclass

from mta.contract.dkim import DkimKey
from mta.ports import DnsStatus, TxtAnswer
from mta.rfc.dkim.key import PublicKey
from mta.rfc.dkim.record import differences, is_test, key_records, record_name

_SHOW = "`mta keys dkim show` prints the record"


@dataclass(frozen=True, slots=True)
class Doubt:
    """What is to be said of a key's record. `grave`: mail that is signed with the key now fails to verify."""

    grave: bool
    message: str
    hint: str = ""


def ended(key: DkimKey, now: float) -> bool:
    """Whether the key signs nothing any more at epoch second `now`."""
    return bool(key.until) and key.until <= now


def judge_record(domain: str, key: DkimKey, public: PublicKey, answer: TxtAnswer, now: float) -> Doubt | None:
    """What `answer`, the TXT records at the key's name, leaves to be said at epoch second `now`; None: all is well.

    A key that is still to come is given time: what is grave of a key in use is a warning there.
    """
    name, grave = record_name(key.selector, domain), key.since <= now
    if answer.status is DnsStatus.TEMPORARY:
        return Doubt(False, f"{name} could not be looked up: {answer.detail or 'no answer'}", "try again later")
    records = key_records(answer.records)
    if not records:
        return Doubt(grave, f"there is no TXT record at {name}", _SHOW)
    if len(records) > 1:  # RFC 6376 §3.6.2.2: what several records mean is not defined
        return Doubt(grave, f"there are {len(records)} TXT records at {name}", "one key stands at one name")
    faults = differences(records[0], public, key.service)
    if faults:
        return Doubt(grave, f"the record at {name} does not fit: {'; '.join(faults)}", _SHOW)
    if is_test(records[0]):
        return Doubt(False, f"the record at {name} says t=y: signatures are treated as a test", "remove t=y")
    return None
