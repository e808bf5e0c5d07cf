"""What `mta explain` says of S/MIME: what each recipient is promised, and whose certificate would be used and why."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from mta.app.directory import open_directory
from mta.cli.directory import answer_document
from mta.config.contract import Configuration, Smime
from mta.rfc.smtp.address import parse_mailbox


def add_smime(document: dict[str, Any], configuration: Configuration) -> None:
    """Give each recipient of the document its `smime`; the directory is asked about those who get encrypted mail."""
    wanted = []
    for recipient in document["recipients"]:
        smime = configuration.connectors[recipient["connector"]].outbound.smime
        recipient["smime"] = _promise(smime)
        if smime.encrypt != "never":
            wanted.append(recipient)
    if wanted:
        asyncio.run(_look_up(wanted, configuration))


def _promise(smime: Smime) -> dict[str, Any]:
    promise: dict[str, Any] = {"sign": smime.sign, "encrypt": smime.encrypt}
    if smime.protects:
        promise["profile"] = smime.profile.name
    if smime.encrypt == "required":
        promise["without_certificate"] = smime.without_certificate
    return promise


async def _look_up(recipients: list[dict[str, Any]], configuration: Configuration) -> None:
    mailboxes = [parse_mailbox(recipient.get("mailbox", recipient["address"])) for recipient in recipients]
    async with open_directory(configuration) as directory:
        answers = await asyncio.gather(*(directory.lookup(mailbox, thorough=True) for mailbox in mailboxes))
    for recipient, mailbox, answer in zip(recipients, mailboxes, answers, strict=True):
        found = answer_document(mailbox, answer)
        recipient["smime"] |= {key: found[key] for key in ("status", "detail", "certificate", "others", "sources")}


def smime_lines(smime: dict[str, Any]) -> Iterator[str]:
    """The same in words; nothing where nothing is promised."""
    if (smime["sign"], smime["encrypt"]) == ("never", "never"):
        return
    yield f"  smime       sign {smime['sign']}, encrypt {smime['encrypt']}, profile {smime['profile']}"
    if "status" not in smime:
        return
    chosen = smime["certificate"]
    if chosen:
        yield f"  certificate {_called(chosen)}, of {chosen['source']} ({chosen['rung']})"
    else:
        yield f"  certificate {smime['status']}: {smime['detail']}"
    for other in smime["others"]:
        yield f"  not         {_called(other)}, of {other['source']}: {other['reason']}"


def _called(certificate: dict[str, Any]) -> str:
    until = f" until {certificate['not_after'][:10]}" if "not_after" in certificate else ""
    return f"{certificate['subject']} {certificate['sha256'][:16]}{until}"
