"""The files that connectors.yaml names: certificates, keys, CAs, passwords, lists of recipients.

Each file is read and judged once; what is wrong with it is told wherever it is named.
"""

from __future__ import annotations

import datetime
import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from mta.config import values
from mta.config.problems import Path, Problem, Report, shown
from mta.contract.values import KeyPair
from mta.contract.watch import GONE, Stamp, stamp, stamp_of
from mta.model.tls import RevocationList, TrustAnchors
from mta.rfc.pkix import crl

SYSTEM = "system"
DAY = 86_400.0
SOON = 14 * DAY
MAX_FILE = 64 << 20

_PEM_FAULTS = (ValueError, TypeError, UnsupportedAlgorithm)


@dataclass(slots=True)
class Finding:
    """What a file gave: a value (None: unusable), faults and warnings, each a message and a hint."""

    value: Any = None
    stamp: Stamp = GONE  # of the file as it was read
    content: bytes = field(default=b"", repr=False)
    faults: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[tuple[str, str]] = field(default_factory=list)

    def fault(self, message: str, hint: str = "") -> Finding:
        """Note a fault."""
        self.faults.append((message, hint))
        return self


class Files:
    """Reads files relative to `folder` (an absolute path) at epoch second `now`, reporting to `report`."""

    def __init__(self, folder: str, now: float, report: Report) -> None:
        self.now = now
        self._folder = folder
        self._report = report
        self._seen: dict[tuple[str, ...], Finding] = {}
        self.stamps: dict[str, Stamp] = {}  # every file that was looked at, as it was when that was first done

    def resolve(self, name: str) -> str:
        """The absolute path of a file named in the configuration."""
        return os.path.join(self._folder, name)

    def key_pair(self, chain: str, key: str, path: Path) -> KeyPair:
        """The pair at `path` (an object with `chain` and `key`), judged: readable, matching, in its time."""
        pair = KeyPair(self.resolve(chain), self.resolve(key))
        certificates = self.look("chain", pair.chain, (*path, "chain"), self._judge_chain)
        private = self.look("key", pair.key, (*path, "key"), _judge_key)
        if certificates and private:
            self._match(certificates, private, path)
        chain_pem, key_pem = self._seen["chain", pair.chain].content, self._seen["key", pair.key].content
        return KeyPair(pair.chain, pair.key, (chain_pem, key_pem))

    def chain(self, name: str, path: Path) -> str:
        """The absolute path of a certificate chain, judged by itself."""
        file = self.resolve(name)
        self.look("chain", file, path, self._judge_chain)
        return file

    def anchors(self, name: str, path: Path) -> TrustAnchors:
        """The CAs of a file, or the system's; without a file that can be read none at all."""
        if name == SYSTEM:
            return TrustAnchors(SYSTEM, (), SYSTEM)
        file = self.resolve(name)
        found: TrustAnchors | None = self.look("ca", file, path, self._judge_anchors)
        return found or TrustAnchors(file)

    def revocation_lists(self, name: str, path: Path) -> tuple[RevocationList, ...]:
        """The lists of a file; empty after a fault. One that is out of date is told, and waits for the next."""
        return self.look("crl", self.resolve(name), path, self._judge_lists) or ()

    def password(self, name: str, path: Path) -> str:
        """The first line of a password file; empty after a fault."""
        return self.look("password", self.resolve(name), path, _judge_password) or ""

    def addresses(self, name: str, path: Path) -> tuple[tuple[int, object], ...]:
        """The lines of a recipient list that are not comments: line number, and Mailbox or ValueFault."""
        return self.look("recipients", self.resolve(name), path, _judge_list) or ()

    def list_problem(self, name: str, line: int, path: str, fault: values.ValueFault) -> None:
        """A fault inside a list of recipients, at the list's own line."""
        shown_name = os.path.relpath(self.resolve(name), os.path.abspath("."))
        file = self.resolve(name) if shown_name.startswith("..") else shown_name
        self._report.problems.append(Problem(file, line, 1, path, str(fault), fault.hint))

    def look(self, kind: str, file: str, path: Path, judge: Callable[[str, Finding], None]) -> Any:
        """What `judge` finds in `file`, once for each `kind`; it is told at `path`. None: the file is unusable."""
        finding = self._seen.get((kind, file))
        if finding is None:
            finding = self._seen[kind, file] = Finding()
            judge(file, finding)
            self.stamps.setdefault(file, finding.stamp)
            for message, hint in finding.warnings:
                self._report.warning(path, message, hint)
        for message, hint in finding.faults:
            self._report.ailment(path, message, hint)
        return finding.value

    def _judge_chain(self, file: str, finding: Finding) -> None:
        certificates = _certificates(file, finding)
        if not certificates:
            return
        finding.value = certificates
        for place, certificate in enumerate(certificates):
            state = self._state(certificate)
            if state is None:
                continue
            message, usable = state
            text = f"{_called(certificate)} in {file} {message}"
            if place == 0 and not usable:
                finding.fault(text, "put a renewed certificate in its place")
            else:
                finding.warnings.append((text, "renew it in time" if usable else "put a renewed one in its place"))

    def _judge_anchors(self, file: str, finding: Finding) -> None:
        certificates = _certificates(file, finding)
        if not certificates:
            return
        der = tuple(certificate.public_bytes(Encoding.DER) for certificate in certificates)
        digest = hashlib.sha256(b"".join(len(one).to_bytes(4, "big") + one for one in der)).hexdigest()
        finding.value = TrustAnchors(file, der, digest)  # also where all have expired: `certs list` shows them
        states = [self._state(certificate) for certificate in certificates]
        if all(state is not None and not state[1] for state in states):
            finding.fault(f"no CA in {file} is valid today: {_called(certificates[0])} {(states[0] or ('',))[0]}")
            return
        for certificate, state in zip(certificates, states, strict=True):
            if state:
                finding.warnings.append((f"{_called(certificate)} in {file} {state[0]}", "ask its owner for the next"))

    def _judge_lists(self, file: str, finding: Finding) -> None:
        content = read(file, finding)
        if content is None:
            return
        try:
            finding.value = crl.read_lists(content)
        except ValueError as error:
            finding.fault(f"{file} holds no certificate revocation list: {error}", "PEM or DER of its issuer is needed")
            return
        for each in finding.value:
            stale = crl.staleness(each, self.now)
            if stale or each.fault:
                message = f"the list of {shown(each.issuer_name)} in {file} {stale or 'does not count: ' + each.fault}"
                finding.warnings.append((message, "with `revocation: hard` mail waits until it is renewed"))

    def _state(self, certificate: x509.Certificate) -> tuple[str, bool] | None:
        """What is to be said of a certificate's time, and whether it can be used; None: nothing."""
        begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        left = ends.timestamp() - self.now
        if left < 0:
            return f"expired on {_date(ends)}", False
        if begins.timestamp() > self.now:
            clock = datetime.datetime.fromtimestamp(self.now, datetime.UTC)
            return f"is not valid before {_minute(begins)}, this machine's clock says {_minute(clock)}", False
        if left < SOON:
            return f"expires on {_date(ends)}, in {int(left // DAY)} days", True
        return None

    def _match(self, certificates: list[x509.Certificate], private: bytes, path: Path) -> None:
        matching = [place for place, certificate in enumerate(certificates) if _public(certificate) == private]
        if not matching:
            hint = "chain and key must come from one request"
            self._report.ailment((*path, "key"), "the key does not belong to the certificate of `chain`", hint)
        elif matching[0] != 0:
            hint = "our own certificate comes first, then those above it"
            message = f"the certificate of this key is number {matching[0] + 1} of the file"
            self._report.ailment((*path, "chain"), message, hint)


