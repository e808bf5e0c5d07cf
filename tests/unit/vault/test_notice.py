"""The notice of a mail at the portal: two languages, two forms, and nothing of the mail."""

from __future__ import annotations

import email
import email.policy
import re
from dataclasses import replace

import pytest

from mta.contract.protection import Label
from mta.model.protected import Item
from mta.ports.mail_vault import Invitation, Post
from mta.vault.mail import reference
from mta.vault.notice import Notice, compose_notice

ITEM = Item(
    "abcdefghijklmnopqrstuvwxyz", b"", b"", "", "mail", "c", "a@contoso.example", "s", "r1", 0.0, 1_700_000_000.0
)
POST = Post(
    "id-1",
    "c",
    "a@contoso.example",
    ("b@x.example",),
    subject="Plän <b> & more",
    author="Alice <script> (a@contoso.example)",
    from_field=b"From: Alice <a@contoso.example>\r\n",
    date=1_690_000_000.0,
    host="mx.contoso.example",
)
LABEL = Label("c", names={"en": "Confidential", "de": "Vertraulich"})
INVITATION = Invitation("b@x.example", "b@x.example", "n1")
NOTICE = Notice(POST, ITEM, LABEL, INVITATION, "k" * 26, "https://portal.contoso.example")
LANGUAGES = [
    ("en", "Confidential", "14 November 2023, 22:13 UTC"),
    ("de", "Vertraulich", "14. November 2023, 22:13 UTC"),
]


@pytest.mark.parametrize(("language", "label", "day"), LANGUAGES)
@pytest.mark.parametrize("shown", [False, True])
def test_it_says_who_until_when_and_where(language: str, label: str, day: str, shown: bool):
    notice = replace(NOTICE, label=replace(NOTICE.label, language=language, show_subject=shown))
    raw = compose_notice(notice)
    assert raw == compose_notice(notice)
    assert raw.isascii()
    assert all(len(line) <= 998 and b"\n" not in line for line in raw.split(b"\r\n"))
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert message["content-language"] == language
    assert message["auto-submitted"] == "auto-generated"
    assert message["message-id"] == "<n1@mx.contoso.example>"
    assert ("Plän" in message["subject"]) is shown
    plain, page = (message.get_body((kind,)).get_content() for kind in ("plain", "html"))
    for text in (plain, page):
        flat = " ".join(text.split())
        for wanted in (label, day, reference(ITEM.id), f"https://portal.contoso.example/m/{'k' * 26}", "b@x.example"):
            assert wanted in flat
        assert ("Plän" in text) is shown
    assert "<script>" not in page
    assert not re.search(r"<(img|script|link|iframe|form)|url\(|src=", page)
    assert re.findall(r'href="([^"]*)"', page) == [f"https://portal.contoso.example/m/{'k' * 26}"]


def test_without_an_end_none_is_told():
    plain = compose_notice(replace(NOTICE, item=replace(ITEM, not_after=0.0)))
    assert b"until" not in plain
