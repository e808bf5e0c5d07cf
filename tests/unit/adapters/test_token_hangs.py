"""A token that hangs takes one thread, is told at once, and is used again when it answers."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import pkcs11
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from pkcs11 import KeyType

from mta.adapters.pki import make_key
from mta.adapters.token import Tokens
from mta.errors import MtaError
from tests.support.patience import PATIENCE

URI = "pkcs11:token=mta;object=office"


@lru_cache(2)
def private(name: str = "office") -> Any:
    return make_key("rsa-2048")


class Module:
    """A module with one token and one key, as the library shows them. `gate`: what is asked waits for it."""

    key_type = KeyType.RSA

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.entered: list[int] = []

    def get_token(self, **_: Any) -> Module:
        self._wait()
        return self

    def open(self, **_: Any) -> Module:
        return self

    def get_key(self, **_: Any) -> Module:
        return self

    def sign(self, data: bytes, **_: Any) -> bytes:
        self._wait()
        return b"signed"

    def _wait(self) -> None:
        self.entered.append(threading.get_ident())
        assert self.gate.wait(PATIENCE)


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Iterator[Module]:
    made = Module()
    monkeypatch.setattr(pkcs11, "lib", lambda _: made)
    monkeypatch.setattr("mta.adapters.token._public_key", lambda _: private().public_key())
    yield made
    made.gate.set()


def sign(key: Any) -> bytes:
    return bytes(key.sign(b"x", padding.PKCS1v15(), hashes.SHA256()))


def test_a_key_with_its_certificate_asks_the_token_when_it_is_used(module: Module) -> None:
    key = Tokens("m", "1").key(URI, private().public_key())
    assert isinstance(key, rsa.RSAPrivateKey)
    assert module.entered == []
    assert sign(key) == b"signed"


def test_a_key_of_another_certificate_does_nothing(module: Module) -> None:
    key = Tokens("m", "1").key(URI, private("other").public_key())
    with pytest.raises(MtaError, match="another than that of the certificate"):
        sign(key)


def test_a_token_that_hangs_is_left_alone_until_it_answers(module: Module) -> None:
    key = Tokens("m", "1", patience=0.2).key(URI)
    module.gate.clear()
    module.entered.clear()
    with pytest.raises(MtaError, match="does not answer within"):
        sign(key)
    for _ in range(5):
        with pytest.raises(MtaError, match="hangs since"):
            sign(key)
    assert len(module.entered) == 1
    module.gate.set()
    for _ in range(100):  # it has answered as soon as its thread has run
        try:
            assert sign(key) == b"signed"
            break
        except MtaError:
            threading.Event().wait(PATIENCE / 100)
    else:
        pytest.fail("it is not used again")


def test_however_many_wait_one_thread_is_in_the_module(module: Module) -> None:
    key = Tokens("m", "1").key(URI)
    work = [threading.Thread(target=sign, args=(key,)) for _ in range(8)]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join(PATIENCE)
    assert len(module.entered) == 9
    assert len(set(module.entered)) == 1


EXIT = """
import threading, pkcs11
from mta.adapters.token import Tokens
from mta.errors import MtaError
class Hangs:
    def get_token(self, **_):
        threading.Event().wait()
pkcs11.lib = lambda _: Hangs()
try:
    Tokens("m", "1", patience=0.1).key("pkcs11:token=mta;object=office")
except MtaError as error:
    print(error)
"""


def test_the_exit_does_not_wait_for_it() -> None:
    done = subprocess.run([sys.executable, "-c", EXIT], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert "does not answer within 0.1 s" in done.stdout
