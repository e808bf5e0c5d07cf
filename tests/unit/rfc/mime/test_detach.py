"""The parts of a message that a report may be in."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from mta.rfc.mime.detach import MAX_PARTS, leaves
from tests.support.effort import growth, steps

TOP = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"


def test_leaves_have_type_name_and_octets() -> None:
    message = (
        TOP + b"--b\r\n\r\ntext\r\n--b\r\nContent-Type: application/zip; name=a.zip\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\nUEsDBA==\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n"
        b"Content-Type: application/x\r\nContent-Disposition: attachment; filename*0=b; filename*1*=%2Egz\r\n\r\n"
        b"x\r\n--b--\r\n"
    )
    assert [(part.media_type, part.name, part.data) for part in leaves(message)] == [
        ("text/plain", "", b"text"),
        ("application/zip", "a.zip", b"PK\x03\x04"),
        ("application/x", "b.gz", b"x"),
    ]


def test_parts_are_bounded() -> None:
    assert len(leaves(TOP + b"--b\r\n\r\n" * 500)) == MAX_PARTS
    assert leaves(TOP + b"--b\r\n\r\n" * 20_000) == ()
    assert leaves(b"".join(TOP.replace(b"=b", b"=%d" % n) + b"--%d\r\n" % n for n in range(200))) == ()


def _many(size: int) -> Callable[[], object]:
    message = TOP + b"--b\r\n\r\n" * size + b"--b--\r\n"
    return lambda: leaves(message)


def test_what_has_too_many_parts_costs_no_more_than_what_has_just_too_many() -> None:
    assert steps(_many(40_000)) < 1.1 * steps(_many(11_000))
    assert growth(_many, 50_000) < 8


@given(
    st.lists(
        st.sampled_from(
            [TOP, b"--b\r\n", b"--b--\r\n", b"\r\n", b"Content-Transfer-Encoding: base64\r\n", b"=\r\n", b"a"]
        )
    )
)
def test_noise_never_raises(pieces: list[bytes]) -> None:
    assert len(leaves(b"".join(pieces))) <= MAX_PARTS
