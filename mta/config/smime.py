"""`outbound.smime` and `domains.X.smime`: how mail is signed and encrypted, and with whose certificates."""

from __future__ import annotations

import os
from collections.abc import Set
from typing import Literal

from pydantic import Field

from mta.config.files import Files
from mta.config.problems import Path, Report
from mta.config.words import FilePath, Keys, RsaBits, Text, optional
from mta.contract.outbound import Outbound
from mta.contract.smime import OwnSmime, Smime
from mta.contract.values import TOKEN, KeyPair
from mta.errors import SmimeError
from mta.model.tls import TlsLevel
from mta.rfc.smime.profile import PROFILES, with_words


class AlgorithmKeys(Keys):
    """Single algorithms that differ from the profile's."""

    digest: Literal["sha256", "sha384", "sha512"] | None = optional("The digest that is signed.")
    rsa_signature: Literal["pkcs1", "pss"] | None = optional("How RSA keys sign.")
    cipher: Literal["aes128-cbc", "aes192-cbc", "aes256-cbc", "aes128-gcm", "aes192-gcm", "aes256-gcm"] | None = (
        optional("What the content is encrypted with.")
    )
    key_transport: Literal["pkcs1", "by-certificate", "oaep"] | None = optional(
        "How the content's key is encrypted to RSA keys; `by-certificate`: OAEP where the certificate says so."
    )
    oaep_digest: Literal["sha1", "sha256", "sha384", "sha512"] | None = optional("The hash of OAEP.")
    key_derivation: Literal["sha256", "sha384", "sha512"] | None = optional("The hash of ECDH's key derivation.")
    key_wrap: Literal["by-cipher", "aes128", "aes192", "aes256"] | None = optional(
        "What wraps the content's key for ECDH; `by-cipher`: AES as long as the content's."
    )
    recipient_identifier: Literal["issuer-serial", "ski"] | None = optional("How a recipient's certificate is named.")
    include_chain: Literal["none", "leaf", "chain", "chain-root"] | None = optional(
        "Which certificates travel with a signature."
    )
    minimum_rsa_bits: RsaBits | None = optional("RSA keys below are neither written to nor signed with.")


class SmimeKeys(Keys):
    """How mail to this partner is signed and encrypted."""

    sign: Literal["never", "when-possible", "always"] = optional(
        "`always`: what cannot be signed does not leave; `when-possible`: what has a certificate is signed.", "never"
    )
    encrypt: Literal["never", "when-possible", "required"] = optional(
        "`required`: nothing leaves in clear; `when-possible`: who has a certificate gets it encrypted.", "never"
    )
    without_certificate: Literal["reject", "hold", "tls", "portal"] = optional(
        "What becomes of mail that must be encrypted to somebody without a certificate: back to the sender, held until "
        "there is one, `tls`: verified TLS is enough, or `portal`: sealed in the vault, the recipient gets a notice.",
        "reject",
    )
    identity: Literal["any", "sender", "domain"] = optional(
        "Whose certificate signs: the sender's own, the domain's, or `any`: the sender's, else the domain's.", "any"
    )
    profile: Literal["default", "authenticated", "edi-energy", "post-quantum"] = optional(
        "A set of algorithms.", "default"
    )
    algorithms: AlgorithmKeys = optional("Single algorithms that differ from the profile's.", AlgorithmKeys())
    format: Literal["detached", "opaque"] = optional(
        "`detached` (multipart/signed) is readable without S/MIME; `opaque` survives gateways that change text.",
        "detached",
    )
    header_protection: Literal["none", "signed", "confidential"] = optional(
        "`signed`: Subject and its like are signed, too; `confidential`: and hidden where it is encrypted.", "none"
    )
    already_protected: Literal["pass", "wrap", "reject"] = optional(
        "Mail that its author signed or encrypted (S/MIME, PGP): as it is, protected once more, or back to the sender.",
        "pass",
    )
    certificates: list[FilePath] = optional(
        "Files with certificates of the partner's people, each for the addresses it names.", []
    )
    domain_certificate: FilePath | None = optional("File with one certificate for every address of `domains`.")


