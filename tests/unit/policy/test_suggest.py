"""Proposals rest on what held every time, and would have let all of that mail through."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.config.load import load_text
from mta.contract.connectors import Connector
from mta.contract.index import ConnectorIndex
from mta.contract.outbound import Outbound, OutboundTls
from mta.importers.draft import Draft, render
from mta.model.auth import AuthResult
from mta.model.tls import TlsLevel
from mta.policy.replay import replay
from mta.policy.suggest import suggest
from tests.unit.policy.history import ALICE, BOB, CLEAR, EVE, LEAF, came, found, spoken, went
from tests.unit.policy.world import NOW, index

OPPORTUNISTIC = Connector("default", outbound=Outbound(tls=OutboundTls(TlsLevel.OPPORTUNISTIC)))
FREE = index(OPPORTUNISTIC, Connector("fabrikam", domains=("claimed.example",)))
SIGNED = found("fabrikam.example")


def proposed(*messages: dict[str, Any], least: int = 1) -> Draft:
    return suggest(FREE, messages, least)


def only(*messages: dict[str, Any]) -> dict[str, Any]:
    draft = proposed(*messages)
    [keys] = draft.connectors.values()
    return keys


@pytest.mark.parametrize(
    ("messages", "inbound"),
    [
        ([came(), came()], {"tls": "required", "identity": "none"}),
        (
            [came(tls=spoken(LEAF)), came(tls=spoken(LEAF))],
            {"tls": {"client_certificate": {"pins": [f"spki-sha256:{LEAF.spki_sha256}"]}}},
        ),
        ([came(tls=spoken(LEAF)), came()], {"tls": "required", "identity": "none"}),
        (
            [came(authentication=SIGNED), came(tls=CLEAR, authentication=SIGNED)],
            {"authentication": {"dkim": "aligned", "min_rsa_bits": 2048}, "identity": "none"},
        ),
        (
            [came(tls=CLEAR, authentication=found("fabrikam.example", bits=1024))],
            {"authentication": {"dkim": "aligned"}, "identity": "none"},
        ),
        (
            [came(tls=CLEAR, authentication=found(spf=AuthResult.PASS))],
            {"authentication": {"spf": "pass"}, "identity": "none"},
        ),
    ],
)
def test_what_held_every_time_is_demanded(messages: list[dict[str, Any]], inbound: dict[str, Any]) -> None:
    assert only(*messages) == {"mode": "audit", "domains": ["fabrikam.example"], "inbound": inbound}


def test_mail_goes_as_safely_as_it_went() -> None:
    assert only(went(), went())["outbound"] == {"route": "mx", "tls": {"level": "encrypted"}}
    assert only(went(verdict="tls=verified:dane"))["outbound"]["tls"] == {"level": "verified"}
    assert proposed(went(), went(tls=CLEAR, verdict="tls=none")).connectors == {}
    encrypted = index(Connector("default"), Connector("fabrikam", domains=("claimed.example",)))
    assert suggest(encrypted, [went()], 1).connectors == {}  # default promises as much already


@pytest.mark.parametrize(
    "message",
    [
        came("x@claimed.example"),
        came(inbound="fabrikam"),
        came(ALICE),
        came(tls=CLEAR),
        went(connector="fabrikam"),
        came("") | {"accepted": {"notice": "failure"}},
    ],
)
def test_what_has_a_contract_is_ours_or_proves_nothing_is_left_alone(message: dict[str, Any]) -> None:
    assert proposed(message).connectors == {}


def test_a_proposal_rests_on_enough_messages_and_says_on_what() -> None:
    assert proposed(came(), came(), least=3).connectors == {}
    draft = proposed(came(), came(EVE, author=BOB), came(), least=3)
    assert list(draft.connectors) == ["fabrikam.example"]
    notes = [str(one) for one in draft.differences]
    assert "all 3 messages came over TLS (1.3)" in notes
    assert "they came from 203.0.113.9: write them as `networks` if these are the partner's hosts" in notes


MESSAGES = st.one_of(
    st.builds(
        came,
        st.sampled_from([BOB, EVE, ""]),
        client=st.sampled_from(["203.0.113.9", "2001:db8::1"]),
        tls=st.sampled_from(
            [
                CLEAR,
                spoken(),
                spoken(LEAF),
                spoken(replace(LEAF, spki_sha256="q7vM3e7/ABEiM0RVZneImaq7zN3u/wARIjNEVWZ3iJk=")),
            ]
        ),
        author=st.sampled_from(["", BOB, EVE]),
        authentication=st.sampled_from([None, found(), SIGNED, found("tailspin.example", spf=AuthResult.PASS)]),
    ),
    st.builds(went, st.sampled_from([BOB, EVE]), tls=st.sampled_from([CLEAR, spoken(LEAF)])),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(MESSAGES, max_size=6))
def test_a_proposal_would_have_let_all_of_it_through(messages: list[dict[str, Any]]) -> None:
    """Put into the file and enforced, it refuses nothing of what it was made of, and `mta check` takes it."""
    draft = proposed(*messages)
    for keys in draft.connectors.values():
        keys["mode"] = "enforce"
    draft.connectors["internal"] = {"relay": True, "inbound": {"networks": ["10.0.0.0/8"]}}
    draft.connectors["default"] = {
        "inbound": {"authentication": {"dmarc": "report"}},
        "outbound": {"tls": {"level": "opportunistic"}},
    }
    draft.domains["contoso.example"] = {"deliver_to": ["mail.contoso.example"], "connector": "internal"}
    known = ConnectorIndex(load_text(render(draft, "made of a test"), "c.yaml", now=NOW, cpus=1))
    for message in messages:
        document = replay(known, message)
        assert document is not None
        assert document["outcome"] != "worse", document
