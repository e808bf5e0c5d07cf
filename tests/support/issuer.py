"""A small OpenID Connect issuer on loopback, whose tokens can say anything."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

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

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answer(self, path: str) -> Any:
        """The document at a path; None: there is none."""
        if path in self.documents:
            return self.documents[path]
        if path == "/.well-known/openid-configuration":
            return {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        if path == "/keys":
            self.asked += 1
            return {"keys": [{**write_jwk(self.key.public_key()), "kid": self.kid, "alg": "RS256"}]}
        return None

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
            found = issuer.answer(self.path)
            body = json.dumps(found).encode()
            self.send_response(404 if found is None else 200)
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