class OwnPairKeys(Keys):
    """A certificate chain and its private key."""

    chain: FilePath = Field(description="PEM file: the certificate first, then those that lead to the root.")
    key: Text = Field(description="PEM file of the private key, or a key of a token as a `pkcs11:` URI.")


class OwnSmimeKeys(Keys):
    """Our own certificates for S/MIME, with their private keys. Mail for the domain bears a verdict on its S/MIME."""

    certificate: OwnPairKeys | None = optional("The organisation's: it signs for every address without its own.")
    people: FilePath | None = optional(
        "Folder of the addresses' own: ADDRESS.pem, ADDRESS.p12, or folders of that name with several."
    )
    former: FilePath | None = optional("Folder of keys that decrypt old mail of their own addresses and sign nothing.")
    password_file: FilePath | None = optional("File whose first line opens PKCS #12 files and encrypted keys.")
    decrypt: bool = optional(
        "Whether encrypted mail for the domain is opened with these keys before it is handed on.", True
    )


def build_smime(keys: SmimeKeys, place: tuple[Report, Path]) -> Smime:
    """`outbound.smime`, written at `place`."""
    report, path = place
    profile = PROFILES[keys.profile]
    changes = keys.algorithms.model_dump(exclude_none=True)
    try:
        profile = with_words(profile, **changes)
    except SmimeError as error:
        report.problem((*path, "algorithms"), str(error))
    return Smime(
        sign=keys.sign,
        encrypt=keys.encrypt,
        without_certificate=keys.without_certificate,
        identity=keys.identity,
        profile=profile,
        format=keys.format,
        header_protection=keys.header_protection,
        already_protected=keys.already_protected,
    )


def build_own(keys: OwnSmimeKeys, files: Files, place: tuple[Report, Path]) -> OwnSmime:
    """`domains.X.smime`, written at `place`; pairs that do not fit and folders that are none are problems."""
    report, path = place
    return OwnSmime(
        certificate=_pair(keys.certificate, files, (*path, "certificate")) if keys.certificate else None,
        people=_folder(keys.people, files, report, (*path, "people")),
        former=_folder(keys.former, files, report, (*path, "former")),
        password=files.password(keys.password_file, (*path, "password_file")) if keys.password_file else "",
        decrypt=keys.decrypt,
    )


def _pair(keys: OwnPairKeys, files: Files, path: Path) -> KeyPair:
    if keys.key.startswith(TOKEN):  # only the token can tell whether it fits: the worker says so when it starts
        return KeyPair(files.chain(keys.chain, (*path, "chain")), keys.key)
    return files.key_pair(keys.chain, keys.key, path)


def _folder(name: str | None, files: Files, report: Report, path: Path) -> str:
    if name is None:
        return ""
    folder = files.resolve(name)
    try:
        os.scandir(folder).close()
    except OSError as error:
        report.problem(path, f"{folder} cannot be read: {error.strerror}", "it is a folder of keys")
    return folder


def check_smime(outbound: Outbound, written: Set[str], report: Report, path: Path) -> None:
    """Report what cannot be meant in the `smime` at `path`, of which the keys in `written` stand in the file."""
    smime = outbound.smime
    if smime.encrypt != "required" and "without_certificate" in written:
        message = "without_certificate is without effect: nothing must be encrypted"
        report.warning((*path, "without_certificate"), message, "write encrypt: required")
    elif smime.without_certificate == "tls" and outbound.tls.level < TlsLevel.VERIFIED:
        # The promise of encryption is kept by the hop then, so the hop must be known to be the partner's.
        message = f"TLS is enough where it is verified, and the level here is {outbound.tls.level.word}"
        report.problem((*path, "without_certificate"), message, "write outbound.tls.level: verified or pinned")
    if smime.header_protection == "confidential" and smime.encrypt == "never":
        message = "confidential header fields need encryption"
        report.problem((*path, "header_protection"), message, "write encrypt, or header_protection: signed")
    if not smime.protects:
        for key in ("identity", "profile", "algorithms", "format", "header_protection", "already_protected"):
            if key in written:
                message = f"{key} is without effect: nothing is signed or encrypted"
                report.warning((*path, key), message, "write sign or encrypt")
    elif smime.sign == "never":
        for key in ("identity", "format"):
            if key in written:
                report.warning((*path, key), f"{key} is without effect: nothing is signed", "write sign")
