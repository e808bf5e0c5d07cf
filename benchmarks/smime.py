"""S/MIME: signing and encrypting against what the machine can do at all, on one core and on two.

Prints one JSON line for each case; `ratio` is ours divided by the peer's, more is better. Each case runs in turns with
its peer, so that a busy machine hits both alike. Cases: `both-4k` and its parts `cms-4k`, `message-4k` against the raw
rate of the RSA-2048 private key; `both-1m` against the floor of a megabyte (SHA-256, AES and base64, once each per
layer); `workers` two processes against one; `memory` the most that a message of 16 MiB takes, in messages.

    python benchmarks/smime.py [--seconds 2] [--case both-4k ...]
"""

from __future__ import annotations

import argparse
import binascii
import hashlib
import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from mta.model.message import HeaderBlock
from mta.rfc.mime.header import scan_header
from mta.rfc.smime.algorithms import Pieces
from mta.rfc.smime.compose import Protection, protect_message
from mta.rfc.smime.encrypt import enveloped_data, enveloped_pieces, prepare_recipient
from mta.rfc.smime.profile import PROFILES, Profile
from mta.rfc.smime.sign import SigningIdentity, prepare_signer, signed_data

NOW = time.time()
HEADER = (
    b"From: Anna Schmidt <anna@contoso.example>\r\nTo: Bernd Weber <bernd@fabrikam.example>\r\n"
    b"Subject: Quarterly figures and what follows from them\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n"
    b"Message-ID: <20261123100000.1@contoso.example>\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=us-ascii\r\n\r\n"
)
LINE = b"The figures of the third quarter are better than those of the second one.\r\n"
MEMORY_SIZE = 16 << 20
Line = dict[str, object]


