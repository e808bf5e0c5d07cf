"""Access tokens: made for our own programs, and judged when they are shown. One is good for five minutes."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from mta.contract.protection import Client, Issuer
from mta.errors import JoseError
from mta.policy.vouch import address_in, vouched
from mta.rfc.jose.algorithms import ALGORITHMS, PublicKey, signer
from mta.rfc.jose.dpop import Proof, check_bound, verify_proof
from mta.rfc.jose.dpop import Request as ProvenRequest
from mta.rfc.jose.jwk import Jwk
from mta.rfc.jose.jws import read_jws
from mta.rfc.jose.jwt import ACCESS_TOKEN, Expected, make_token, verify_token
from mta.web.site import Site

LIFE = 300  # seconds


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: a proven address, how it was proven, and the key that DPoP has shown."""

    address: str
    method: str
    key: PublicKey | None = None
    channels: tuple[str, ...] = ()  # second channels, as our own issuer has seen them


async def authenticate(site: Site, headers: Mapping[str, str], method: str, url: str) -> Caller:
    """Whoever shows this token. Raises JoseError.

    With a DPoP header the proof must hold, whatever the scheme says: current clients send it beside `Bearer`.
    """
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() not in ("bearer", "dpop") or not token.strip():
        raise JoseError("no access token")
    proof = _proof(site, headers, ProvenRequest(method, url, site.vault.clock.now(), token.strip()))
    if scheme.lower() == "dpop" and proof is None:
        raise JoseError("a token of type DPoP without a proof")
    issuer = _issuer_of(site, token.strip())
    if issuer is None:
        claims = verify_token(token.strip(), (_own_key(site),), _expected(site))
        address, how = address_in(claims), str(claims.get("amr", "token"))
    else:
        claims = await _foreign_claims(site, issuer, token.strip())
        address, how = vouched(issuer, claims), f"oidc {issuer.name}"
    check_bound(claims, proof)
    channels = () if issuer else tuple(how.split("+")[1:])
    return Caller(address, how, proof.key if proof else None, channels)


def _issuer_of(site: Site, token: str) -> Issuer | None:
    """Which configured issuer the token names; nothing of it is believed yet."""
    named = read_jws(token).claims().get("iss")
    return next((one for one in site.vault.protection.identities if one.issuer == named), None)


async def _foreign_claims(site: Site, issuer: Issuer, token: str) -> dict[str, Any]:
    """The claims, by a key of the issuer's; once more with fresh keys, for it may have changed them."""
    for renewed in (False, True):
        keys = await site.issuers.keys(issuer.issuer, renewed=renewed)
        for audience in (site.vault.url, issuer.client_id):
            expected = Expected(issuer.issuer, audience, site.vault.clock.now())
            try:
                return verify_token(token, keys, expected)
            except JoseError as error:
                failed = error
    raise failed


def _proof(site: Site, headers: Mapping[str, str], request: ProvenRequest) -> Proof | None:
    text = headers.get("dpop")
    if text is None:
        return None
    return verify_proof(text, request, lambda id, until: site.seen.first_time(f"dpop:{id}", until, request.now))


def _own_key(site: Site) -> Jwk:
    keys = site.vault.signing
    return Jwk(keys.policy.public_key(), keys.id, "ES256")


def _expected(site: Site) -> Expected:
    return Expected(site.url, site.vault.url, site.vault.clock.now(), types=(ACCESS_TOKEN,))


def make_access_token(site: Site, address: str, how: str, proof: Proof | None, client: str = "") -> str:
    """A token for one address; bound to the key that a proof has shown."""
    now = int(site.vault.clock.now())
    claims: dict[str, Any] = {
        "iss": site.url,
        "aud": site.vault.url,
        "sub": address,
        "email": address,
        "email_verified": True,
        "amr": how,
        "iat": now,
        "exp": now + LIFE,
        "jti": site.vault.new_id(),
        **({"client_id": client} if client else {}),
        **({"cnf": {"jkt": proof.thumbprint}} if proof else {}),
    }
    header = {"alg": "ES256", "typ": ACCESS_TOKEN, "kid": site.vault.signing.id}
    return make_token(claims, header, signer(ALGORITHMS["ES256"], site.vault.signing.policy))


def proof_for_token(site: Site, headers: Mapping[str, str], url: str) -> Proof | None:
    """The DPoP proof beside a request for a token, if there is one. Raises JoseError."""
    return _proof(site, headers, ProvenRequest("POST", url, site.vault.clock.now()))


def known_client(site: Site, headers: Mapping[str, str], form: Mapping[str, str]) -> Client | None:
    """The program whose credentials these are, in the header (RFC 6749 §2.3.1) or in the form."""
    id, secret = form.get("client_id", ""), form.get("client_secret", "")
    scheme, _, word = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            id, _, secret = base64.b64decode(word, validate=True).decode("utf-8").partition(":")
        except ValueError:
            return None
        id, secret = unquote_plus(id), unquote_plus(secret)
    found = None
    for client in site.vault.protection.clients:  # all of them, whoever is meant: the time tells nothing
        same = hmac.compare_digest(client.id.encode(), id.encode("utf-8", "replace"))
        good = hmac.compare_digest(client.secret.encode(), secret.encode("utf-8", "replace"))
        found = client if same and good and secret else found
    return found
