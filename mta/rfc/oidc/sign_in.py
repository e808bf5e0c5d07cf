"""Sign-in by authorization code (OpenID Connect Core §3.1) with PKCE (RFC 7636): what is asked and believed."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit, urlunsplit

from mta.errors import JoseError
from mta.rfc.jose.base64url import encode

TYPES = ("", "JWT")  # of an ID token; an access token is none (RFC 8725 §3.11)
LONGEST_CODE = 4096  # characters


@dataclass(frozen=True, slots=True)
class SignInRequest:
    """What one sign-in is asked with; `verifier` is shown when the code is exchanged."""

    client_id: str
    redirect_uri: str
    state: str
    nonce: str
    verifier: str

    def url(self, endpoint: str, hint: str = "") -> str:
        """Where the browser goes (Core §3.1.2.1). `endpoint` may have a query of its own (RFC 6749 §3.1)."""
        challenge = encode(hashlib.sha256(self.verifier.encode()).digest())  # RFC 7636 §4.2
        fields = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "scope": "openid email",
            "state": self.state,
            "nonce": self.nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            **({"login_hint": hint} if hint else {}),
        }
        parts = urlsplit(endpoint)
        query = f"{parts.query}&{urlencode(fields)}" if parts.query else urlencode(fields)
        return urlunsplit((parts.scheme, parts.netloc, parts.path, query, ""))

    def exchange(self, code: str) -> dict[str, str]:
        """What is posted for the tokens (Core §3.1.3.1, RFC 7636 §4.5)."""
        return {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "code_verifier": self.verifier,
        }


def check_claims(claims: Mapping[str, object], request: SignInRequest) -> None:
    """Raises JoseError for an ID token of another sign-in or for another client (Core §3.1.3.7)."""
    nonce = claims.get("nonce")
    if not isinstance(nonce, str) or not hmac.compare_digest(nonce.encode(), request.nonce.encode()):
        raise JoseError("the ID token is of another sign-in")
    audience, party = claims.get("aud"), claims.get("azp")
    if isinstance(audience, list) and len(audience) > 1 and party is None:
        raise JoseError("the ID token is for several, and does not say to whom it was given")
    if party is not None and party != request.client_id:
        raise JoseError("the ID token was given to another client")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject:
        raise JoseError("the ID token names nobody")
