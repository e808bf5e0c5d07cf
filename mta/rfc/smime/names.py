"""Names of object identifiers that asn1crypto does not know, or spells in its own way: for people alone."""

from __future__ import annotations

from mta.rfc.smime.algorithms import CONTENT_TYPES

_NAMES = {
    **CONTENT_TYPES,
    "1.2.840.113549.1.9.3": "contentType",
    "1.2.840.113549.1.9.4": "messageDigest",
    "1.2.840.113549.1.9.5": "signingTime",
    "1.2.840.113549.1.9.15": "smimeCapabilities",
    "1.2.840.113549.1.9.16.2.11": "smimeEncryptionKeyPreference",
    "1.2.840.113549.1.9.16.2.12": "signingCertificate",
    "1.2.840.113549.1.9.16.2.47": "signingCertificateV2",
    "1.2.840.113549.1.9.16.2.1": "receiptRequest",
    "1.2.840.113549.1.9.16.2.2": "securityLabel",
    "1.2.840.113549.1.9.16.2.14": "timeStampToken",
    "1.2.840.113549.1.9.52": "cmsAlgorithmProtection",
    "1.2.840.113549.1.9.16.3.28": "hkdf-sha256",
    "1.2.840.113549.1.9.16.3.31": "cek-hkdf-sha256",
    "1.2.840.113549.1.9.16.13.3": "kemRecipientInfo",
    "2.16.840.1.101.3.4.1.6": "aes128-gcm",
    "2.16.840.1.101.3.4.1.26": "aes192-gcm",
    "2.16.840.1.101.3.4.1.46": "aes256-gcm",
    "2.16.840.1.101.3.4.4.1": "ml-kem-512",
    "2.16.840.1.101.3.4.4.2": "ml-kem-768",
    "2.16.840.1.101.3.4.4.3": "ml-kem-1024",
    "2.16.840.1.101.3.4.3.17": "ml-dsa-44",
    "2.16.840.1.101.3.4.3.18": "ml-dsa-65",
    "2.16.840.1.101.3.4.3.19": "ml-dsa-87",
    "1.3.101.110": "x25519",
    "1.3.101.112": "ed25519",
    "1.3.132.1.11.0": "dhSinglePass-stdDH-sha224kdf",
    "1.3.132.1.11.1": "dhSinglePass-stdDH-sha256kdf",
    "1.3.132.1.11.2": "dhSinglePass-stdDH-sha384kdf",
    "1.3.132.1.11.3": "dhSinglePass-stdDH-sha512kdf",
    "1.2.840.113549.1.9.16.3.19": "dhSinglePass-stdDH-hkdf-sha256",
    "1.2.840.113549.1.9.16.3.20": "dhSinglePass-stdDH-hkdf-sha384",
    "1.2.840.113549.1.9.16.3.21": "dhSinglePass-stdDH-hkdf-sha512",
}


def name_of(oid: str) -> str:
    """The name of an object identifier in dots; empty where it has none here."""
    return _NAMES.get(oid, "")
