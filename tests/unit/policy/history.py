"""Messages as `mta trace --json` tells of them, made by hand."""

from __future__ import annotations

from typing import Any

from mta.model.auth import AuthenticationFacts, AuthResult, DkimOutcome, SenderOutcome, SpfOutcome
from mta.model.evidence.authentication import facts_to_json
from mta.model.evidence.tls import certificate_to_json
from mta.model.tls import CertificateFacts
from tests.unit.policy.world import NOW, certificate

ALICE, BOB, EVE = "alice@contoso.example", "bob@fabrikam.example", "eve@tailspin.example"


def spoken(leaf: CertificateFacts | None = None, version: str = "1.3") -> dict[str, Any]:
    """The evidence of a handshake."""
    chain = [certificate_to_json(leaf)] if leaf else []
    return {"used": True, "version": version, "cipher": "TLS_AES_256_GCM_SHA384", "chain": chain}


CLEAR = {"used": False}
TLS = spoken()


def found(*signers: str, spf: AuthResult = AuthResult.NONE, bits: int = 2048) -> dict[str, Any]:
    """What SPF and DKIM found: a good signature of each of these domains."""
    dkim = tuple(DkimOutcome(AuthResult.PASS, domain, "s", "rsa-sha256", key_bits=bits) for domain in signers)
    none = SpfOutcome(AuthResult.NONE)
    sender = SenderOutcome(AuthResult.PASS)
    return facts_to_json(AuthenticationFacts(none, SpfOutcome(spf, "x"), dkim, None, None, sender))


def came(
    sender: str = BOB,
    *,
    client: str = "203.0.113.9",
    tls: dict[str, Any] = TLS,
    author: str | None = "",
    authentication: dict[str, Any] | None = None,
    inbound: str = "default",
) -> dict[str, Any]:
    """A message to Alice; `author` empty: the sender, None: not kept."""
    accepted: dict[str, Any] = {"client": client, "helo": "h", "tls": tls}
    if author is not None:
        accepted["from"] = {"authors": [author or sender] if author or sender else [], "count": 1}
    if authentication is not None:
        accepted["authentication"] = authentication
    recipients = [{"address": ALICE, "connector": "internal"}]
    return {
        "id": "1",
        "sender": sender,
        "received": NOW,
        "inbound": inbound,
        "accepted": accepted,
        "recipients": recipients,
        "events": [],
    }


def went(
    to: str = BOB,
    *,
    tls: dict[str, Any] = TLS,
    verdict: str = "tls=encrypted",
    connector: str = "default",
    host: tuple[str, int] = ("mx.fabrikam.example", 25),
) -> dict[str, Any]:
    """A message of Alice's that was handed on."""
    attempt = {"host": host[0], "port": host[1], "address": "192.0.2.1", "verdict": verdict, "tls": tls}
    event = {"time": NOW + 1, "event": "delivery.delivered", "recipients": [to], "attempts": [attempt]}
    accepted = {"client": "10.1.2.3", "helo": "h", "tls": CLEAR, "from": {"authors": [ALICE], "count": 1}}
    return {
        "id": "2",
        "sender": ALICE,
        "received": NOW,
        "inbound": "internal",
        "accepted": accepted,
        "recipients": [{"address": to, "connector": connector}],
        "events": [event],
    }


LEAF = certificate(spki_sha256="qrvM3e7/ABEiM0RVZneImaq7zN3u/wARIjNEVWZ3iJk=")
