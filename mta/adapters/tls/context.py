"""Contexts for both directions. Whoever the peer is, its handshake is finished; policy judges the facts after it."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL, crypto

from mta.errors import ConfigurationError

VERSIONS = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}  # RFC 8996 §4, §5: never TLS 1.0 or 1.1
# Of TLS 1.2; those of 1.3 are all good. Forward secrecy and AEAD first, RSA key exchange last, for old partners.
# Level 2 is 112 bits of security: no finite field and no RSA key of our own under 2048 bits, no SHA-1 in a handshake.
_NEVER = b"!aNULL:!eNULL:!EXPORT:!LOW:!MD5:!RC4:!3DES:!DSS:!PSK:!SRP:@SECLEVEL=2"
SERVER_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:ECDHE+AES:DHE+AES:RSA+AESGCM:RSA+AES:" + _NEVER
# A client learns the size of a finite field when it is too late for another choice: many old servers have 1024 bits.
CLIENT_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:RSA+AESGCM:RSA+AES:" + _NEVER
MOST_OF_A_STAPLE = 16_385  # octets: a longer response is cut off, and then proves nothing
OPTIONS = SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION


Pem = tuple[bytes, bytes] | None
"""A chain and its key, as they were read before; None: they are read now."""


def server_context(
    chain_path: Path, key_path: Path, *, ask_client: bool, min_version: str = "1.2", pem: Pem = None
) -> SSL.Context:
    """A listener's context. With `ask_client` everyone is asked for a certificate, and no session is resumed.

    Raises ConfigurationError if the certificate or its key cannot be used.
    """
    context = _context(SSL.TLS_SERVER_METHOD, min_version, SERVER_CIPHERS)
    context.set_options(SSL.OP_CIPHER_SERVER_PREFERENCE)
    _load_pair(context, chain_path, key_path, pem)
    if ask_client:
        # A resumed session would show what was proven in another one.
        context.set_options(SSL.OP_NO_TICKET)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_verify(SSL.VERIFY_PEER, _let_pass)
    return context


def client_context(
    min_version: str = "1.2", certificate: tuple[Path, Path] | None = None, pem: Pem = None
) -> SSL.Context:
    """The context of a connection to a next hop; `certificate` is (chain, key), shown when the hop asks.

    `pem` is what stood in the two files when they were judged; without it they are read now.

    Raises ConfigurationError if they cannot be used.
    """
    context = _context(SSL.TLS_CLIENT_METHOD, min_version, CLIENT_CIPHERS)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    # The client side shows the whole chain without a callback, and no failure ends the handshake.
    context.set_verify(SSL.VERIFY_NONE)
    context.set_ocsp_client_callback(_keep_staple)
    if certificate:
        _load_pair(context, *certificate, pem)
    return context


def _context(method: int, min_version: str, ciphers: bytes) -> SSL.Context:
    if min_version not in VERSIONS:
        raise ConfigurationError((f"TLS version {min_version!r}: expected 1.2 or 1.3",))
    context = SSL.Context(method)
    context.set_min_proto_version(VERSIONS[min_version])
    context.set_options(OPTIONS)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.set_cipher_list(ciphers)
    return context


def _let_pass(connection: SSL.Connection, certificate: crypto.X509, error: int, depth: int, ok: int) -> bool:
    return True


def _keep_staple(connection: SSL.Connection, staple: bytes, data: object) -> bool:
    """What the server sent along of its OCSP responder's words; policy judges it with the rest."""
    connection.set_app_data(staple[:MOST_OF_A_STAPLE])
    return True


def _load_pair(context: SSL.Context, chain_path: Path, key_path: Path, pem: Pem = None) -> None:
    try:
        chain_pem, key_pem = pem or (chain_path.read_bytes(), key_path.read_bytes())
        leaf, *others = x509.load_pem_x509_certificates(chain_pem)
        key = load_pem_private_key(key_pem, None)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigurationError((f"certificate {chain_path} with key {key_path} cannot be read: {error}",)) from error
    if leaf.public_key() != key.public_key():
        raise ConfigurationError((f"key {key_path} does not belong to the first certificate of {chain_path}",))
    try:
        context.use_certificate(leaf)
        for other in others:
            context.add_extra_chain_cert(other)
        context.use_privatekey(key)  # type: ignore[arg-type]  # a kind that OpenSSL cannot use raises
        context.check_privatekey()
    except (SSL.Error, crypto.Error, TypeError) as error:
        raise ConfigurationError((f"certificate {chain_path} cannot be used for TLS: {error}",)) from error
