"""What a handshake shows, and OpenSSL's words when there was none."""

from __future__ import annotations

from OpenSSL import SSL, crypto

from mta.model.tls import CertificateFacts, TlsFacts
from mta.rfc.pkix.certificate import certificate_facts, opaque_facts

MOST_CERTIFICATES = 11  # of a peer's chain that are kept: one more than the chain verifier accepts


def handshake_facts(connection: SSL.Connection, sni: str) -> TlsFacts:
    """What a finished handshake came to; `sni` is what a client asked for, empty on the server's side."""
    asked = connection.get_servername() or b""
    return TlsFacts(
        version=connection.get_protocol_version_name().removeprefix("TLSv"),
        cipher=connection.get_cipher_name() or "",
        group=_group(connection),
        sni=sni or asked.decode("ascii", "backslashreplace"),
        chain=tuple(_certificate(each) for each in _peer_chain(connection)),
        staple=connection.get_app_data() or b"",
    )


def _group(connection: SSL.Connection) -> str:
    try:
        return connection.get_group_name() or ""
    except (SSL.Error, NotImplementedError):
        return ""


def _peer_chain(connection: SSL.Connection) -> list[bytes]:
    """DER, leaf first; the server's side of OpenSSL leaves the leaf out of its list."""
    certificate = connection.get_peer_certificate()
    if certificate is None:
        return []
    leaf = _der(certificate)
    others = [_der(each) for each in (connection.get_peer_cert_chain() or [])[:MOST_CERTIFICATES]]
    return [leaf, *(others[1:] if others[:1] == [leaf] else others)][:MOST_CERTIFICATES]


def _der(certificate: crypto.X509) -> bytes:
    return crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)


def _certificate(der: bytes) -> CertificateFacts:
    try:
        return certificate_facts(der)
    except ValueError:
        return opaque_facts(der)


def reason(error: SSL.Error) -> str:
    """OpenSSL's words, e.g. `tlsv1 alert unknown ca`."""
    errors = error.args[0] if error.args and isinstance(error.args[0], list) else []
    words = [entry[2] for entry in errors if entry[2]]
    return "; ".join(dict.fromkeys(words)) or "closed by the peer"
