"""Which signatures a change breaks, found without any key; the verifier is the judge."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.model.auth import AuthResult
from mta.rfc.dkim.body import body_hashes
from mta.rfc.dkim.survive import broken
from mta.rfc.dkim.verify import body_requests
from tests.support.signatures import (
    MESSAGE,
    auth_message,
    ed25519_signer,
    judged,
    rsa_signer,
    signed,
)

SIGNED = signed(MESSAGE, rsa_signer(), ed25519_signer())


def lost(before: bytes, after: bytes, good: tuple[bool, ...] = (True, True)) -> list[str]:
    """The selectors of what broke, with the first words of the reason."""
    old, new = auth_message(before), auth_message(after)
    hashes = body_hashes(new, body_requests(old.block))
    found = broken(good, old.block, new.block, hashes)
    return [f"{one.selector}: {one.reason}" for one in found]


def test_what_is_added_in_front_breaks_nothing() -> None:
    assert lost(SIGNED, b"Received: from a\r\nAuthentication-Results: x; none\r\n" + SIGNED) == []
    assert lost(SIGNED, SIGNED) == []


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        (b"Subject: another\r\n" + SIGNED, "header fields it signs were changed: subject"),
        (SIGNED.replace(b"Figures", b"figures"), "header fields it signs were changed: subject"),
        (SIGNED.replace(b"all is well", b"all is lost"), "the body it signs was changed"),
        (SIGNED + b"-- \r\na footer\r\n", "the body it signs was changed"),
    ],
)
def test_what_changes_signed_things_breaks_every_signature(after: bytes, reason: str) -> None:
    assert lost(SIGNED, after) == [f"r: {reason}", f"e: {reason}"]
    assert lost(SIGNED, after, (False, True)) == [f"e: {reason}"]
    assert lost(SIGNED, after, (False, False)) == []


def test_a_signature_that_was_taken_out_is_named() -> None:
    alone = signed(MESSAGE, rsa_signer())
    assert lost(SIGNED, alone) == ["e: the signature was taken out"]


async def test_a_field_that_was_signed_as_absent_breaks_it_when_it_comes() -> None:
    """Some signers oversign Authentication-Results: whoever adds one breaks their signature."""
    forged = b"Authentication-Results: mx.contoso.example; dkim=pass\r\n"
    strict = _strict(forged + MESSAGE, (b"authentication-results",) * 2)
    assert [outcome.result for outcome in await judged(strict)] == [AuthResult.PASS]
    reason = "r: header fields it signs were changed: authentication-results"
    assert lost(strict, strict.replace(forged, b""), (True,)) == [reason]
    assert lost(strict, forged + strict, (True,)) == [reason]
    assert lost(strict, b"Received: from a\r\n" + strict, (True,)) == []


def _strict(raw: bytes, more: tuple[bytes, ...]) -> bytes:
    """Signed by dkimpy, which lets us name what is covered."""
    import dkim

    from tests.support.signatures import DOMAIN, pem, rsa_key

    names = [b"from", b"to", b"subject", *more]
    return bytes(dkim.sign(raw, b"r", DOMAIN.encode(), pem(rsa_key()), include_headers=names)) + raw


PIECES = st.sampled_from([b"x", b" ", b"\t", b"\r\n", b"  y", b"Z"])


@given(st.integers(0, len(SIGNED)), PIECES)
async def test_it_agrees_with_the_verifier(place: int, piece: bytes) -> None:
    """Whatever is put in anywhere: what is called broken does not verify, and the rest still does."""
    changed = SIGNED[:place] + piece + SIGNED[place:]
    results = {outcome.selector: outcome.result for outcome in await judged(changed)}
    for selector in ("r", "e"):
        called = any(one.startswith(f"{selector}:") for one in lost(SIGNED, changed))
        assert called is (results.get(selector) is not AuthResult.PASS), (changed, results)
