"""The SMTP dialogues of chasquid's own tests, held with our server and the real inbound steps behind it.

Three-digit codes are compared. Where we mean something else, it stands in DIFFERENT with the reason. chasquid also
takes addresses without angle brackets; the brackets are put in here, so that the rest of such a dialogue is judged
(tests/unit/adapters/smtp_server/test_order.py has the refusal).
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from OpenSSL import SSL

from mta.adapters.tls.context import client_context, server_context
from mta.contract.domains import Domain
from mta.contract.values import HostPort
from tests.support.corpora import corpus
from tests.support.pki import authority
from tests.support.smtp_server import Client, Ended, serving
from tests.unit.pipeline.inbound_world import World

CLOSED = 0  # no reply: the connection has ended

_SMUGGLING = "a bare LF is refused with 550 5.6.0 rather than 521, and the connection ends as theirs does"
_NO_AUTH = "AUTH is not offered: a peer is identified by network or certificate"
_SYNTAX = "a syntax error in the argument is 501 (RFC 5321 §4.2.2), not 500"
_AUTH_LINE = "what would answer a challenge of AUTH is no command"
# dialogue -> {the how-manieth expectation (from 0): (our code, why)}
DIFFERENT: dict[str, dict[int, tuple[int, str]]] = {
    "auth_multi_dialog": {
        **dict.fromkeys((2, 3, 7, 9, 11), (502, _NO_AUTH)),
        **dict.fromkeys((4, 8, 10), (500, _AUTH_LINE)),
    },
    "auth_not_tls": {2: (502, _NO_AUTH)},
    "auth_too_many_failures": dict.fromkeys((2, 3, 4), (502, _NO_AUTH)),
    "bad_data": {9: (250, "a header line that is no field travels on untouched: a relay does not re-serialise")},
    "bad_data_dot": {5: (550, _SMUGGLING)},
    "bad_data_dot_2": {5: (550, _SMUGGLING)},
    "bad_data_dot_on_message_too_big": {5: (550, _SMUGGLING)},
    "bad_mail_from": {2: (501, _SYNTAX), 3: (501, _SYNTAX)},
    "bad_rcpt_to": {
        3: (501, _SYNTAX),
        4: (501, _SYNTAX),
        13: (501, "after HELO an address beyond ASCII is a syntax error, not an unknown recipient"),
    },
    "line_too_long": {1: (500, "RFC 5321 §4.5.3.1.9 names 500 for a line too long; the session goes on")},
}

TESTSERVER = Domain("testserver", (HostPort("192.0.2.25", 25),), "internal", "any")


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> SSL.Context:
    folder = tmp_path_factory.mktemp("server")
    chain, key = authority("Contoso Root").issue(dns_names=["mx.contoso.example"]).write(folder, "mx")
    return server_context(Path(chain), Path(key), ask_client=False)


def steps(path: Path) -> Iterator[tuple[str, str]]:
    """(what, text) of each line: connect, tls, close, send, raw, expect."""
    for line in path.read_text().splitlines():
        match = re.fullmatch(r"c (tcp_connect|tls_connect|close|->|~>|<-|<~|<\.\.\.) ?(.*)", line)
        if match is None:
            assert not line.strip() or line.startswith("#") or line == "c ->", line
            if line == "c ->":
                yield "send", ""
            continue
        names = {"tcp_connect": "connect", "tls_connect": "tls", "close": "close", "->": "send", "~>": "raw"}
        yield names.get(match[1], "expect"), match[2]


def raw(text: str) -> bytes:
    """The octets that an expression such as `('a' * 899 + '\\r\\n') * 1165` means."""
    assert re.fullmatch(r"""[('"abx0-9+*). \\rn]*""", text), text
    return eval(text, {"__builtins__": {}}).encode()


class Dialogue:
    """One being held: where it connects to, and who speaks now."""

    def __init__(self, plain: Any, encrypted: Any) -> None:
        self.plain, self.encrypted = plain, encrypted
        self.client: Client | None = None
        self.codes: list[int] = []

    async def perform(self, what: str, text: str) -> None:
        if what in ("connect", "tls"):
            self.client = await (self.plain if what == "connect" else self.encrypted).connect(greeted=False)
            if what == "tls":
                await self.client.start_tls(client_context())
            return
        assert self.client is not None
        if what == "close":
            self.client.transport.abort()
        elif what == "expect":
            try:
                self.codes.append(await self.client.reply())
            except Ended:
                self.codes.append(CLOSED)
        else:
            text = re.sub(r"^(RCPT TO:) ?([^<\s]+@\S+)$", r"\1<\2>", text)
            self.client.write(raw(text) if what == "raw" else text.encode() + b"\r\n")
            await asyncio.sleep(0)


def names() -> list[str]:
    with contextlib.suppress(pytest.skip.Exception):
        return sorted(path.stem for path in corpus("smtp-dialogs-chasquid").rglob("*.cmy"))
    return ["(the corpora are not here)"]


@pytest.mark.parametrize("name", names())
async def test_a_dialogue_of_chasquid(name: str, tls: SSL.Context) -> None:
    [path] = corpus("smtp-dialogs-chasquid").rglob(f"{name}.cmy")
    relay: Any = World(domains=(TESTSERVER,)).relay
    limits = {"message_size": 1_048_576, "error_delay": 0.0}
    async with serving(relay, **limits) as plain, serving(relay, tls=tls, implicit_tls=True, **limits) as encrypted:
        dialogue = Dialogue(plain, encrypted)
        for what, text in steps(path):
            await dialogue.perform(what, text)
        theirs = [int(re.match(r"\d{3}", text)[0]) for what, text in steps(path) if what == "expect"]
    differences = {
        place: ours for place, (ours, their) in enumerate(zip(dialogue.codes, theirs, strict=True)) if ours != their
    }
    assert differences == {place: code for place, (code, _) in DIFFERENT.get(name, {}).items()}


def test_every_difference_has_its_reason_and_its_dialogue() -> None:
    corpus("smtp-dialogs-chasquid")  # skips where it is missing
    assert set(DIFFERENT) <= set(names())
    assert all(reason for places in DIFFERENT.values() for _, reason in places.values())
