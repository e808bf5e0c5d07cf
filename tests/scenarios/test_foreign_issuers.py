"""Tokens of other organisations' issuers: believed for their own domains, and for nothing else."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from mta.rfc.tdf.open import read_protected
from tests.support.issuer import SmallIssuer, small_issuer
from tests.support.key_server import BOB, CONFIG, Client, KeyServer, running_key_server


@pytest.fixture
def issuer() -> Iterator[SmallIssuer]:
    with small_issuer() as running:
        yield running


@pytest.fixture
def server(tmp_path: Path, issuer: SmallIssuer) -> Iterator[KeyServer]:
    identity = f'{{name: Fabrikam, issuer: "{issuer.url}", client_id: mta, domains: [fabrikam.example]}}'
    text = CONFIG.replace("  clients:", f"  identities: [{identity}]\n  clients:")
    with running_key_server(tmp_path, text) as running:
        yield running


def status(server: KeyServer, token: str, to: str = BOB) -> int:
    """What the key server answers to who shows this token."""
    container, _ = server.protect(b"x", "open", to)
    client = Client(server)
    answer, document = client.rewrap(token, client.request(read_protected(io.BytesIO(container)).manifest))
    if answer != 200:
        return answer
    return 200 if document["responses"][0]["results"][0]["status"] == "permit" else 403


CLAIMS: list[tuple[str, dict[str, Any], int]] = [
    ("its own", {"email": BOB}, 200),
    ("for our key server", {"email": BOB, "aud": "KAS"}, 200),
    ("a list of audiences", {"email": BOB, "aud": ["other", "mta"]}, 200),
    ("domain in other letters", {"email": "bob@FABRIKAM.example"}, 200),
    ("another domain's address", {"email": "alice@contoso.example"}, 401),
    ("a domain below", {"email": "bob@eu.fabrikam.example"}, 401),
    ("not verified", {"email": BOB, "email_verified": False}, 401),
    ("verified as text", {"email": BOB, "email_verified": "true"}, 401),
    ("no address", {}, 401),
    ("a whole domain", {"email": "@fabrikam.example"}, 401),
    ("for somebody else", {"email": BOB, "aud": "other"}, 401),
    ("expired", {"email": BOB, "exp": 1_000_000_000}, 401),
    ("without an end", {"email": BOB, "exp": None}, 401),
    ("of the future", {"email": BOB, "iat": 2**40}, 401),
]


def test_claims_of_an_issuer(server: KeyServer, issuer: SmallIssuer):
    answers = {}
    for name, claims, _ in CLAIMS:
        told = {key: f"{server.url}/kas" if value == "KAS" else value for key, value in claims.items()}
        token = issuer.token("mta", **told)
        answers[name] = status(server, token)
    assert answers == {name: expected for name, _, expected in CLAIMS}
    assert server.log()[-1]["op"] != "defect"


def test_another_issuers_name_is_no_use(server: KeyServer, issuer: SmallIssuer):
    with small_issuer() as stranger:
        assert status(server, stranger.token("mta", email=BOB)) == 401
        assert status(server, stranger.token("mta", email=BOB, iss=issuer.url)) == 401
        assert status(server, stranger.token("mta", email=BOB, iss=server.url)) == 401


def test_keys_are_kept_and_renewed_when_they_change(server: KeyServer, issuer: SmallIssuer):
    for _ in range(3):
        assert status(server, issuer.token("mta", email=BOB)) == 200
    assert issuer.asked == 1
    issuer.key, issuer.kid = rsa.generate_private_key(65_537, 2048), "k2"
    assert status(server, issuer.token("mta", email=BOB)) == 401  # asked again at most once a minute
    assert issuer.asked == 1


CHEATS: list[tuple[str, Any]] = [
    ("/.well-known/openid-configuration", {"issuer": "http://127.0.0.1:1", "jwks_uri": "KEYS"}),
    ("/.well-known/openid-configuration", {"issuer": "SELF", "jwks_uri": "http://169.254.169.254/keys"}),
    ("/.well-known/openid-configuration", {"issuer": "SELF", "jwks_uri": "file:///etc/passwd"}),
    ("/.well-known/openid-configuration", None),
    ("/keys", {"keys": "none"}),
    ("/keys", {"keys": [], "more": "x" * 1_000_000}),
]


@pytest.mark.parametrize(("path", "document"), CHEATS)
def test_an_issuer_that_does_not_answer_as_one_means_later(
    server: KeyServer, issuer: SmallIssuer, path: str, document: Any
):
    words = {"SELF": issuer.url, "KEYS": f"{issuer.url}/keys"}
    told = {key: words.get(str(value), value) for key, value in document.items()} if document else None
    issuer.documents[path] = told
    assert status(server, issuer.token("mta", email=BOB)) == 503
