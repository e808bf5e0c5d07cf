"""A reader away from the vault: the key server that a file names is asked, and the reader lets us in by a browser.

No token is there beforehand that could be sent to whomever a file names: it is asked for at that very server, for a key
of this run alone (DPoP), and ends after five minutes. Everything must be at the one origin that the reader is shown.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

from cryptography.hazmat.primitives.asymmetric import ec

from mta.errors import JsonError, KasError, KeyAway, NotOpened, TdfTampered, TdfUnsupported
from mta.ports import Clock
from mta.ports.vault_client import KeyServer
from mta.rfc.jose.algorithms import ALGORITHMS, signer
from mta.rfc.jose.dpop import Request, proof_claims
from mta.rfc.jose.jwk import write_jwk
from mta.rfc.jose.jws import sign_jws
from mta.rfc.json.read import read_object
from mta.rfc.kas.ask import read_result, write_claims
from mta.rfc.tdf.manifest import Manifest

CLIENT = "mta open"
_REWRAP = "/kas.AccessService/Rewrap"
_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_FORM = "application/x-www-form-urlencoded"
_LARGEST = 1 << 18
_LONGEST, _SLOWER = 1800.0, 5.0  # seconds
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class Invitation:
    """What the reader is told: at which page of whose to type what."""

    server: str
    page: str
    code: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Away:
    """One run against one key server. `tell` shows the invitation to the reader."""

    server: KeyServer
    clock: Clock
    tell: Callable[[Invitation], None]
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    async def content_key(self, manifest: Manifest) -> tuple[bytes, str]:
        """The content key of a file, and the address for which it was opened.

        Raises NotOpened, TdfTampered for what is refused, KeyAway where nobody answers now, TdfUnsupported for a file
        whose keys are nowhere that we ask.
        """
        place, base = _place(manifest)
        token = await self._token(base)
        session = ec.generate_private_key(ec.SECP256R1())
        access = manifest.body["encryptionInformation"]["keyAccess"][place]
        claims = write_claims(access, manifest.policy, session.public_key(), int(self.clock.now()))
        body = json.dumps({"signedRequestToken": self._sign({"alg": "ES256"}, claims)}).encode()
        url = f"{base}{_REWRAP}"
        headers = {"Content-Type": "application/json", "Authorization": f"DPoP {token}", **self._proof(url, token)}
        status, answer = await self.server.ask("POST", url, headers, body)
        if status != 200:
            raise _refused(base, _reason(answer), status)
        try:
            return read_result(answer, session), _address(token)
        except KasError as error:
            raise _refused(base, error.code, 200) from None

    async def _token(self, base: str) -> str:
        told = await self._json("GET", f"{base}/.well-known/openid-configuration")
        begin, place = told.get("device_authorization_endpoint"), told.get("token_endpoint")
        if not _is_at(base, begin) or not _is_at(base, place):
            raise TdfUnsupported(f"{base} lets nobody in by a code; open the file where its keys are")
        device = await self._json("POST", str(begin), {"client_id": CLIENT})
        page, code, kept = (device.get(name) for name in ("verification_uri", "user_code", "device_code"))
        if not _is_at(base, page) or not isinstance(code, str) or not isinstance(kept, str):
            raise KeyAway(f"{base} gives no code{_word(device)}")
        life = min(_seconds(device.get("expires_in"), 600.0), _LONGEST)
        self.tell(Invitation(base, str(page), "".join(c if c.isprintable() else "?" for c in code[:40]), life))
        return await self._poll(str(place), kept, (_seconds(device.get("interval"), 5.0), life))

    async def _poll(self, place: str, code: str, times: tuple[float, float]) -> str:
        """RFC 8628 §3.5."""
        pause, end = times[0], self.clock.monotonic() + times[1]
        form = {"grant_type": _GRANT, "device_code": code, "client_id": CLIENT}
        while self.clock.monotonic() < end:
            await asyncio.sleep(pause)
            try:
                told = await self._json("POST", place, form)
            except KeyAway:
                pause *= 2
                continue
            if isinstance(token := told.get("access_token"), str):
                return token
            word = told.get("error")
            if word == "access_denied":
                raise NotOpened("refused", "the program was sent away in the browser")
            if word == "slow_down":
                pause += _SLOWER
            elif word != "authorization_pending":
                break
        raise NotOpened("not-proven", "the time of the code is over; give the command again")

    async def _json(self, method: str, url: str, form: dict[str, str] | None = None) -> dict[str, Any]:
        headers = {"Content-Type": _FORM, **self._proof(url)} if form else {}
        _, body = await self.server.ask(method, url, headers, urlencode(form).encode() if form else b"")
        try:
            return read_object(body, _LARGEST)
        except JsonError as error:
            raise KeyAway(f"{url} answers otherwise than a key server: {error}") from None

    def _proof(self, url: str, token: str = "") -> dict[str, str]:
        claims = proof_claims(Request("POST", url, self.clock.now(), token), secrets.token_urlsafe(16))
        header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": write_jwk(self.key.public_key())}
        return {"DPoP": self._sign(header, json.dumps(claims).encode())}

    def _sign(self, header: dict[str, Any], claims: bytes) -> str:
        return sign_jws(header, claims, signer(ALGORITHMS["ES256"], self.key))


def _place(manifest: Manifest) -> tuple[int, str]:
    """Which key access is asked for, and where its server is. Raises TdfUnsupported."""
    for place, one in enumerate(manifest.keys):
        parts = urlsplit(one.url)
        if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK):
            return place, f"{parts.scheme}://{parts.netloc}"
    raise TdfUnsupported(
        f"its keys are at {manifest.keys[0].url[:200]!r}, which is not asked: key servers are by https"
    )


def _is_at(base: str, url: object) -> bool:
    return isinstance(url, str) and url.startswith(f"{base}/")


def _seconds(value: object, default: float) -> float:
    return float(value) if isinstance(value, int | float) and 0 < value < 1e6 else default


def _word(told: dict[str, Any]) -> str:
    return f" ({told['error'][:60]})" if isinstance(told.get("error"), str) else ""


def _reason(answer: bytes) -> str:
    try:
        return str(read_object(answer, _LARGEST).get("code", ""))
    except JsonError:
        return ""


def _refused(base: str, code: str, status: int) -> NotOpened | TdfTampered | KeyAway:
    if code == "permission_denied" or status == 403:
        return NotOpened(
            "forbidden",
            f"{base} gives no key for it to who was proven: the file is for others, is over or was taken back, or its "
            "label lets nobody take it out (EXPORT) or wants a second proof. The sender knows; the portal may show it",
        )
    if code == "invalid_argument":
        return TdfTampered(f"{base} finds that the file was changed")
    return KeyAway(f"{base} cannot open it now ({code or status})")


def _address(token: str) -> str:
    """For whom the token is, to be shown; the server alone has to believe it."""
    try:
        text = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        return "".join(c if c.isprintable() else "?" for c in str(claims["email"])[:320])
    except (ValueError, KeyError, IndexError, TypeError):
        return ""