def message(size: int) -> bytes:
    return HEADER + LINE * ((size - len(HEADER)) // len(LINE))


class Bench:
    """A signer with a chain of two certificates, a recipient, and one way to do both."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.key = rsa.generate_private_key(65537, 2048)
        certificate = _certificate(self.key)
        self.signer = prepare_signer(SigningIdentity(certificate, (), self.key), profile)
        self.recipient = prepare_recipient(certificate, profile)

    def sign(self, entity: bytes | Pieces) -> bytes:
        return signed_data([self.signer], entity, detached=True, signing_time=NOW)

    def encrypt(self, entity: bytes) -> bytes:
        return enveloped_data([self.recipient], entity, self.profile, os.urandom)

    def pieces(self, entity: Pieces) -> Iterator[bytes]:
        return enveloped_pieces([self.recipient], entity, self.profile, os.urandom)

    def cms(self, content: bytes) -> bytes:
        return self.encrypt(content + self.sign(content))

    def whole(self, content: bytes, block: HeaderBlock | None = None) -> bytes:
        protection = Protection(os.urandom, self.sign, self.pieces, authenticated=self.profile.authenticated)
        done = protect_message(content, protection, block)
        assert isinstance(done, bytes)
        return done

    def raw(self) -> bytes:
        return self.key.sign(b"x" * 256, padding.PKCS1v15(), SHA256())


def _certificate(key: rsa.RSAPrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Contoso Mail Gateway")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    return builder.sign(key, SHA256()).public_bytes(Encoding.DER)


def floor(content: bytes) -> None:
    """What nobody can save: the digest, the cipher over the signed entity, and base64 of the ciphertext."""
    hashlib.sha256(content).digest()
    encryptor = Cipher(algorithms.AES(bytes(32)), modes.CBC(bytes(16))).encryptor()
    binascii.b2a_base64(encryptor.update(content[: len(content) // 16 * 16]))


def rates(ours: Callable[[], object], peer: Callable[[], object], seconds: float) -> tuple[float, float]:
    """Calls a second of processor time of both, in turns of some 20 ms."""
    spent, calls = [0.0, 0.0], [0, 0]
    for call in (ours, peer):
        call()
    while sum(spent) < seconds:
        for place, call in enumerate((ours, peer)):
            start = time.process_time()
            end = start
            while end - start < 0.02:
                call()
                calls[place] += 1
                end = time.process_time()
            spent[place] += end - start
    return calls[0] / spent[0], calls[1] / spent[1]


def against(name: str, pair: tuple[Callable[[], object], Callable[[], object]], goal: float, seconds: float) -> Line:
    ours, peer = rates(*pair, seconds)
    return {"case": name, "ours": round(ours, 1), "peer": round(peer, 1), "ratio": round(ours / peer, 3), "goal": goal}


def _work(seconds: float, begin: Any, done: Any) -> None:
    bench, content = Bench(PROFILES["default"]), message(4096)
    begin.wait()
    count, began, end = 0, time.process_time(), time.perf_counter() + seconds
    while time.perf_counter() < end:
        bench.whole(content)
        count += 1
    done.put((count / seconds, count / (time.process_time() - began)))


def together(processes: int, seconds: float) -> tuple[float, float]:
    """Messages a second of all of them, by the clock, and by the processor time that each one got."""
    context = multiprocessing.get_context("spawn")
    begin, done = context.Barrier(processes), context.Queue()
    workers = [context.Process(target=_work, args=(seconds, begin, done)) for _ in range(processes)]
    for worker in workers:
        worker.start()
    rates = [done.get() for _ in workers]
    for worker in workers:
        worker.join()
    return sum(clock for clock, _ in rates), sum(processor for _, processor in rates)


def workers(seconds: float) -> Line:
    """Two processes and one, in turns. `ratio` is by processor time, `clock` by the clock of a machine that is idle."""
    turns = [(together(1, seconds / 6), together(2, seconds / 6)) for _ in range(3)]
    one, two = (tuple(map(sum, zip(*side, strict=True))) for side in zip(*turns, strict=True))
    clock, ratio = round(two[0] / one[0], 3), round(two[1] / one[1], 3)
    return {"case": "workers", "one": round(one[1] / 3), "two": round(two[1] / 3), "ratio": ratio, "clock": clock}


def memory() -> Line:
    """A process of its own that does one large message: the peak of its resident set, the message included."""
    command = [sys.executable, __file__, "--case", "memory-child"]
    messages = float(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    return {"case": "memory", "size": MEMORY_SIZE, "messages": round(messages, 2), "goal": 3.0}


def _memory_child() -> None:
    bench, content = Bench(PROFILES["default"]), message(MEMORY_SIZE)
    bench.whole(message(4096))
    before = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here on
    bench.whole(content)
    print((_resident("VmHWM") - before) / len(content) + 1)  # the message itself was there before


def _resident(name: str) -> int:
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(name))


def cases(seconds: float, wanted: list[str]) -> Iterator[Line]:
    bench = Bench(PROFILES["default"])
    small, large = message(4096), message(1 << 20)
    header = scan_header(small, len(small))  # the relay has found it before, and hands it on
    constant = Bench(PROFILES["default"])
    signature, envelope = constant.sign(small), constant.encrypt(small)
    only_message = Protection(os.urandom, lambda _: signature, lambda _: (envelope,))
    pairs = {
        "both-4k": (lambda: bench.whole(small, header), bench.raw, 0.75),
        "cms-4k": (lambda: bench.cms(small), bench.raw, 0.75),
        "message-4k": (lambda: protect_message(small, only_message, header), bench.raw, 8.0),
        "both-1m": (lambda: bench.whole(large), lambda: floor(large), 0.6),
        "cms-1m": (lambda: bench.cms(large), lambda: floor(large), 0.6),
    }
    for name, (ours, peer, goal) in pairs.items():
        if name in wanted:
            yield against(name, (ours, peer), goal, seconds)
    if "workers" in wanted:
        yield {**workers(seconds * 2), "goal": 1.8}
    if "memory" in wanted:
        yield memory()


def main() -> None:
    names = ["both-4k", "cms-4k", "message-4k", "both-1m", "cms-1m", "workers", "memory"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--case", action="append", choices=[*names, "memory-child"])
    options = parser.parse_args()
    if options.case == ["memory-child"]:
        _memory_child()
        return
    for line in cases(options.seconds, options.case or names):
        print(json.dumps({"benchmark": "smime", **line}), flush=True)


if __name__ == "__main__":
    main()