def read(file: str, finding: Finding) -> bytes | None:
    """The octets of a regular file of at most MAX_FILE octets; None after a fault."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO must not make us wait
        state = os.fstat(descriptor)
        finding.stamp = stamp_of(state)
        if not stat.S_ISREG(state.st_mode):
            os.close(descriptor)
            finding.fault(f"{file} is not a regular file")
            return None
        with open(descriptor, "rb") as stream:
            content = stream.read(MAX_FILE + 1)
    except (OSError, ValueError) as error:
        finding.stamp = stamp(file)
        finding.fault(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}", _reading_hint(error))
        return None
    if len(content) > MAX_FILE:
        finding.fault(f"{file} is larger than {MAX_FILE >> 20} MiB")
        return None
    finding.content = content
    return content


def _reading_hint(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "paths begin at the folder of connectors.yaml"
    return "give this user the right to read it" if isinstance(error, PermissionError) else ""


def _certificates(file: str, finding: Finding) -> list[x509.Certificate]:
    content = read(file, finding)
    if content is None:
        return []
    try:
        certificates = x509.load_pem_x509_certificates(content)
        for certificate in certificates:
            certificate.public_key()
            certificate.not_valid_before_utc, certificate.not_valid_after_utc  # noqa: B018  # they are parsed here
    except _PEM_FAULTS as error:
        hint = "expected -----BEGIN CERTIFICATE-----"
        if content.startswith(b"\x30"):
            hint = "this is DER: openssl x509 -inform DER -in FILE -out FILE.pem"
        finding.fault(f"{file} holds no PEM certificates: {error}", hint)
        return []
    return certificates


def _judge_key(file: str, finding: Finding) -> None:
    content = read(file, finding)
    if content is None:
        return
    try:
        key = load_pem_private_key(content, None)
        finding.value = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except TypeError:
        finding.fault(f"the key in {file} has a passphrase", "openssl pkey -in FILE -out FILE.clear")
    except _PEM_FAULTS:  # the library's own words speak of its internals
        finding.fault(f"{file} holds no PEM private key", "expected -----BEGIN PRIVATE KEY-----")
    warn_if_open(file, finding, "the private key")


def _judge_password(file: str, finding: Finding) -> None:
    content = read(file, finding)
    if content is None:
        return
    try:
        password = content.partition(b"\n")[0].rstrip(b"\r").decode("utf-8")
    except UnicodeDecodeError:
        finding.fault(f"the password in {file} is not UTF-8")
        return
    if not password or not password.isprintable():
        finding.fault(f"the first line of {file} is no password", "write the password alone into the first line")
        return
    finding.value = password
    warn_if_open(file, finding, "the password")


def warn_if_open(file: str, finding: Finding, what: str) -> None:
    """Warn of a secret that everybody can read or replace."""
    try:
        mode = os.stat(file).st_mode
    except OSError:
        return  # it was just read; if it is gone now, the next start says so
    if mode & (stat.S_IROTH | stat.S_IWOTH):
        finding.warnings.append((f"every user of this machine can read {what} in {file}", f"chmod o-rwx {file}"))


def _judge_list(file: str, finding: Finding) -> None:
    content = read(file, finding)
    if content is None:
        return
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        finding.fault(f"{file} is not UTF-8: octet {error.start + 1}")
        return
    written = ((number, line.strip()) for number, line in enumerate(lines, 1))
    finding.value = tuple((number, _mailbox(line)) for number, line in written if line and not line.startswith("#"))


def _mailbox(line: str) -> object:
    try:
        return values.mailbox(line)
    except values.ValueFault as fault:
        return fault


def _public(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _called(certificate: x509.Certificate) -> str:
    try:
        name = certificate.subject.rfc4514_string()
    except ValueError:
        name = ""
    return f"the certificate {shown(name)}" if name else "a certificate without a name"


def _minute(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")


def _date(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%d")
