"""A small OpenID Connect issuer on loopback, whose tokens can say anything."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from cryptography.hazmat.primitives.asymmetric import rsa

from mta.rfc.jose.algorithms import ALGORITHMS, signer
from mta.rfc.jose.jwk import write_jwk
from mta.rfc.jose.jws import sign_jws


@dataclass
class SmallIssuer:
    """Where it is, its key, and how often it was asked for keys."""

    port: int = 0
    key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65_537, 2048))
    kid: str = "k1"
    asked: int = 0
    documents: dict[str, Any] = field(default_factory=dict)  # what is answered instead, by path
    person: str = ""  # who is signed in, without being asked
    says: dict[str, Any] = field(default_factory=dict)  # claims of ID tokens that are to be others
    secret: str = ""  # of the client, if it has one
    codes: dict[str, dict[str, str]] = field(default_factory=dict)  # what each code was asked for with

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answer(self, path: str) -> Any:
        """The document at a path; None: there is none."""
        if path in self.documents:
            return self.documents[path]
        if path == "/.well-known/openid-configuration":
            places = {"authorization_endpoint": f"{self.url}/authorize?tenant=1", "token_endpoint": f"{self.url}/token"}
            return {"issuer": self.url, "jwks_uri": f"{self.url}/keys", **places}
        if path == "/keys":
            self.asked += 1
            return {"keys": [{**write_jwk(self.key.public_key()), "kid": self.kid, "alg": "RS256"}]}
        return None

    def authorize(self, asked: dict[str, str]) -> str:
        """Where the browser is sent once its person is signed in: this one always is."""
        code = f"code{len(self.codes)}"
        self.codes[code] = asked
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state'], 'iss': self.url})}"

    def exchange(self, fields: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        """The answer to a code: good once, for who shows the verifier and the client's secret."""
        asked = self.codes.pop(fields.get("code", ""), None)
        pair = b64decode(authorization.removeprefix("Basic ")).decode() if authorization else ""
        known = pair == f"mta:{self.secret}" if self.secret else fields.get("client_id") == "mta"
        digest = hashlib.sha256(fields.get("code_verifier", "").encode()).digest()
        fits = asked and asked["code_challenge"] == urlsafe_b64encode(digest).rstrip(b"=").decode()
        if not asked or not known or not fits or asked["redirect_uri"] != fields.get("redirect_uri"):
            return 400, {"error": "invalid_grant"}
        claims = {"sub": "p1", "email": self.person, "nonce": asked["nonce"], **self.says}
        return 200, {"access_token": "x", "token_type": "Bearer", "id_token": self.token("mta", **claims)}

    def token(self, audience: str, **claims: Any) -> str:
        """A token that is good, but for what `claims` say otherwise; None leaves a claim out."""
        now = int(time.time())
        told = {"iss": self.url, "aud": audience, "iat": now, "exp": now + 300, "email_verified": True, **claims}
        header = {"alg": "RS256", "typ": "JWT", "kid": self.kid}
        kept = {name: value for name, value in told.items() if value is not None}
        return sign_jws(header, json.dumps(kept).encode(), signer(ALGORITHMS["RS256"], self.key))


@contextlib.contextmanager
def small_issuer() -> Iterator[SmallIssuer]:
    """Serve it until the context ends."""
    issuer = SmallIssuer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if parts.path == "/authorize":
                self.send_response(302)
                self.send_header("Location", issuer.authorize(dict(parse_qsl(parts.query))))
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            found = issuer.answer(self.path)
            self.tell(404 if found is None else 200, found)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self.tell(*issuer.exchange(dict(parse_qsl(body)), self.headers.get("Authorization", "")))

        def tell(self, status: int, document: Any) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
