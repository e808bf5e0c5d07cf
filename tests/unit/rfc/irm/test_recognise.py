"""What others' rights management protects is known by its octets, and its licence read without belief."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.model.foreign import Foreign
from mta.policy.decision import Decision, Verdict
from mta.policy.foreign import judge_foreign
from mta.rfc.irm.compound import Compound
from mta.rfc.irm.licence import read_licence
from mta.rfc.irm.recognise import find_foreign
from tests.support.irm import CONTENT_ID, LICENCE, compound, mail, office, pfile, rpmsg

OWNER, SERVER = "carol@fabrikam.example", "https://rms.fabrikam.example/_wmcs/licensing"
OCTETS = "application/octet-stream"
FILES = {
    "rpmsg": ("message.rpmsg", "application/x-microsoft-rpmsg-message", rpmsg()),
    "pfile": ("plan.txt.pfile", OCTETS, pfile()),
    "office": ("plan.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", office()),
}


@pytest.mark.parametrize("kind", FILES)
def test_each_kind_is_told_with_what_its_licence_says(kind: str):
    [found] = find_foreign(mail(FILES[kind]))
    assert found == Foreign(kind, FILES[kind][0], OWNER, SERVER, CONTENT_ID)


@pytest.mark.parametrize("kind", FILES)
def test_the_name_and_type_do_not_matter(kind: str):
    [found] = find_foreign(mail(("a.bin", OCTETS, FILES[kind][2])))
    assert (found.kind, found.owner) == (kind, OWNER)


def test_a_message_that_is_nothing_else():
    body = mail(FILES["rpmsg"]).partition(b"filename")[2].partition(b"\r\n\r\n")[2].partition(b"--b--")[0]
    raw = b"Content-Type: application/x-microsoft-rpmsg-message\r\nContent-Transfer-Encoding: base64\r\n\r\n" + body
    assert [one.kind for one in find_foreign(raw)] == ["rpmsg"]


def test_an_attached_message_is_looked_into():
    inner = mail(FILES["pfile"]).replace(b'"b"', b'"c"').replace(b"--b", b"--c")
    raw = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n"
    assert [one.kind for one in find_foreign(raw + inner + b"\r\n--b--\r\n")] == ["pfile"]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("password.docx", office(name="StrongEncryptionTransform")),  # a password is no rights management
        ("old.doc", compound({("WordDocument",): b"x" * 5000, ("1Table",): b"y" * 100})),
        ("message.rpmsg", b"only called so"),
        ("notes.pfile", b"about .pfile"),
        ("empty", b""),
    ],
)
def test_what_is_not_protected_is_not_called_so(name: str, data: bytes):
    assert find_foreign(mail((name, OCTETS, data))) == ()


def test_a_licence_in_utf_16_and_one_that_says_nothing():
    [wide] = find_foreign(mail(("a.xlsx", OCTETS, office(encoding="utf-16-le"))))
    assert (wide.owner, wide.server, wide.content_id) == (OWNER, SERVER, CONTENT_ID)
    [bare] = find_foreign(mail(("a.xlsx", OCTETS, office("<XrML/>"))))
    assert (bare.owner, bare.server, bare.content_id) == ("", "", "")


def test_a_licence_forges_no_lines():
    told = read_licence(LICENCE.replace("carol@", "x\x1b[31m\r\nverdict: good\u2028 @").encode())
    assert told.owner.isprintable()


@pytest.mark.parametrize("kind", FILES)
@given(data=st.data())
def test_damage_never_raises(kind: str, data: st.DataObject):
    octets = bytearray(FILES[kind][2])
    for _ in range(data.draw(st.integers(1, 8))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    find_foreign(mail(("a.bin", OCTETS, bytes(octets[: data.draw(st.integers(0, len(octets)))]))))


def test_a_chain_that_bites_its_tail_ends():
    octets = bytearray(office())
    octets[512 : 512 + 512] = (1).to_bytes(4, "little") * 128  # every sector is followed by sector 1
    find_foreign(mail(("a.bin", OCTETS, bytes(octets))))


def test_long_and_short_streams_come_whole():
    streams = {("a", "long"): bytes(range(256)) * 30, ("a", "short"): b"0123456789" * 30, ("top",): b"t"}
    made = Compound(compound(streams))
    assert {path: made.stream(number) for path, number in made.paths()} == streams


ACCEPT = Decision(Verdict.ACCEPT, "fabrikam")
FOUND = (Foreign("rpmsg", owner=OWNER),)


@pytest.mark.parametrize(
    ("found", "wish", "verdict"),
    [
        (FOUND, "pass", Verdict.ACCEPT),
        (FOUND, "hold", Verdict.HOLD),
        (FOUND, "refuse", Verdict.REFUSE),
        ((), "refuse", Verdict.ACCEPT),
    ],
)
def test_what_the_configuration_says_of_it(found: tuple[Foreign, ...], wish: str, verdict: str):
    judged = judge_foreign(ACCEPT, found, wish)
    assert judged.verdict == verdict
    assert any(OWNER in str(reason) for reason in judged.reasons) is (verdict != Verdict.ACCEPT)
    assert OWNER not in str(judged.reply)


def test_a_refusal_before_stays_and_a_hold_becomes_a_refusal():
    refused = Decision(Verdict.REFUSE, "fabrikam")
    assert judge_foreign(refused, FOUND, "hold") is refused
    assert judge_foreign(Decision(Verdict.HOLD, "fabrikam"), FOUND, "refuse").verdict == Verdict.REFUSE
