"""The keys of S/MIME: how mail to a partner is signed and encrypted, and with whose certificates."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mta.config.schema_words import FilePath, Keys, RsaBits, Text, optional

TokenProcesses = Annotated[int, Field(strict=True, ge=1, le=64)]


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


class Pkcs11Keys(Keys):
    """Tokens that hold private keys."""

    module: Text = Field(description="The shared library of the token's maker, an absolute path.")
    pin_file: FilePath = Field(description="File whose first line is the PIN.")
    processes: TokenProcesses = optional("Processes that open with root keys side by side, one session each.", 2)
