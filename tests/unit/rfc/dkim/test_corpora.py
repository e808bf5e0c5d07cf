"""The public messages: those of the standards, of dkimpy, of MimeKit and of mail-auth."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mta.model.auth import AuthResult
from tests.support.corpora import corpus, files
from tests.support.signatures import judged

RFC8463 = {
    "brisbane._domainkey.football.example.com": b"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
    "test._domainkey.football.example.com": (
        b"v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQ"
        b"iY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G"
        b"+2kryOTIKT+l/K4w3QIDAQAB"
    ),
}
PASS = AuthResult.PASS


def message(path: Path) -> bytes:
    """As it would have come by SMTP: the files have the line ends of their authors."""
    return re.sub(rb"\r?\n", b"\r\n", path.read_bytes())


def example(number: int, start: str, end: str) -> bytes:
    """A message printed in an RFC: without the page breaks and the indentation."""
    text = (corpus("rfc-text") / f"rfc{number}.txt").read_text()
    text = re.sub(r"\n+[^\n]+\[Page \d+\]\n\f?\n[^\n]+\n+", "\n", text)
    part = text[text.rindex(start) :]
    lines = [line.removeprefix("   ") for line in part[: part.index(end)].rstrip().split("\n")]
    return "\r\n".join([*lines, ""]).encode()


async def test_the_example_of_rfc_8463_passes() -> None:
    raw = example(8463, "   DKIM-Signature: v=1; a=ed25519-sha256", "Author's Address")
    outcomes = await judged(raw, RFC8463)
    assert [(outcome.result, outcome.algorithm) for outcome in outcomes] == [
        (PASS, "ed25519-sha256"),
        (PASS, "rsa-sha256"),
    ]


async def test_the_body_of_the_example_of_rfc_6376_is_the_signed_one() -> None:
    """But for two spaces that became one before it was signed. The header was re-folded for print and cannot fit."""
    text = example(
        6376, "   DKIM-Signature: v=1; a=rsa-sha256; s=brisbane; d=example.com", "                     Figure"
    )
    page = (corpus("rfc-text") / "rfc6376.txt").read_text()
    strings = re.findall(r'"(?:v=DKIM1; p=)?([A-Za-z0-9+/=]{20,})"', page[page.index("brisbane IN  TXT") :][:500])
    records = {"brisbane._domainkey.example.com": b"p=" + "".join(strings).encode()}
    (outcome,) = await judged(text, records)
    assert (outcome.result, outcome.key_bits) == (AuthResult.FAIL, 1024)
    assert "body" in outcome.reason
    (outcome,) = await judged(text.replace(b"game.  Are", b"game. Are"), records)
    assert outcome.result is AuthResult.FAIL
    assert "header" in outcome.reason


@pytest.mark.parametrize(
    ("name", "results"),
    [
        ("rfc6376.signed.rsa.msg", [PASS]),
        ("rfc6376.signed.msg", [PASS, PASS]),
        ("rfc6376.signed.no_t.msg", [AuthResult.FAIL]),  # the tags were edited behind the signature's back
        ("test.message.baddomain", [AuthResult.PERMERROR]),
        ("test.message", []),
        ("test_nofrom.message", []),
    ],
)
async def test_messages_of_dkimpy(name: str, results: list[AuthResult]) -> None:
    outcomes = await judged(message(corpus("dkim-dkimpy") / name), RFC8463)
    assert [outcome.result for outcome in outcomes] == results


async def test_messages_of_dkimpy_from_exim() -> None:
    folder = corpus("dkim-dkimpy")
    for name, selector, records in (("ed25519test2.msg", "sed", "eximtest.dns"),):
        key = (folder / records).read_bytes().splitlines()
        found = {f"{selector}._domainkey.test.ex": line for line in key if b"sPs07" in line}
        (outcome,) = await judged(message(folder / name), found)
        assert outcome.result is PASS


@pytest.mark.parametrize("name", ["gmail.msg", "related.msg", "multipart-no-end-boundary.msg", "rfc8463-example.msg"])
async def test_messages_of_mimekit(name: str) -> None:
    folder = corpus("mimekit-dkim")
    lines = (folder / "gmail.pub").read_text().split("-----")[2]
    records = {"20120113._domainkey.gmail.com": b"v=DKIM1; k=rsa; p=" + "".join(lines.split()).encode(), **RFC8463}
    outcomes = await judged(message(folder / name), records)
    assert outcomes
    assert [outcome.result for outcome in outcomes] == [PASS] * len(outcomes)


async def test_messages_of_mail_auth() -> None:
    """Each file begins with its key records. One signature has an x= of 2022: time stands still a day after it."""
    found = files("mail-auth/dkim", ".txt")
    assert len(found) >= 6
    for path in found:
        records, raw = message(path).split(b"\r\n\r\n", 1)
        zone = dict(line.split(b" ", 1) for line in records.split(b"\r\n"))
        outcomes = await judged(raw, {name.decode(): value for name, value in zone.items()}, now=1_667_843_700)
        assert outcomes, path
        assert [outcome.result for outcome in outcomes] == [PASS] * len(outcomes), (path, outcomes)
