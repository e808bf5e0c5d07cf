"""What we do to a message, and the signatures it came with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import dkim

from mta.model.auth import AuthenticationFacts, AuthResult, SpfOutcome
from mta.model.envelope import Envelope
from mta.model.evidence.authentication import facts_to_json
from mta.model.message import Content, QueuedMessage
from mta.pipeline.survive import broken_on_arrival, broken_on_leaving, broken_signatures
from tests.support.signatures import DOMAIN, MESSAGE, NOW, auth_message, judged, pem, rsa_key, rsa_signer, signed

NONE = SpfOutcome(AuthResult.NONE)
RECEIVED = b"Received: from a by mx.contoso.example; now\r\n"
RESULTS = b"Authentication-Results: mx.contoso.example; dkim=pass\r\n"


def oversigned(raw: bytes) -> bytes:
    """Signed so that no Authentication-Results may be added."""
    names = [b"from", b"subject", b"authentication-results"]
    return bytes(dkim.sign(raw, b"r", DOMAIN.encode(), pem(rsa_key()), include_headers=names)) + raw


async def facts(raw: bytes) -> AuthenticationFacts:
    return AuthenticationFacts(NONE, NONE, await judged(raw))


async def arrived(raw: bytes, kept: bytes | None = None) -> list[str]:
    block = auth_message(raw).block
    content = Content(len(raw), block.raw if kept is None else kept)
    return [one.reason for one in broken_on_arrival(await facts(raw), block, content, RESULTS + RECEIVED)]


async def test_our_fields_in_front_break_only_who_signed_their_absence() -> None:
    assert await arrived(signed(MESSAGE, rsa_signer())) == []
    assert await arrived(oversigned(MESSAGE)) == ["header fields it signs were changed: authentication-results"]
    assert await arrived(oversigned(MESSAGE).replace(b"Figures", b"figures")) == []  # it was bad before us


async def test_a_forged_field_that_was_signed_and_is_cut_out_is_told() -> None:
    raw = signed(MESSAGE, rsa_signer())
    assert await arrived(raw, raw.replace(b"Subject: Figures\r\n", b"")) == [
        "header fields it signs were changed: subject"
    ]


async def stored(raw: bytes) -> QueuedMessage:
    evidence: dict[str, object] = {"authentication": facts_to_json(await facts(raw))}
    return QueuedMessage("1", Envelope(None), Content(len(raw), raw), RESULTS + RECEIVED, NOW, "a", (), evidence)


async def test_a_message_that_leaves_as_it_was_stored_loses_nothing() -> None:
    message = await stored(signed(MESSAGE, rsa_signer()))
    assert await broken_on_leaving(message, message) == ()
    added = replace(message, prefix=b"DKIM-Signature: v=1; b=x\r\n" + message.prefix)
    assert await broken_on_leaving(message, added) == ()


async def test_what_a_step_rewrites_is_told_from_memory_and_from_a_file(tmp_path: Path) -> None:
    raw = signed(MESSAGE, rsa_signer())
    message = await stored(raw)
    changed = raw.replace(b"all is well", b"all is sealed")
    spool = tmp_path / "spooled"
    spool.write_bytes(changed)
    head = changed[: changed.index(b"\r\n\r\n") + 4]
    for content in (Content(len(changed), changed), Content(len(changed), path=str(spool), head=head)):
        [lost] = await broken_on_leaving(message, replace(message, content=content))
        assert str(lost) == f"r._domainkey.{DOMAIN}: the body it signs was changed"
    nobody = replace(message, evidence={})
    assert await broken_on_leaving(nobody, replace(nobody, content=Content(len(changed), changed))) == ()


async def test_what_the_evidence_tells_is_read_back() -> None:
    message = await stored(MESSAGE)
    assert broken_signatures(message) == []
    told: dict[str, object] = {"authentication": {"broken_signatures": ["r._domainkey.x: why"]}}
    assert broken_signatures(replace(message, evidence=told)) == ["r._domainkey.x: why"]
