"""`domains.X.dkim` and `server.arc`: the keys that sign for our domains, and the one that seals; their files judged."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import Field

from mta.config.files import Files, Finding, read, warn_if_open
from mta.config.problems import Path, Report
from mta.config.words import DomainName, FilePath, Keys, Moment, Selector, optional
from mta.contract.connectors import Connector
from mta.contract.dkim import DkimKey, SealingKey, in_force
from mta.contract.server import Server
from mta.contract.values import TOKEN
from mta.errors import ConfigurationError
from mta.rfc.dkim.key import RSA_BITS, PublicKey
from mta.rfc.dkim.record import kind_of, record_name

SigningKey = RSAPrivateKey | Ed25519PrivateKey
GOOD_BITS, COMMON_BITS = 2048, 4096


class SealKeys(Keys):
    """What seals mail with ARC."""

    domain: DomainName = Field(description="In whose name: the domain that others list as a trusted sealer.")
    selector: Selector = Field(description="The name of the key: its record is at SELECTOR._domainkey.DOMAIN.")
    key: FilePath = Field(description="PEM file of the private key, RSA or Ed25519, without a passphrase.")


class DkimKeyKeys(Keys):
    """A key that signs mail of a domain of ours."""

    selector: Selector = Field(description="The name of the key: its record is at SELECTOR._domainkey.DOMAIN.")
    key: FilePath = Field(description="PEM file of the private key, RSA or Ed25519, without a passphrase.")
    from_: Moment | None = optional(
        "When it begins to sign, a date or a date and time (UTC); without it at once.", alias="from"
    )
    until: Moment | None = optional("When it no longer signs; without it there is no end.")
    service: Literal["email", "tlsrpt"] = optional(
        "`tlsrpt`: it signs TLS reports and nothing else; its record says so.", "email"
    )


def build_keys(name: str, keys: Iterable[DkimKeyKeys], files: Files, place: tuple[Report, Path]) -> tuple[DkimKey, ...]:
    """The signing keys of our domain `name`, written at `place`; files that cannot sign are problems."""
    report, path = place
    found: dict[str, DkimKey] = {}
    for number, entry in enumerate(keys):
        here: Path = (*path, number)
        built = DkimKey(
            entry.selector,
            entry.key if entry.key.startswith(TOKEN) else files.resolve(entry.key),
            entry.from_ or 0.0,
            until=entry.until or 0.0,
            service=entry.service,
        )
        in_token = built.key.startswith(TOKEN)  # RSA then; what it is worth is seen when it signs
        public: PublicKey | None = None if in_token else files.look("dkim", built.key, (*here, "key"), _judge)
        if len(record_name(built.selector, name)) > 253:
            report.problem((*here, "selector"), "the name of its record would have more than 253 characters")
        if built.until and built.until <= built.since:
            report.problem((*here, "until"), "it ends before it begins", "`until` is later than `from`")
        if built.selector in found:
            hint = "each key has a selector of its own"
            report.problem((*here, "selector"), f"the selector {built.selector} is used twice", hint)
        if public is not None:
            built = replace(built, algorithm=f"{kind_of(public)}-sha256")
        found.setdefault(built.selector, built)
    if found and not in_force(found.values(), files.now):
        report.warning(path, f"no key is in force today: mail of {name} leaves unsigned", "see `from` and `until`")
    return tuple(found.values())


def build_sealing_key(keys: SealKeys, files: Files, place: tuple[Report, Path]) -> SealingKey:
    """What seals, written at `place`; a file that cannot sign is a problem."""
    report, path = place
    built = DkimKey(keys.selector, files.resolve(keys.key))
    public: PublicKey | None = files.look("dkim", built.key, (*path, "key"), _judge)
    if len(record_name(built.selector, keys.domain)) > 253:
        report.problem((*path, "selector"), "the name of its record would have more than 253 characters")
    if public is not None:
        built = DkimKey(built.selector, built.key, algorithm=f"{kind_of(public)}-sha256")
        if kind_of(public) != "rsa":
            message = "few who verify ARC know Ed25519: to them the chain is broken"
            report.warning((*path, "key"), message, "an RSA key of 2048 bits is understood everywhere")
    return SealingKey(keys.domain, built)


def load_key(file: str) -> SigningKey:
    """The private key in `file`. Raises ConfigurationError where it cannot sign."""
    finding = Finding()
    key = _read_key(file, finding)
    if key is None:
        raise ConfigurationError(tuple(f"{message} ({hint})" if hint else message for message, hint in finding.faults))
    return key


def _judge(file: str, finding: Finding) -> None:
    key = _read_key(file, finding)
    if key is None:
        return
    finding.value = key.public_key()
    if isinstance(key, RSAPrivateKey) and key.key_size < GOOD_BITS:
        # RFC 8301 §3.2: signers SHOULD use at least 2048 bits
        finding.warnings.append((f"the RSA key in {file} has {key.key_size} bits", "2048 are usual today"))
    elif isinstance(key, RSAPrivateKey) and key.key_size > COMMON_BITS:
        # RFC 8301 §3.2: verifiers need not take more than 4096 bits
        message = f"the RSA key in {file} has {key.key_size} bits: not every verifier takes more than 4096"
        finding.warnings.append((message, "2048 are usual today"))
    warn_if_open(file, finding, "the private key")


def _read_key(file: str, finding: Finding) -> SigningKey | None:
    content = read(file, finding)
    if content is None:
        return None
    try:
        key = load_pem_private_key(content, None)
    except TypeError:
        finding.fault(f"the key in {file} has a passphrase", "openssl pkey -in FILE -out FILE.clear")
        return None
    except (ValueError, UnsupportedAlgorithm):  # the library's own words speak of its internals
        finding.fault(f"{file} holds no PEM private key", "`mta keys dkim new` makes one")
        return None
    if isinstance(key, RSAPrivateKey) and not RSA_BITS[0] <= key.key_size <= RSA_BITS[1]:
        # RFC 8301 §3.2: signers MUST use at least 1024 bits
        finding.fault(f"the RSA key in {file} has {key.key_size} bits", "1024 to 8192 can sign, 2048 are usual")
        return None
    if not isinstance(key, RSAPrivateKey | Ed25519PrivateKey):
        finding.fault(f"the key in {file} is neither RSA nor Ed25519", "DKIM knows these two")
        return None
    return key


def check_sealing(server: Server, connectors: Iterable[Connector], report: Report) -> None:
    """Report seals that are wanted and cannot be made, and a key that seals nothing."""
    sealing = [connector for connector in connectors if connector.outbound.arc == "seal" and connector.own_outbound]
    for connector in sealing:
        if server.arc is None:
            path: Path = ("connectors", connector.name, "outbound", "arc")
            report.missing(path, "there is no key to seal with", "write server.arc: {domain, selector, key}")
    if server.arc is not None and not sealing:
        hint = "write arc: seal in the outbound of those who trust your seal"
        report.warning(("server", "arc"), "no connector seals: this is without effect", hint, key=True)
