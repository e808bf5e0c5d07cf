"""`mta verify` judges whatever it is given, as of any moment."""

from __future__ import annotations

import io
import json
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from mta.cli.verify import VerifyOptions, verify
from mta.errors import UsageError
from tests.support.dns_server import dns_server
from tests.support.signatures import DOMAIN, MESSAGE, NOW, ed25519_key, ed25519_signer, record, signed

KEY = record(ed25519_key()).decode()
ZONE = {
    ("a.example", "TXT"): ['"v=spf1 ip4:192.0.2.1 -all"'],
    ("null.example", "MX"): ["0 ."],
    (f"e._domainkey.{DOMAIN}", "TXT"): [f'"{KEY}"'],
}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def call(
        raw: bytes, mail_from: str = "", ip: str = "192.0.2.1", *, json_output: bool = True, second: bool = False
    ) -> Any:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(raw)))
        with dns_server(ZONE) as (host, port):
            server = f"{host}:{port}"
            options = VerifyOptions(ip, "h.example", mail_from, server, NOW, "no-such.yaml", json_output, second)
            assert verify(options) == 0
        printed = capsys.readouterr().out
        return json.loads(printed) if json_output else printed

    return call


@pytest.mark.parametrize(
    ("mail_from", "result"),
    [
        ("x@a.example", "pass"),
        ("<x@A.example>", "pass"),
        ("@a.example", "pass"),
        ("two words@a.example", "pass"),
        ("x@a...example", "none"),
        (f"x@{'y' * 64}.example", "none"),
        ("<>", "none"),
    ],
)
def test_every_sender_is_judged(run: Any, mail_from: str, result: str) -> None:
    """RFC 7208 §4.3: what no server would take is `none`, and no usage error."""
    assert run(b"From: x@a.example\r\n\r\nx\r\n", mail_from)["spf"]["mail_from"]["result"] == result


def test_what_is_no_address_at_all_is_a_usage_error(run: Any) -> None:
    for mail_from, ip in (("nobody", "192.0.2.1"), ("x\r\n@a.example", "192.0.2.1"), ("", "999.0.0.1")):
        with pytest.raises(UsageError):
            run(b"From: x@a.example\r\n\r\nx\r\n", mail_from, ip)


@pytest.mark.parametrize("raw", [b"", b"\r\n", b"no header\n", b"\x00\xff\n\n", b"From: a@a.example\n\nlines in LF\n"])
def test_every_message_is_judged(run: Any, raw: bytes) -> None:
    document = run(raw)
    assert set(document) == {"spf", "dkim", "dmarc", "arc", "sender", "authentication_results"}
    assert document["dkim"] == []


def test_a_sender_who_takes_no_mail_is_told_in_words(run: Any) -> None:
    text = run(b"From: x@a.example\r\n\r\nx\r\n", "x@null.example", json_output=False)
    assert "mx    -         fail      null.example  null.example publishes a null MX" in text
    assert "dkim  -         none      the message is not signed" in text
    assert text.rstrip().splitlines()[-1].startswith("\t")


def test_the_second_opinion_stands_beside_ours(run: Any) -> None:
    raw = signed(MESSAGE, ed25519_signer())
    found = run(raw, second=True)["second_opinion"]
    assert found["differences"] == 0
    assert [(one["subject"], one["ours"], one["theirs"], one["cause"]) for one in found["verdicts"]][:2] == [
        ("dkim", "pass", "pass", None),
        ("arc", "none", "none", None),
    ]
    sha1 = raw.replace(b"a=ed25519-sha256", b"a=rsa-sha1")
    assert "second_opinion" not in run(sha1)
    text = run(sha1, json_output=False, second=True)
    assert f"dkim  agrees    permerror / fail  e._domainkey.{DOMAIN}" in text


def test_a_difference_is_told_in_words(run: Any) -> None:
    text = run(b"X-\xc3\xa4: 1\r\n" + signed(MESSAGE, ed25519_signer()), json_output=False, second=True)
    assert f"dkim  differs   pass / error  e._domainkey.{DOMAIN}" in text
    assert "not-read: dkimpy or authres could not read it" in text
    assert "in its words: MessageFormatError" in text
