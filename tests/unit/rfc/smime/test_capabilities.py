"""SMIMECapabilities: the words of what others read, and what we say of ourselves."""

from __future__ import annotations

import pytest

from mta.errors import SmimeError
from mta.rfc.smime import der
from mta.rfc.smime.algorithms import OAEP
from mta.rfc.smime.ber import read
from mta.rfc.smime.capabilities import OURS, oaep_parameters, read_capabilities

AES_128, AES_256 = der.algorithm("2.16.840.1.101.3.4.1.2"), der.algorithm("2.16.840.1.101.3.4.1.42")


def words(*capabilities: bytes) -> tuple[str, ...]:
    return read_capabilities(read(der.sequence(*capabilities)))


def test_ours() -> None:
    assert read_capabilities(read(OURS)) == (
        *("aes256-gcm", "aes192-gcm", "aes128-gcm", "aes256-cbc", "aes192-cbc", "aes128-cbc"),
        *("cek-hkdf-sha256", "oaep-sha256", "oaep-sha512"),
    )


def test_the_order_is_kept_and_each_word_stands_once() -> None:
    rc2 = der.algorithm("1.2.840.113549.3.2", der.integer(128))
    assert words(AES_128, rc2, AES_256, AES_128, der.algorithm("1.2.3")) == ("aes128-cbc", "aes256-cbc")
    assert words() == ()


@pytest.mark.parametrize("digest", ["sha1", "sha256", "sha384", "sha512"])
def test_oaep_is_told_by_its_hash(digest: str) -> None:
    assert words(der.algorithm(OAEP, oaep_parameters(digest))) == (f"oaep-{digest}",)


def test_oaep_that_cannot_be_read_is_no_word() -> None:
    for parameters in (b"", der.NULL, der.sequence(der.explicit(0, der.NULL)), der.sequence(der.explicit(0))):
        assert words(der.algorithm(OAEP, parameters)) == ()
    unknown = der.sequence(der.explicit(0, der.algorithm("1.2.3")))
    assert words(der.algorithm(OAEP, unknown), AES_256) == ("aes256-cbc",)


def test_what_is_no_list_of_algorithms_is_an_error() -> None:
    with pytest.raises(SmimeError):
        words(der.NULL)
