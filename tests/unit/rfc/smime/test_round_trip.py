"""What we sign verifies and what we encrypt opens, for every kind of key under every profile."""

from __future__ import annotations

import os

import pytest

from mta.errors import SmimeError
from mta.model.smime import SignatureStatus
from mta.rfc.smime.decrypt import NOT_OURS, decrypt
from mta.rfc.smime.encrypt import enveloped_data, enveloped_pieces, prepare_recipient
from mta.rfc.smime.profile import PROFILES, with_words
from mta.rfc.smime.sign import prepare_signer, signed_data
from mta.rfc.smime.verify import verify_signed_data
from tests.support.smime import (
    ENTITY,
    NOW,
    QUANTUM_RECEIVING,
    QUANTUM_SIGNING,
    RECEIVING,
    SIGNING,
    person,
)


def supported(classic: list[str], quantum: list[str]) -> list[tuple[str, str]]:
    pairs = [(profile, kind) for profile in PROFILES for kind in classic]
    return pairs + [("post-quantum", kind) for kind in quantum]


@pytest.mark.parametrize("detached", [True, False])
@pytest.mark.parametrize(("profile", "kind"), supported(SIGNING, QUANTUM_SIGNING))
def test_what_is_signed_verifies(profile: str, kind: str, detached: bool) -> None:
    signer = prepare_signer(person(kind).identity, PROFILES[profile])
    der = signed_data([signer], ENTITY, detached=detached, signing_time=NOW)
    outcome = verify_signed_data(der, ENTITY if detached else None)
    assert outcome.good, outcome
    (found,) = outcome.signers
    assert found.certificate == person(kind).der
    assert found.signing_time == NOW
    assert found.capabilities[0] == "aes256-gcm"
    assert outcome.content == (None if detached else ENTITY)


@pytest.mark.parametrize("naming", ["issuer-serial", "ski"])
@pytest.mark.parametrize(("profile", "kind"), supported(RECEIVING, QUANTUM_RECEIVING))
def test_what_is_encrypted_opens(profile: str, kind: str, naming: str) -> None:
    chosen = with_words(PROFILES[profile], recipient_identifier=naming)
    receiver = person(kind)
    der = enveloped_data([prepare_recipient(receiver.der, chosen)], ENTITY, chosen, os.urandom)
    outcome = decrypt(der, [receiver.decryption_key])
    assert outcome.content == ENTITY, outcome
    assert outcome.cipher == chosen.cipher
    assert outcome.authenticated == chosen.cipher.endswith("gcm")
    stranger = person(kind, "stranger").decryption_key
    assert decrypt(der, [stranger]).reason == NOT_OURS


@pytest.mark.parametrize("profile", ["default", "post-quantum"])
def test_one_envelope_for_several_recipients_opens_for_each(profile: str) -> None:
    chosen = PROFILES[profile]
    kinds = ["rsa", "p256", "x25519", *(QUANTUM_RECEIVING if chosen.post_quantum else [])]
    recipients = [prepare_recipient(person(kind).der, chosen) for kind in kinds]
    der = enveloped_data(recipients, ENTITY, chosen, os.urandom)
    for kind in kinds:
        outcome = decrypt(der, [person("p384").decryption_key, person(kind).decryption_key])
        assert outcome.content == ENTITY
        assert len(outcome.recipients) == len(kinds)


def test_several_signers_are_all_judged() -> None:
    signers = [prepare_signer(person(kind).identity, PROFILES["default"]) for kind in ("rsa", "p384", "ed25519")]
    outcome = verify_signed_data(signed_data(signers, ENTITY, detached=True, signing_time=NOW), ENTITY)
    assert outcome.good
    assert {signer.scheme for signer in outcome.signers} == {"rsa-pkcs1-sha256", "ecdsa-sha384", "ed25519"}
    changed = verify_signed_data(signed_data(signers, ENTITY, detached=True, signing_time=NOW), ENTITY + b"!")
    assert [signer.status for signer in changed.signers] == [SignatureStatus.BAD] * 3


@pytest.mark.parametrize("kind", QUANTUM_SIGNING)
def test_ml_dsa_needs_its_profile(kind: str) -> None:
    with pytest.raises(SmimeError, match="post-quantum"):
        prepare_signer(person(kind).identity, PROFILES["default"])


@pytest.mark.parametrize("kind", QUANTUM_RECEIVING)
def test_ml_kem_needs_its_profile(kind: str) -> None:
    with pytest.raises(SmimeError, match="post-quantum"):
        prepare_recipient(person(kind).der, PROFILES["authenticated"])


@pytest.mark.parametrize("sizes", [(65_535,), (65_536,), (65_537, 0, 3), (1, 200_000, 7), ()])
@pytest.mark.parametrize("profile", ["default", "authenticated"])
def test_a_content_in_pieces_is_the_same_as_in_one(profile: str, sizes: tuple[int, ...]) -> None:
    pieces = [memoryview(os.urandom(size)) for size in sizes]
    whole = b"".join(pieces)
    chosen = PROFILES[profile]
    recipient, key = prepare_recipient(person("p256").der, chosen), person("p256").decryption_key
    sealed = b"".join(enveloped_pieces([recipient], pieces, chosen, os.urandom))
    assert decrypt(sealed, [key]).content == whole
    signer = prepare_signer(person("p256").identity, chosen)
    assert verify_signed_data(signed_data([signer], pieces, detached=True, signing_time=NOW), whole).good
    opaque = verify_signed_data(signed_data([signer], pieces, detached=False, signing_time=NOW), None)
    assert (opaque.good, opaque.content) == (True, whole)
