"""The demo's PKI: two companies with a CA each, their relays and mailboxes, and a stranger who calls itself Fabrikam.

Throw-away: the CAs' own keys are never written, so nothing can be issued later; after a while everything is made anew.
"""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from mta.adapters.pki import Authority
from mta.errors import UsageError

MARK = "THROW-AWAY"
_MARK_TEXT = (
    "mta demo made the files of this folder and makes them anew when they expire. Keep nothing of yours here.\n"
)
_DAY = 86_400.0
_CAS = ("contoso", "fabrikam")
_HOSTS = {  # file name -> (CA, names)
    "mx.contoso.example": ("contoso", ("mx.contoso.example",)),
    "mailbox.contoso.example": ("contoso", ("mailbox.contoso.example",)),
    "mail.fabrikam.example": ("fabrikam", ("mail.fabrikam.example",)),
    "mailbox.fabrikam.example": ("fabrikam", ("mailbox.fabrikam.example",)),
    "stranger": ("", ("mail.fabrikam.example",)),
}
_PEOPLE = {"alice@contoso.example": "contoso", "partner@fabrikam.example": "fabrikam"}  # address -> CA
_KNOWN = "partner@fabrikam.example"  # whose certificate Contoso has


def ensure_demo_pki(folder: Path, now: float) -> bool:
    """Make the PKI in `folder` unless a usable one is there; whether it was made.

    Raises UsageError where files of these names are unusable and were not made by the demo: they are not overwritten.
    """
    present = [path for path in _files(folder) if path.exists()]
    if len(present) == len(_files(folder)) and _usable(folder, now):
        return False
    if present and not (folder / MARK).exists():
        names = ", ".join(sorted(path.name for path in present))
        raise UsageError(
            f"{folder}: {names}: incomplete, expired or not matching, and not made by the demo: move them away"
        )
    _make(folder)
    return True


def _files(folder: Path) -> list[Path]:
    pairs = [
        certificate.with_name(f"{certificate.name}.{kind}")
        for certificate, _ in _pairs(folder)
        for kind in ("pem", "key")
    ]
    return [*(folder / f"{company}-ca.pem" for company in _CAS), *pairs, _known(folder)]


def _pairs(folder: Path) -> list[tuple[Path, str]]:
    """Where each certificate and its key are, without the ending, and whose CA has issued it."""
    hosts = [(folder / name, company) for name, (company, _) in _HOSTS.items()]
    return hosts + [(folder / "people" / company / address, company) for address, company in _PEOPLE.items()]


def _known(folder: Path) -> Path:
    return folder / "partners" / f"{_KNOWN}.pem"


def _usable(folder: Path, now: float) -> bool:
    """Whether each certificate holds for another day, belongs to its key and to its CA."""
    try:
        cas = {company: _certificate(folder / f"{company}-ca.pem") for company in _CAS}
        for place, company in _pairs(folder):
            certificate = _certificate(place.with_name(f"{place.name}.pem"))
            key = load_pem_private_key(place.with_name(f"{place.name}.key").read_bytes(), None)
            if certificate.public_key() != key.public_key():
                return False
            if certificate.not_valid_after_utc.timestamp() < now + _DAY:
                return False
            if company:
                certificate.verify_directly_issued_by(cas[company])
    except Exception:  # whatever is wrong with a file, it cannot be used: the caller says so
        return False
    return True


def _certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def _make(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / MARK).write_text(_MARK_TEXT, encoding="utf-8")
    authorities = {company: Authority(f"{company.capitalize()} Root CA") for company in _CAS}
    authorities[""] = Authority("Stranger Root CA")
    for company in _CAS:
        authorities[company].write(folder / f"{company}-ca.pem")
    for name, (company, dns_names) in _HOSTS.items():
        # The address is there for clients that are told to connect to 127.0.0.1 and check what they reach.
        authorities[company].issue(dns_names=dns_names, ips=["127.0.0.1"]).write(folder, name)
    for address, company in _PEOPLE.items():
        person = authorities[company].issue(emails=[address], eku=["emailProtection"], key="rsa-2048")
        own = folder / "people" / company
        own.mkdir(mode=0o700, parents=True, exist_ok=True)
        person.write(own, address)
        if address == _KNOWN:
            _known(folder).parent.mkdir(exist_ok=True)
            _known(folder).write_bytes(person.chain_pem)
