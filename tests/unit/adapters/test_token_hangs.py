"""A token that hangs holds no thread for good, is told at once, and is used again when it answers."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from mta.adapters.pki import make_key
from mta.adapters.token import Tokens
from mta.adapters.token_pool.blocking import BlockingPool
from mta.errors import MtaError
from tests.support.patience import PATIENCE
from tests.support.token_processes import Told

URI = "pkcs11:token=mta;object=office"


@lru_cache(1)
def public() -> Any:
    return make_key("rsa-2048").public_key()


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return Told(tmp_path)


@pytest.fixture
def tokens(told: Told) -> Iterator[Tokens]:
    made = Tokens("m", "1", pool=BlockingPool(told.settings(processes=1, patience=0.4, pause=0.3)))
    yield made
    made.close()


def sign(key: Any) -> bytes:
    return bytes(key.sign(b"x", padding.PKCS1v15(), hashes.SHA256()))


def test_a_key_with_its_certificate_asks_the_token_when_it_is_used(told: Told, tokens: Tokens) -> None:
    key = tokens.key(URI, public())
    assert isinstance(key, rsa.RSAPrivateKey)
    assert told.asked == []
    assert sign(key)
    assert [do for _, do, _ in told.asked] == ["login", "sign"]


def test_a_token_that_hangs_is_told_at_once_and_used_again_when_it_answers(told: Told, tokens: Tokens) -> None:
    key = tokens.key(URI, public())
    assert sign(key)
    told.rule("hang")
    with pytest.raises(MtaError, match=r"does not answer within 0\.4 s"):
        sign(key)
    asked = len(told.asked)
    for _ in range(5):
        with pytest.raises(MtaError, match="the next try is in"):
            sign(key)
    assert len(told.asked) == asked
    told.rule("hang", holds=False)
    end = time.monotonic() + PATIENCE
    while True:
        try:
            assert sign(key)
            break
        except MtaError:
            assert time.monotonic() < end
            threading.Event().wait(0.02)
    assert len({pid for pid, _, _ in told.asked}) == 2


def test_a_wrong_pin_is_tried_once(told: Told, tokens: Tokens) -> None:
    told.rule("pin")
    for _ in range(5):
        with pytest.raises(MtaError, match="refuses the PIN"):
            sign(tokens.key(URI, public()))
    assert told.logins() == 1


def test_however_many_threads_wait_one_process_is_asked(told: Told, tokens: Tokens) -> None:
    key, made = tokens.key(URI, public()), []
    work = [threading.Thread(target=lambda: made.append(sign(key))) for _ in range(8)]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join(PATIENCE)
    assert len(made) == 8
    assert len({pid for pid, _, _ in told.asked}) == 1


EXIT = """
import sys, threading
from pathlib import Path
from mta.adapters.token import Tokens
from mta.adapters.token_pool.blocking import BlockingPool
from tests.support.token_processes import Told
told = Told(Path(sys.argv[1]))
told.rule("hang")
tokens = Tokens("m", "1", pool=BlockingPool(told.settings(processes=1, patience=3600)))
threading.Thread(target=lambda: tokens.key("pkcs11:token=mta;object=office"), daemon=True).start()
while not told.asked:
    threading.Event().wait(0.01)
print("leaves")
"""


def test_the_exit_does_not_wait_for_it(told: Told) -> None:
    words = [sys.executable, "-c", EXIT, str(told.folder)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert done.stdout == "leaves\n"
