"""The documents by which clients find everything else: OpenTDF's configuration, and OpenID Connect's for our issuer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mta.rfc.jose.jws import ASYMMETRIC


@dataclass(frozen=True, slots=True)
class Issuer:
    """Where our issuer of tokens is. Endpoints are URLs; `device_endpoint` is "" where no device code is offered."""

    url: str
    token_endpoint: str
    jwks_uri: str
    device_endpoint: str = ""


@dataclass(frozen=True, slots=True)
class BaseKey:
    """The key that clients wrap content keys to: the active root key. `algorithm` is such as `rsa:2048`."""

    kas_url: str
    algorithm: str
    kid: str
    pem: str


def openid_configuration(issuer: Issuer) -> dict[str, object]:
    """`/.well-known/openid-configuration` and `/.well-known/oauth-authorization-server` (RFC 8414 §2)."""
    grants = ["client_credentials"]
    device = {}
    if issuer.device_endpoint:
        grants.append("urn:ietf:params:oauth:grant-type:device_code")  # RFC 8628 §4
        device = {"device_authorization_endpoint": issuer.device_endpoint}
    return {
        "issuer": issuer.url,
        "token_endpoint": issuer.token_endpoint,
        "jwks_uri": issuer.jwks_uri,
        **device,
        "grant_types_supported": grants,
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "dpop_signing_alg_values_supported": [*ASYMMETRIC],
    }


def opentdf_configuration(issuer: Issuer, key: BaseKey) -> dict[str, object]:
    """What `/.well-known/opentdf-configuration` and the well-known service tell."""
    return {
        "platform_issuer": issuer.url,
        "idp": openid_configuration(issuer),
        "base_key": {
            "kas_uri": key.kas_url,
            "public_key": {"algorithm": key.algorithm, "kid": key.kid, "pem": key.pem},
        },
        "supports_dpop": True,
        "dpop_signing_alg_values_supported": [*ASYMMETRIC],
        "dpop_nonce_required": False,
    }


def opentdf_document(configuration: dict[str, Any]) -> dict[str, Any]:
    """The document for GET: some clients look for its members at the top, some under `configuration`."""
    return {**configuration, "configuration": configuration}


def algorithm_of(bits: int) -> str:
    """The name of an RSA key's kind and size in this protocol."""
    return f"rsa:{bits}"


def is_offered(algorithm: str) -> bool:
    """Whether a request for a public key of this algorithm gets our root key: any RSA, whatever size it names."""
    return algorithm == "" or algorithm.startswith("rsa:") or algorithm.upper().startswith("RS")
