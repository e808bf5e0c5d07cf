"""`mta keys dkim`: making keys that sign, and showing what DNS shall say of them."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mta.app.commands import acting_for
from mta.app.load import load
from mta.app.outside import resolver
from mta.config.dkim import GOOD_BITS, SigningKey, load_key
from mta.config.load import Examination
from mta.config.problems import Path, Report, in_order
from mta.config.values import ValueFault, domain_name, selector
from mta.contract.configuration import Configuration
from mta.contract.dkim import DkimKey, in_force
from mta.errors import UsageError
from mta.policy.published import ended, judge_record
from mta.ports import Resolver
from mta.rfc.dkim.key import PublicKey
from mta.rfc.dkim.record import EMAIL, compose_record, kind_of, record_name, strings

_AT_ONCE = 20  # look-ups under way


@dataclass(frozen=True, slots=True)
class NewKey:
    """What `mta keys dkim new` was asked for. `out` empty: beside the configuration, in certs/dkim."""

    domain: str
    selector: str
    kind: str = "rsa"
    bits: int = 2048
    out: str = ""
    config: str = "connectors.yaml"
    service: str = EMAIL


def new(wanted: NewKey, json_output: bool) -> int:
    """Write a private key to a new file (0600) and print the record and the lines of the configuration.

    Raises UsageError; a file that is there already is never touched.
    """
    try:
        domain, name = domain_name(wanted.domain), selector(wanted.selector)
    except ValueFault as fault:
        raise UsageError(f"{fault} ({fault.hint})" if fault.hint else str(fault)) from fault
    if len(record_name(name, domain)) > 253:
        raise UsageError(f"{record_name(name, domain)} is longer than a domain name can be: take a shorter selector")
    beside = os.path.dirname(os.path.abspath(wanted.config))
    file = os.path.abspath(wanted.out or os.path.join(beside, "certs", "dkim", f"{domain}-{name}.key"))
    if os.path.lexists(file):  # told before the work; the file system decides when it is written
        raise UsageError(f"{file} is there already: take another selector, or another --out")
    key = _generate(wanted.kind, wanted.bits)
    _write(file, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    named = os.path.relpath(file, beside)
    service = "" if wanted.service == EMAIL else f", service: {wanted.service}"
    entry = f"- {{selector: {_quoted(name)}, key: {_quoted(file if named.startswith('..') else named)}{service}}}"
    told = {**_record(domain, name, key.public_key(), wanted.service), "key": file, "entry": entry}
    print(json.dumps(told, indent=2) if json_output else _story(told))
    if isinstance(key, RSAPrivateKey) and key.key_size < GOOD_BITS:
        print(f"mta: an RSA key of {key.key_size} bits is short: {GOOD_BITS} are usual today", file=sys.stderr)
    return 0


def _story(told: dict[str, object]) -> str:
    return f"""The private key is in {told["key"]}. Publish this record:

{_zone_lines(told)}

As soon as it is seen everywhere, let the key sign:

domains:
  {told["domain"]}:
    dkim:
      {told["entry"]}

`mta check --dns` compares the two."""


def show(config: str, json_output: bool) -> int:
    """Print the records of all keys of the configuration; 1 if it has none. Raises ConfigurationError."""
    known, now = load(config), time.time()
    shown = [
        {
            **_record(domain.name, key.selector, load_key(key.key).public_key(), key.service),
            "key": key.key,
            "signs": key in signing,
        }
        for domain in known.domains.values()
        for signing in [in_force(domain.dkim, now)]
        for key in domain.dkim
    ]
    if known.server.arc:
        seal = known.server.arc
        public = load_key(seal.key.key).public_key()
        shown.append({**_record(seal.domain, seal.key.selector, public), "key": seal.key.key, "signs": True})
    if json_output:
        print(json.dumps({"records": shown}, indent=2))
    elif shown:
        print("\n\n".join(_zone_lines(record) for record in shown))
    else:
        print("no domain has keys: `mta keys dkim new DOMAIN SELECTOR` makes one")
    return 0 if shown else 1


def published(examination: Examination) -> Report:
    """What DNS says of the keys of a good configuration, each doubt at its entry."""
    report = Report(examination.marks)
    if examination.configuration is not None:
        asyncio.run(_ask_all(examination, resolver(examination.configuration), report))
    report.problems, report.warnings = list(in_order(report.problems)), list(in_order(report.warnings))
    return report


async def _ask_all(examination: Examination, names: Resolver, report: Report) -> None:
    assert examination.configuration is not None
    gate, now = asyncio.Semaphore(_AT_ONCE), time.time()

    async def ask(domain: str, key: DkimKey, path: Path) -> None:
        public = load_key(key.key).public_key()
        async with gate:
            answer = await names.txt(record_name(key.selector, domain))
        doubt = judge_record(domain, key, public, answer, now)
        if doubt:
            tell = report.problem if doubt.grave else report.warning
            tell(path, doubt.message, doubt.hint)

    await asyncio.gather(
        *(
            ask(domain, key, path)
            for domain, key, path in _all_keys(examination.configuration, examination.written)
            if not ended(key, now)
        )
    )


def _all_keys(known: Configuration, written: Mapping[str, str]) -> Iterator[tuple[str, DkimKey, Path]]:
    """Every key with its domain and its place in the file; the one that seals, too."""
    for domain in known.domains.values():
        for place, key in enumerate(domain.dkim):
            yield domain.name, key, ("domains", written[domain.name], "dkim", place)
    if known.server.arc:
        yield known.server.arc.domain, known.server.arc.key, ("server", "arc")


def _generate(kind: str, bits: int) -> SigningKey:
    return Ed25519PrivateKey.generate() if kind == "ed25519" else generate_private_key(65_537, bits)


def _write(file: str, pem: bytes) -> None:
    """With the rights of whoever the folder belongs to: the key is theirs, and a link of theirs leads nowhere else."""
    try:
        with acting_for(os.path.dirname(file)):
            os.makedirs(os.path.dirname(file), mode=0o700, exist_ok=True)
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            _fill(file, descriptor, pem)
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} cannot be written: {getattr(error, 'strerror', None) or error}") from error


def _fill(file: str, descriptor: int, pem: bytes) -> None:
    try:
        with open(descriptor, "wb") as stream:
            stream.write(pem)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError:
        os.unlink(file)  # it is ours, and half a key is none
        raise


def _record(domain: str, name: str, key: PublicKey, service: str = EMAIL) -> dict[str, object]:
    record = compose_record(key, service)
    return {
        "domain": domain,
        "selector": name,
        "algorithm": f"{kind_of(key)}-sha256",
        "name": record_name(name, domain),
        "record": record,
        "strings": list(strings(record)),
    }


def _zone_lines(record: dict[str, object]) -> str:
    """The record as it stands in a zone file."""
    parts = record["strings"]
    assert isinstance(parts, list)
    lines = "\n".join(f'    "{part}"' for part in parts)
    return f"{record['name']}. IN TXT (\n{lines} )"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # a JSON string is a YAML string
