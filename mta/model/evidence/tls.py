"""A handshake and the certificates that were shown in it."""

from __future__ import annotations

import functools
from ipaddress import ip_address

from mta.model.evidence.reading import Json, flag, number, parts, text, texts
from mta.model.tls import CertificateFacts, TlsFacts


@functools.lru_cache(maxsize=1024)
def certificate_to_json(certificate: CertificateFacts) -> dict[str, object]:
    """One certificate: enough to find it again and to see who must act; treat the result as read-only."""
    return {
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "serial": certificate.serial,
        "names": [*certificate.dns_names, *certificate.ip_addresses],
        "sha256": certificate.sha256,
        "spki_sha256": certificate.spki_sha256,
        "not_before": int(certificate.not_before),
        "not_after": int(certificate.not_after),
        "key": certificate.key,
        "signed": certificate.signed,
        **({"usages": list(certificate.key_usage_oids)} if certificate.key_usage_oids else {}),
    }


def certificate_from_json(raw: Json) -> CertificateFacts:
    """What is kept of a certificate; the certificate itself and its mail addresses are not."""
    names = texts(raw, "names")
    return CertificateFacts(
        der=b"",
        subject=text(raw, "subject"),
        issuer=text(raw, "issuer"),
        serial=text(raw, "serial"),
        sha256=text(raw, "sha256"),
        spki_sha256=text(raw, "spki_sha256"),
        dns_names=tuple(name for name in names if not _is_address(name)),
        ip_addresses=tuple(name for name in names if _is_address(name)),
        emails=(),
        not_before=number(raw, "not_before"),
        not_after=number(raw, "not_after"),
        key_usage_oids=texts(raw, "usages"),
        key=text(raw, "key"),
        signed=text(raw, "signed"),
    )


@functools.lru_cache(maxsize=4096)
def tls_to_json(facts: TlsFacts | None) -> dict[str, object]:
    """A handshake, None: in clear. Treat the result as read-only: messages on one connection share it."""
    if facts is None:
        return {"used": False}
    raw: dict[str, object] = {"used": True, "version": facts.version, "cipher": facts.cipher}
    if facts.group:
        raw["group"] = facts.group
    if facts.sni:
        raw["sni"] = facts.sni
    if facts.staple:
        raw["stapled"] = True
    raw["chain"] = [certificate_to_json(certificate) for certificate in facts.chain]
    return raw


def tls_from_json(raw: Json) -> TlsFacts | None:
    """What is kept of a handshake; an OCSP response that came along is not. None: in clear."""
    if not flag(raw, "used"):
        return None
    version, cipher, group, sni = (text(raw, key) for key in ("version", "cipher", "group", "sni"))
    return TlsFacts(version, cipher, group, sni, tuple(map(certificate_from_json, parts(raw, "chain"))))


def days_left(certificate: CertificateFacts, now: float) -> int:
    """Whole days until it expires at epoch second `now`; less than 0: so many days ago."""
    return int((certificate.not_after - now) // 86_400)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
