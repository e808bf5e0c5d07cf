"""A month with a partner: what is counted where, what is an exception, and that nothing is counted twice or guessed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.policy.month import SOON, Month

AT = 1_800_000_000.0
LEAF = {"subject": "CN=mx.fabrikam.example", "sha256": "ab" * 32, "not_before": 0, "not_after": 9_999_999_999}
TLS = {"used": True, "version": "1.3", "cipher": "AES_256", "group": "X25519MLKEM768", "chain": [LEAF]}
CLEAR = {"used": False}


def host(**more: Any) -> dict[str, Any]:
    return {"host": "mx.fabrikam.example", "port": 25, "verdict": "tls=verified", "tls": TLS, "days_left": 80, **more}


def delivered(*hosts: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"event": "delivery.delivered", "time": AT + 1, "recipients": ["bob@f.example"], "attempts": hosts, **more}


def message(*events: dict[str, Any], **more: Any) -> dict[str, Any]:
    told = {"address": "bob@f.example", "connector": "fabrikam", "state": "delivered", "reason": ""}
    return {
        "id": "01aaa",
        "received": AT,
        "inbound": "internal",
        "recipients": [{**told, **more.pop("recipient", {})}],
        "accepted": {"connector": "internal", "tls": TLS},
        "events": list(events),
        **more,
    }


def incoming(**accepted: Any) -> dict[str, Any]:
    recipient = {"connector": "internal"}
    known = {"connector": "fabrikam", "client": "192.0.2.1", "tls": TLS, "proven": True, "days_left": 80, **accepted}
    kept = {key: value for key, value in known.items() if value is not None}
    return message(delivered(host()), inbound="fabrikam", recipient=recipient, accepted=kept)


def page(*messages: dict[str, Any]) -> dict[str, Any]:
    month = Month("fabrikam")
    for each in messages:
        month.add(each)
    return month.document()


def test_what_left_over_verified_tls_is_counted_with_its_certificate_and_is_no_exception() -> None:
    found = page(message(delivered(host(tls={"used": False}, failure={"word": "timeout"}, verdict=""), host())))
    out = found["outbound"]
    assert (out["count"], out["level"], out["version"]) == (1, {"verified": 1}, {"1.3": 1})
    assert out["group"] == {"X25519MLKEM768": 1}
    [shown] = out["certificates"]
    assert (shown["count"], shown["days_left"], shown["sha256"]) == (1, 80, "ab" * 32)
    assert (found["in_clear"], found["exceptions"]) == (0, [])
    assert found["inbound"]["count"] == 0


@pytest.mark.parametrize(
    ("event", "level", "words"),
    [
        (delivered(host(tls=CLEAR, verdict="tls=none")), "none", "left in clear to mx.fabrikam.example"),
        (delivered(host(would="no-tls: not offered", verdict="tls=none", tls=CLEAR)), "none", "it would have waited"),
        (delivered(host(days_left=SOON - 1)), "verified", f"had {SOON - 1} days left"),
        (delivered(), "unknown", "which host took it is not in the history"),
        ({"event": "delivery.deferred", "time": AT, "recipients": ["bob@f.example"]}, "unknown", "how it left is not"),
    ],
)
def test_whatever_is_not_as_it_should_be_is_an_exception_with_its_id(
    event: dict[str, Any], level: str, words: str
) -> None:
    found = page(message(event))
    assert found["outbound"]["level"] == {level: 1}
    assert found["in_clear"] == (level == "none")
    assert any(words in each["what"] and each["id"] == "01aaa" for each in found["exceptions"])


@pytest.mark.parametrize("state", ["queued", "held", "failed", "expired", "deleted"])
def test_what_did_not_leave_is_counted_nowhere_and_told(state: str) -> None:
    found = page(message(recipient={"state": state, "reason": "mailbox full"}))
    assert found["outbound"]["count"] == 0
    [told] = found["exceptions"]
    assert told["what"].startswith("bob@f.example: ")
    assert told["what"].endswith(": mailbox full")


def test_what_went_to_the_portal_crossed_no_connection() -> None:
    done = [{"to": ["bob@f.example"], "item": "i1", "label": "confidential"}]
    found = page(message(delivered(protection=done)))
    assert (found["outbound"]["level"], found["outbound"]["smime"], found["in_clear"]) == (
        {"portal": 1},
        {"portal": 1},
        0,
    )


def test_smime_is_counted_for_whom_it_was_made() -> None:
    done = [
        {"to": ["bob@f.example"], "signed": {"sha256": "cd", "scheme": "rsa"}, "encrypted": [{"for": "bob@f.example"}]},
        {"to": ["eve@f.example"], "signed": False, "encrypted": [{"for": "eve@f.example"}]},
    ]
    assert page(message(delivered(host(), protection=done)))["outbound"]["smime"] == {"signed": 1, "encrypted": 1}


@pytest.mark.parametrize(
    ("accepted", "level", "words"),
    [
        ({}, "certificate", ""),
        ({"proven": False}, "encrypted", ""),
        ({"tls": CLEAR, "days_left": None}, "none", "came in clear from 192.0.2.1"),
        ({"would": {"decision": "refuse"}}, "certificate", "enforced, it would have been: refuse"),
        ({"days_left": 3}, "certificate", "had 3 days left"),
    ],
)
def test_what_came_is_counted_by_what_the_client_proved(accepted: dict[str, Any], level: str, words: str) -> None:
    found = page(incoming(**accepted))
    assert found["inbound"]["level"] == {level: 1}
    assert found["outbound"]["count"] == 0
    assert [words in each["what"] for each in found["exceptions"]] == ([True] if words else [])


def test_mail_of_others_is_not_looked_at() -> None:
    found = page(message(delivered(host()), recipient={"connector": "other"}))
    assert (found["messages"], found["outbound"]["count"], found["exceptions"]) == (0, 0, [])


_MESSAGES = st.lists(
    st.sampled_from(
        [
            message(delivered(host())),
            message(delivered(host(tls=CLEAR, verdict="tls=none")), id="01bbb"),
            message(recipient={"state": "held"}, id="01ccc"),
            incoming(),
            incoming(tls=CLEAR, days_left=None),
            message(recipient={"connector": "other"}),
        ]
    ),
    max_size=8,
)


@given(_MESSAGES, st.randoms(use_true_random=False))
def test_every_table_adds_up_and_the_order_does_not_matter(messages: list[dict[str, Any]], random: Any) -> None:
    found = page(*messages)
    for way in ("inbound", "outbound"):
        for table in ("level", "version", "group"):
            assert sum(found[way][table].values()) == found[way]["count"]
    assert found["in_clear"] == sum(found[way]["level"].get("none", 0) for way in ("inbound", "outbound"))
    shuffled = list(messages)
    random.shuffle(shuffled)
    assert page(*shuffled) == found
