"""A long From is read by a thread."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from mta.pipeline.author import author_of
from mta.rfc.mime.from_ import parse_from
from mta.rfc.mime.header import scan_header


@pytest.mark.parametrize(("times", "on_the_loop"), [(1, True), (100, True), (1000, False)])
async def test_a_long_from_holds_nobody_up(times: int, on_the_loop: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def watched(*arguments: Any) -> Any:
        seen.append(threading.get_ident())
        return parse_from(*arguments)

    monkeypatch.setattr("mta.pipeline.author.parse_from", watched)
    raw = b"From: " + b"a@b.example, " * times + b"c@d.example\r\n\r\n"
    block = scan_header(raw, len(raw))
    assert await author_of(block, 10_000) == parse_from(block, 10_000)
    assert (seen == [threading.get_ident()]) is on_the_loop
