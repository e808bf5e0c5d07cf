"""A mailbox host of the demo, asked by the standard library's client."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mta.adapters.demo_pki import ensure_demo_pki
from mta.adapters.mailbox_sink import Arrival, SinkPlace, open_sink
from tests.support.patience import PATIENCE

MESSAGE = b"From: <alice@contoso.example>\r\nSubject: dots\r\n\r\n..\r\n.hidden\r\nend\r\n"


@pytest.fixture
def place(tmp_path: Path) -> SinkPlace:
    ensure_demo_pki(tmp_path, time.time())
    stem = tmp_path / "mailbox.contoso.example"
    return SinkPlace("127.0.0.1", 0, stem.name, Path(f"{stem}.pem"), Path(f"{stem}.key"), tmp_path / "mail")


async def with_sink(place: SinkPlace, client: Callable[[int], None]) -> list[Arrival]:
    arrivals: list[Arrival] = []
    server = await open_sink(place, arrivals.append)
    async with server:
        await asyncio.to_thread(client, server.sockets[0].getsockname()[1])
    return arrivals


async def test_a_message_over_tls_is_kept_byte_by_byte_and_announced(place: SinkPlace, tmp_path: Path) -> None:
    def client(port: int) -> None:
        context = ssl.create_default_context(cafile=str(tmp_path / "contoso-ca.pem"))
        with smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE) as session:
            session.starttls(context=context)
            session.sendmail("a@x.example", ["b@contoso.example", "c@contoso.example"], MESSAGE)
            session.sendmail("", ["b@contoso.example"], MESSAGE)

    first, second = await with_sink(place, client)
    assert (first.sender, first.recipients) == ("a@x.example", ("b@contoso.example", "c@contoso.example"))
    assert first.tls in ("1.2", "1.3")
    assert first.size == len(MESSAGE)
    assert first.path.read_bytes() == b"Return-Path: <a@x.example>\r\n" + MESSAGE
    assert second.path.read_bytes().startswith(b"Return-Path: <>\r\n")
    assert second.recipients == ("b@contoso.example",)
    assert sorted(place.folder.iterdir()) == [first.path, second.path]


async def test_mail_in_clear_is_refused(place: SinkPlace) -> None:
    def client(port: int) -> None:
        with smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE) as session:
            session.ehlo()
            assert session.mail("a@x.example")[0] == 530

    assert await with_sink(place, client) == []


async def test_a_folder_that_cannot_be_written_is_a_temporary_refusal(place: SinkPlace) -> None:
    def client(port: int) -> None:
        place.folder.rmdir()
        context = ssl._create_unverified_context()
        with smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE) as session:
            session.starttls(context=context)
            with pytest.raises(smtplib.SMTPDataError) as refused:
                session.sendmail("a@x.example", ["b@contoso.example"], MESSAGE)
            assert refused.value.smtp_code == 452

    assert await with_sink(place, client) == []
