"""Which addresses may be asked because a stranger says so."""

from __future__ import annotations

import pytest

from mta.model.public_address import is_public

PUBLIC = [
    *("8.8.8.8", "1.1.1.1", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0", "223.255.255.255"),
    *("2001:4860:4860::8888", "2a00:1450::1", "2620:4f:8000::1"),
    *("::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1", "2a00:1450::5efe:8.8.8.8"),
]
NOT_PUBLIC = [
    *("0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.255.254"),
    *("169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.0.170", "192.0.2.1", "192.88.99.1"),
    *("192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.1.1.1"),
    *("240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::127.0.0.1", "::8.8.8.8", "fe80::1", "fe80::1%eth0", "2a00::1%1", "fc00::1", "fd00::1"),
    *("fec0::1", "feff::1", "ff02::1", "ff0e::1", "100::1", "4000::1", "5f00::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:224.0.0.1", "::ffff:0:8.8.8.8", "::ffff:0.0.0.0"),
    *("64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b::224.0.0.1"),
    *("64:ff9b:1::8.8.8.8", "64:ff9b:1::1", "64:ff9b:0:0:1::1"),
    *("2002:7f00:1::", "2002:a00:1::1", "2002:c0a8:1::1", "2001::1", "2001:0:808:808::1", "2001:1::1", "2001:10::1"),
    *("2001:20::1", "2001:db8::1", "3ffe::1", "3fff::1", "3fff:fff::1"),
    *("2a00:1450::5efe:10.0.0.1", "2a00:1450::200:5efe:127.0.0.1"),
]


@pytest.mark.parametrize("address", PUBLIC)
def test_what_can_be_anybodys(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_what_is_ours_or_nobodys(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("text", ["", "localhost", "127.1", "0x7f.0.0.1", "[::1]", "8.8.8.8."])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="address"):
        is_public(text)
