"""Sign-in at another organisation's issuer: who comes back has an address that the issuer vouches for, and no more.

State, nonce and verifier are in this process' memory, bound to a cookie of the browser that began; each is used once.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from dataclasses import dataclass
from urllib.parse import urlsplit

from mta.contract.protection import Issuer
from mta.errors import JoseError, NotOpened
from mta.policy.vouch import vouched
from mta.ports.vault import IssuerSignIn
from mta.rfc.jose.base64url import encode
from mta.rfc.jose.jwt import Expected, verify_token
from mta.rfc.oidc.sign_in import LONGEST_CODE, TYPES, SignInRequest, check_claims
from mta.vault.vault import Vault

CALLBACK = "/oidc/callback"
LIFE = 600.0  # seconds to sign in at the issuer
MOST = 20_000


@dataclass(frozen=True, slots=True)
class BegunSignIn:
    """A browser on its way to an issuer. `link`: of the item it wants; empty: the sender's own pages."""

    request: SignInRequest
    issuer: Issuer
    link: str
    cookie: bytes
    until: float
    url: str


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who came back, by whose word, and what for."""

    address: str
    issuer: str
    link: str


class SignIns:
    """The sign-ins of one portal."""

    def __init__(self, vault: Vault, issuers: IssuerSignIn, url: str) -> None:
        self._vault, self._issuers = vault, issuers
        self._redirect = url + CALLBACK
        self._begun: OrderedDict[str, BegunSignIn] = OrderedDict()

    @property
    def names(self) -> tuple[str, ...]:
        """Whose sign-ins are offered, to everybody alike."""
        return tuple(one.name for one in self._vault.protection.identities)

    async def begin(self, number: int, link: str) -> str:
        """The cookie for a browser that goes to the issuer of this number. Raises IssuerAway; NotOpened: none such."""
        known = self._vault.protection.identities
        if not 0 <= number < len(known):
            raise NotOpened("not-proven", f"there is no issuer {number}")
        issuer = known[number]
        places = await self._issuers.places(issuer.issuer)
        request = SignInRequest(
            issuer.client_id,
            self._redirect,
            state=self._vault.new_id(),
            nonce=self._vault.new_id(),
            verifier=encode(self._vault.random(32)),
        )
        cookie, now = self._vault.new_id(), self._vault.clock.now()
        url = request.url(places.authorization)
        self._begun[request.state] = BegunSignIn(request, issuer, link, _hash(cookie), now + LIFE, url)
        while len(self._begun) > MOST:
            self._begun.popitem(last=False)
        return cookie

    def waiting(self, cookie: str) -> BegunSignIn | None:
        """The newest sign-in that this browser has begun."""
        digest, now = _hash(cookie), self._vault.clock.now()
        found = (one for one in reversed(self._begun.values()) if hmac.compare_digest(one.cookie, digest))
        return next((one for one in found if one.until > now), None)

    async def finish(self, cookie: str, state: str, code: str, issuer: str = "") -> SignedIn:
        """Who comes back with a code. Raises NotOpened; IssuerAway: later.

        `issuer` is what the answer says (RFC 9207): the code of one issuer must not be shown to another.
        """
        begun = self._begun.pop(state, None)
        if begun is None or begun.until <= self._vault.clock.now():
            raise NotOpened("not-proven", "nobody here has begun this sign-in, or too long ago")
        if not hmac.compare_digest(begun.cookie, _hash(cookie)):
            raise NotOpened("not-proven", "the sign-in was begun in another browser")
        if issuer and issuer != begun.issuer.issuer:
            raise NotOpened("not-proven", "the answer is of another issuer")
        if not code or len(code) > LONGEST_CODE:
            raise NotOpened("not-proven", f"{begun.issuer.name} signs nobody in")
        client = (begun.issuer.client_id, begun.issuer.secret)
        token = await self._issuers.exchange(begun.issuer.issuer, begun.request.exchange(code), client)
        try:
            address = await self._believed(begun, token)
        except JoseError as error:
            raise NotOpened("not-proven", f"{begun.issuer.name}: {error}") from None
        return SignedIn(address, begun.issuer.name, begun.link)

    async def _believed(self, begun: BegunSignIn, token: str) -> str:
        """The address in an ID token that holds. Raises JoseError, IssuerAway."""
        claims = None
        expected = Expected(begun.issuer.issuer, begun.issuer.client_id, self._vault.clock.now(), types=TYPES)
        for renewed in (False, True):  # the issuer may have changed its keys
            keys = await self._issuers.keys(begun.issuer.issuer, renewed=renewed)
            try:
                claims = verify_token(token, keys, expected)
                break
            except JoseError as error:
                failed = error
        if claims is None:
            raise failed
        check_claims(claims, begun.request)
        return vouched(begun.issuer, claims)


def origin_of(url: str) -> str:
    """Scheme and host, for a person to see."""
    return urlsplit(url).netloc


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()
