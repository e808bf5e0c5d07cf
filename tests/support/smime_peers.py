"""Other programs that sign, verify, encrypt and decrypt CMS: openssl cms, gpgsm, and cmsutil of NSS."""

from __future__ import annotations

import os
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from shutil import rmtree

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat, pkcs12

from tests.support.patience import patient
from tests.support.smime import Person, root

PASSWORD = "interop"


class PeerFailed(Exception):
    """The other program did not do it; what it said."""


def run(*command: str | Path, given: bytes = b"", pass_fds: tuple[int, ...] = ()) -> bytes:
    done = subprocess.run(
        [*map(str, command)], input=given, capture_output=True, timeout=patient(60), check=False, pass_fds=pass_fds
    )
    if done.returncode:
        raise PeerFailed(f"{command}: {done.returncode} {done.stderr.decode(errors='replace')[-600:]}")
    return done.stdout


@dataclass
class Peer:
    """A program with a folder of its own, and the people it knows."""

    folder: Path
    people: dict[str, Person]
    numbers: count[int] = field(default_factory=count)

    def file(self, content: bytes = b"") -> Path:
        path = self.folder / f"{next(self.numbers)}.bin"
        path.write_bytes(content)
        return path

    def p12(self, name: str) -> Path:
        """Certificate and key as these programs can read them: with the ciphers of old."""
        person = self.people[name]
        encryption = (
            PrivateFormat.PKCS12.encryption_builder()
            .kdf_rounds(2000)
            .key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC)
            .hmac_hash(hashes.SHA1())
            .build(PASSWORD.encode())
        )
        certificate = person.certificate
        path = self.folder / f"{name}.p12"
        path.write_bytes(
            pkcs12.serialize_key_and_certificates(
                name.encode(), person.key, certificate, [root().certificate], encryption
            )
        )
        return path

    def root_file(self) -> Path:
        path = self.folder / "root.pem"
        path.write_bytes(root().certificate.public_bytes(Encoding.PEM))
        return path


class OpenSsl(Peer):
    """`openssl cms`."""

    def prepare(self) -> None:
        self.root_file()
        for name, person in self.people.items():
            person.write(self.folder, name)

    def sign(self, name: str, content: bytes, detached: bool, *options: str) -> bytes:
        form = [] if detached else ["-nodetach"]
        keys = ["-signer", self.folder / f"{name}.pem", "-inkey", self.folder / f"{name}.key"]
        return run("openssl", "cms", "-sign", "-binary", "-outform", "DER", *form, *keys, *options, given=content)

    def verify(self, der: bytes, content: bytes | None) -> bytes:
        detached = ["-content", self.file(content)] if content is not None else []
        trust = ["-CAfile", self.folder / "root.pem"]
        return run("openssl", "cms", "-verify", "-binary", "-inform", "DER", *trust, *detached, given=der)

    def encrypt(self, names: list[str], content: bytes, *options: str) -> bytes:
        recipients = [part for name in names for part in ("-recip", self.folder / f"{name}.pem", *options[1:])]
        return run("openssl", "cms", "-encrypt", "-binary", "-outform", "DER", options[0], *recipients, given=content)

    def decrypt(self, name: str, der: bytes) -> bytes:
        keys = ["-recip", self.folder / f"{name}.pem", "-inkey", self.folder / f"{name}.key"]
        return run("openssl", "cms", "-decrypt", "-binary", "-inform", "DER", *keys, given=der)


class Gpgsm(Peer):
    """GnuPG for X.509, with an agent of its own in a folder whose name is short enough for a socket."""

    def prepare(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="gpgsm"))
        self.home.chmod(0o700)
        (self.home / "gpgsm.conf").write_text("disable-crl-checks\nno-secmem-warning\nbatch\n")
        (self.home / "gpg-agent.conf").write_text("allow-loopback-pinentry\ns2k-count 65536\n")
        fingerprint = root().certificate.fingerprint(hashes.SHA1()).hex().upper()
        (self.home / "trustlist.txt").write_text(f"{fingerprint} S relax\n")
        self._run("--import", given=root().certificate.public_bytes(Encoding.PEM))
        for name, person in self.people.items():
            self._run("--import", given=person.certificate.public_bytes(Encoding.PEM))
            if isinstance(person.key, rsa.RSAPrivateKey):  # those of elliptic curves crash gpgsm 2.2
                self._import_key(name)

    def _import_key(self, name: str) -> None:
        """gpgsm 2.2 takes the octets of some PKCS #12 files for the end of the file: made anew they are others."""
        for _ in range(5):
            with suppress(PeerFailed):
                self._run("--import", self.p12(name))
                return
        self._run("--import", self.p12(name))

    def _run(self, *options: str | Path, given: bytes = b"") -> bytes:
        reader, writer = os.pipe()
        os.write(writer, PASSWORD.encode())
        os.close(writer)
        start = ["gpgsm", "--homedir", self.home, "--pinentry-mode", "loopback", "--passphrase-fd", str(reader)]
        try:
            return run(*start, "--yes", *options, given=given, pass_fds=(reader,))
        finally:
            os.close(reader)

    def close(self) -> None:
        with suppress(PeerFailed):
            run("gpgconf", "--homedir", self.home, "--kill", "all")
        rmtree(self.home, ignore_errors=True)

    def sign(self, name: str, content: bytes, detached: bool, *options: str) -> bytes:
        form = ["--detach-sign"] if detached else ["--sign"]
        return self._run("--local-user", self._id(name), *options, *form, given=content)

    def verify(self, der: bytes, content: bytes | None) -> bytes:
        if content is not None:
            self._run("--verify", self.file(der), self.file(content))
            return content
        out = self.file()
        self._run("--output", out, "--verify", self.file(der))
        return out.read_bytes()

    def encrypt(self, names: list[str], content: bytes, *options: str) -> bytes:
        recipients = [part for name in names for part in ("--recipient", self._id(name))]
        return self._run(*recipients, *options, "--encrypt", given=content)

    def decrypt(self, name: str, der: bytes) -> bytes:
        return self._run("--decrypt", given=der)

    def _id(self, name: str) -> str:
        return self.people[name].certificate.fingerprint(hashes.SHA1()).hex().upper()


class Nss(Peer):
    """`cmsutil` with a key database of its own."""

    def prepare(self) -> None:
        self.base = f"sql:{self.folder}"
        run("certutil", "-N", "-d", self.base, "--empty-password")
        run("certutil", "-A", "-d", self.base, "-n", "root", "-t", "CT,C,C", "-a", "-i", self.root_file())
        for name in self.people:
            run("pk12util", "-i", self.p12(name), "-W", PASSWORD, "-d", self.base)

    def sign(self, name: str, content: bytes, detached: bool, *options: str) -> bytes:
        form = ["-T"] if detached else []
        start = ["cmsutil", "-S", "-d", self.base, "-N", name, "-G", "-P"]
        return run(*start, *form, *options, "-i", self.file(content))

    def verify(self, der: bytes, content: bytes | None) -> bytes:
        detached = ["-c", self.file(content)] if content is not None else []
        out = self.file()
        run("cmsutil", "-D", "-d", self.base, *detached, "-i", self.file(der), "-o", out)
        return out.read_bytes()

    def encrypt(self, names: list[str], content: bytes, *options: str) -> bytes:
        return run("cmsutil", "-E", "-d", self.base, "-r", ",".join(names), "-i", self.file(content))

    def decrypt(self, name: str, der: bytes) -> bytes:
        out = self.file()
        run("cmsutil", "-D", "-d", self.base, "-i", self.file(der), "-o", out)
        return out.read_bytes()
