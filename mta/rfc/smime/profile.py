"""Profiles: which algorithms a message is written with. Every algorithm is a field of its own.

What a profile says is the least: what a recipient says it can read may raise it (`raised`), never lower it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from types import MappingProxyType

from mta.errors import SmimeError

# The words of each field.
WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "digest": ("sha256", "sha384", "sha512"),
        "rsa_signature": ("pkcs1", "pss"),
        "cipher": ("aes128-cbc", "aes192-cbc", "aes256-cbc", "aes128-gcm", "aes192-gcm", "aes256-gcm"),
        "key_transport": ("pkcs1", "by-certificate", "oaep"),
        "oaep_digest": ("sha1", "sha256", "sha384", "sha512"),
        "key_derivation": ("sha256", "sha384", "sha512"),
        "key_wrap": ("by-cipher", "aes128", "aes192", "aes256"),
        "recipient_identifier": ("issuer-serial", "ski"),
        "include_chain": ("none", "leaf", "chain", "chain-root"),
    }
)


@dataclass(frozen=True, slots=True)
class Profile:
    """How messages are signed and encrypted.

    `key_transport` is for RSA recipients: `by-certificate` takes OAEP where the certificate's key is bound to it
    (RFC 4055 §4) and PKCS #1 v1.5 otherwise. `key_derivation` is the hash of the derivation for elliptic curves,
    `key_wrap` what encrypts the content key there (`by-cipher`: AES of the content's own key length). A digest weaker
    than the signer's key is raised to it. Keys of RSA below `minimum_rsa_bits` are not written to.
    """

    name: str
    digest: str = "sha256"
    rsa_signature: str = "pkcs1"
    cipher: str = "aes256-cbc"
    key_transport: str = "by-certificate"
    oaep_digest: str = "sha256"
    key_derivation: str = "sha256"
    key_wrap: str = "by-cipher"
    recipient_identifier: str = "issuer-serial"
    include_chain: str = "chain"
    minimum_rsa_bits: int = 2048
    post_quantum: bool = False

    def __post_init__(self) -> None:
        for name, words in WORDS.items():
            if getattr(self, name) not in words:
                raise SmimeError(f"{name} is {getattr(self, name)!r}: it must be one of {', '.join(words)}")

    @property
    def authenticated(self) -> bool:
        """Whether the cipher notices changes."""
        return self.cipher.endswith("-gcm")


PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        profile.name: profile
        for profile in (
            Profile("default"),
            Profile("authenticated", cipher="aes256-gcm"),
            Profile("edi-energy", rsa_signature="pss", cipher="aes128-gcm", key_transport="oaep"),
            Profile("post-quantum", digest="sha512", cipher="aes256-gcm", key_transport="oaep", post_quantum=True),
        )
    }
)


def raised(profile: Profile, capabilities: Iterable[str]) -> Profile:
    """The profile with the best of what a recipient can read (words of SMIMECapabilities), and nothing below itself."""
    offered = frozenset(capabilities)
    least = _strength(profile.cipher)
    better = [word for word in WORDS["cipher"] if word in offered and _at_least(_strength(word), least)]
    cipher = max((profile.cipher, *better), key=_strength)
    oaep = [word for word in WORDS["oaep_digest"] if word != "sha1" and f"oaep-{word}" in offered]
    if profile.key_transport != "oaep" and oaep:
        digest = profile.oaep_digest if profile.oaep_digest in oaep else oaep[0]
        return replace(profile, cipher=cipher, key_transport="oaep", oaep_digest=digest)
    return replace(profile, cipher=cipher)


def _strength(cipher: str) -> tuple[bool, int]:
    return cipher.endswith("-gcm"), int(cipher[3:6])


def _at_least(one: tuple[bool, int], other: tuple[bool, int]) -> bool:
    """Better in one point and worse in the other is not better: AES-128-GCM is no rise from AES-256-CBC."""
    return one[0] >= other[0] and one[1] >= other[1]


def with_words(profile: Profile, **words: str | int | bool) -> Profile:
    """The profile with single fields set otherwise. Raises SmimeError for what is no field or no word of it."""
    unknown = words.keys() - {field.name for field in fields(Profile)}
    if unknown:
        raise SmimeError(f"a profile has no {', '.join(sorted(unknown))}")
    return replace(profile, **words)  # type: ignore[arg-type] # the fields are checked by themselves
