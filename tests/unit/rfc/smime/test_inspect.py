"""Any CMS as a tree: everything of it is there, and nothing that a stranger sends ends in an exception of Python's."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.errors import SmimeError
from mta.rfc.smime import inspect as module
from mta.rfc.smime.bounds import MAX_DEPTH
from mta.rfc.smime.encrypt import enveloped_data, prepare_recipient
from mta.rfc.smime.inspect import MAX_LAYERS, cms_in, inspect
from mta.rfc.smime.profile import PROFILES
from mta.rfc.smime.sign import prepare_signer, signed_data
from tests.support.corpora import files
from tests.support.smime import (
    ENTITY,
    NOW,
    QUANTUM_RECEIVING,
    QUANTUM_SIGNING,
    RECEIVING,
    SIGNING,
    person,
)
from tests.support.smime_mail import MESSAGE, anna, berta, sign, sign_and_encrypt

DEFAULT, QUANTUM = PROFILES["default"], PROFILES["post-quantum"]


def signed(kind: str = "p256", content: bytes = ENTITY) -> bytes:
    signer = prepare_signer(person(kind).identity, QUANTUM if kind in QUANTUM_SIGNING else DEFAULT)
    return signed_data([signer], content, detached=False, signing_time=NOW)


WHOLE = signed("ed25519")


def unreadable(tree: Any) -> Iterator[Any]:
    """What could not be shown, wherever it lies."""
    if isinstance(tree, dict):
        yield from [tree["unreadable"]] if "unreadable" in tree else []
        for value in tree.values():
            yield from unreadable(value)
    if isinstance(tree, list):
        for value in tree:
            yield from unreadable(value)


@pytest.mark.parametrize("kind", [*SIGNING, *QUANTUM_SIGNING])
def test_every_signature_is_shown_whole(kind: str) -> None:
    tree = inspect(signed(kind))
    assert list(unreadable(tree)) == []
    assert (tree["layer"], tree["content_type"]) == (1, "signed-data")
    [signer] = tree["content"]["signer_infos"]
    kinds = {one["type"] for one in signer["signed_attrs"]}
    assert kinds >= {"contentType", "signingTime", "messageDigest", "smimeCapabilities"}
    subjects = [one["certificate"]["subject"] for one in tree["content"]["certificates"]]
    assert "Common Name: anna" in subjects
    json.dumps(tree)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("kind", [*RECEIVING, *QUANTUM_RECEIVING])
def test_every_recipient_is_shown_whole(profile: str, kind: str) -> None:
    chosen = QUANTUM if kind in QUANTUM_RECEIVING else PROFILES[profile]
    tree = inspect(enveloped_data([prepare_recipient(person(kind).der, chosen)], ENTITY, chosen, os.urandom))
    assert list(unreadable(tree)) == []
    [recipient] = tree["content"]["recipient_infos"]
    assert set(recipient) <= {"ktri", "kari", "ori"}
    assert "inside" not in tree  # it is encrypted
    json.dumps(tree)


def test_layers_that_lie_open_are_shown_one_in_the_other() -> None:
    inner = signed()
    entity = b"Content-Type: application/pkcs7-mime\r\nContent-Transfer-Encoding: binary\r\n\r\n"
    for content in (inner, entity + inner):
        tree = inspect(signed(content=content))
        [inside] = tree["inside"]
        assert (inside["layer"], inside["content_type"]) == (2, "signed-data")


def test_layers_and_values_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    data = signed()
    for _ in range(MAX_LAYERS):
        data = signed(content=data)
    tree = inspect(data)
    for _ in range(MAX_LAYERS - 1):
        [tree] = tree["inside"]
    assert "more than" in tree["inside"]
    monkeypatch.setattr(module, "MAX_VALUES", 20)
    assert "..." in json.dumps(inspect(signed()))
    monkeypatch.setattr(module, "MAX_OCTETS", 100)
    with pytest.raises(SmimeError, match="more than the 100"):
        inspect(signed())


def test_what_is_nested_beyond_bounds_is_no_recursion() -> None:
    nested = b""
    for _ in range(MAX_DEPTH + 10):
        length = len(nested)
        nested = (b"\x30" + (bytes([length]) if length < 128 else b"\x82" + length.to_bytes(2, "big"))) + nested
    with pytest.raises(SmimeError, match="deep"):
        inspect(nested)


@pytest.mark.parametrize(
    "data", [b"", b"\x30", b"\x30\x00", b"\x30\x03\x06\x01\x2a", b"\x04\x01x", b"\x30\x02\x05\x00"]
)
def test_what_is_no_cms_is_a_declared_error(data: bytes) -> None:
    with pytest.raises(SmimeError):
        inspect(data)


def test_a_sequence_that_claims_to_be_a_simple_value_is_no_recursion() -> None:
    """Found by the test below: asn1crypto takes it for a sequence, whatever its identifier octet says."""
    tampered = bytearray(WHOLE)
    for place in [place for place, octet in enumerate(WHOLE) if octet in (0x30, 0x31)]:
        tampered[place] &= ~0x20
        with contextlib.suppress(SmimeError):
            json.dumps(inspect(bytes(tampered)))
        tampered[place] |= 0x20


@given(st.data())
def test_any_octet_may_be_another(data: st.DataObject) -> None:
    whole = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(SmimeError):
        json.dumps(inspect(bytes(whole)))


def test_the_examples_of_rfc_4134_are_shown() -> None:
    seen = set()
    for path in files("smime-rfc4134"):
        data = path.read_bytes()
        if path.suffix == ".bin" and data[:1] == b"\x30":
            try:
                tree = inspect(data)
            except SmimeError:
                continue
            seen.add(tree["content_type"])
            json.dumps(tree)
    assert {"signed-data", "enveloped-data"} <= seen


def test_messages_give_what_they_carry() -> None:
    [signature] = cms_in(sign(MESSAGE, anna()))
    assert inspect(signature)["content_type"] == "signed-data"
    [envelope] = cms_in(sign_and_encrypt(MESSAGE, anna(), berta()))
    assert inspect(envelope)["content_type"] in ("enveloped-data", "auth-enveloped-data")
    assert cms_in(MESSAGE) == ()
