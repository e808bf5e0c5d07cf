"""aiosmtpd is a frame: what a client says is never given to its own code."""

from __future__ import annotations

from aiosmtpd.smtp import SMTP

from mta.adapters.smtp_server.protocol import SmtpServerProtocol

_HEARS = ("connection_made", "data_received", "eof_received", "connection_lost", "_handle_client")


def _inherited(server: type[SMTP]) -> list[str]:
    """What a subclass left to aiosmtpd of its verbs and of asyncio's callbacks."""
    verbs = [name for name in dir(SMTP) if name.startswith("smtp_")]
    return [name for name in (*verbs, *_HEARS) if getattr(server, name) is getattr(SMTP, name)]


def test_a_plain_subclass_would_answer_by_itself() -> None:
    assert {"smtp_MAIL", "smtp_RCPT", "smtp_DATA", "data_received"} <= set(_inherited(SMTP))


def test_no_verb_and_no_callback_is_left_to_aiosmtpd() -> None:
    assert _inherited(SmtpServerProtocol) == []
