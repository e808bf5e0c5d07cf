"""`mta directory lookup`: which certificate a recipient's mail would be encrypted to, and why no other."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from datetime import UTC, datetime
from typing import Any

from mta.app.directory import open_directory
from mta.cli.ask import look
from mta.cli.paint import Paint, paint_for
from mta.contract.configuration import Configuration
from mta.errors import UsageError
from mta.model.address import Mailbox
from mta.model.directory import Candidate, DirectoryAnswer, DirectoryStatus
from mta.rfc.pkix.certificate import certificate_facts
from mta.rfc.pkix.person import person_facts
from mta.rfc.smtp.address import AddressError, parse_mailbox

_COLOURS = {DirectoryStatus.FOUND: "good", DirectoryStatus.NONE: "bad", DirectoryStatus.TEMPORARY: "warn"}


def lookup(config: str, address: str, json_output: bool) -> int:
    """Say which certificate would be used and why each other one not; 0 if there is one. Raises UsageError."""
    mailbox = read_mailbox(address)
    answer = asyncio.run(ask(look(config), mailbox))
    document = answer_document(mailbox, answer)
    print(json.dumps(document, indent=2) if json_output else _story(document, answer, paint_for(sys.stdout)))
    return 0 if answer.status is DirectoryStatus.FOUND else 1


async def ask(configuration: Configuration, mailbox: Mailbox) -> DirectoryAnswer:
    """What the directory of a configuration answers, every source heard."""
    async with open_directory(configuration) as directory:
        return await directory.lookup(mailbox, thorough=True)


def read_mailbox(address: str) -> Mailbox:
    """The mailbox that was written on the command line. Raises UsageError."""
    try:
        return parse_mailbox(address)
    except AddressError as error:
        raise UsageError(str(error)) from error


# --- documents ------------------------------------------------------------------------------------------------------


def answer_document(mailbox: Mailbox, answer: DirectoryAnswer) -> dict[str, object]:
    """The object of `mta directory lookup --json`, and of `mta explain` for a recipient."""
    chosen = answer.chosen
    return {
        "address": str(mailbox),
        "status": answer.status.value,
        "detail": answer.detail,
        "certificate": candidate_document(chosen) | {"rung": answer.rung.word} if chosen and answer.rung else None,
        "others": [candidate_document(candidate) | {"reason": reason} for candidate, reason in answer.others],
        "sources": [
            {"source": source.name, "result": source.word, "detail": source.detail, "cached": source.cached}
            for source in answer.sources
        ],
    }


def candidate_document(candidate: Candidate) -> dict[str, Any]:
    """A certificate as it was found."""
    return certificate_document(candidate.der) | {
        "source": candidate.source,
        "place": candidate.place,
        "found_for": candidate.found_for,
    }


def certificate_document(der: bytes) -> dict[str, Any]:
    """A certificate for people and programs; one that cannot be read has its digest only."""
    try:
        facts, person = certificate_facts(der), person_facts(der)
    except ValueError:
        return {"sha256": hashlib.sha256(der).hexdigest(), "subject": "unreadable"}
    return {
        "sha256": facts.sha256,
        "subject": facts.subject,
        "issuer": facts.issuer,
        "serial": facts.serial,
        "emails": list(person.emails),
        "key": facts.key,
        "not_before": _moment(facts.not_before),
        "not_after": _moment(facts.not_after),
    }


def _moment(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _story(document: dict[str, Any], answer: DirectoryAnswer, paint: Paint) -> str:
    chosen = document["certificate"]
    lines = [f"{paint('head', document['address'])}  {paint(_COLOURS[answer.status], document['status'])}"]
    if document["detail"]:
        lines.append(f"  {paint('dim', document['detail'])}")
    if chosen:
        lines += [f"  {line}" for line in _certificate_lines(chosen, paint)]
        lines.append(f"    of {paint('name', chosen['source'])} ({chosen['rung']}), found for {chosen['found_for']}")
    for other in document["others"]:
        lines += [f"  not {line}" if n == 0 else f"  {line}" for n, line in enumerate(_certificate_lines(other, paint))]
        lines.append(f"    of {paint('name', other['source'])}: {paint('warn', other['reason'])}")
    for source in document["sources"]:
        detail = f": {source['detail']}" if source["detail"] else ""
        lines.append(f"  {paint('name', source['source'])} {source['result']}{paint('dim', detail)}")
    return "\n".join(lines)


def _certificate_lines(certificate: dict[str, Any], paint: Paint) -> list[str]:
    named = ", ".join(certificate.get("emails", ())) or certificate["subject"]
    lines = [f"{paint('head', named)} {paint('dim', certificate['sha256'][:16])}"]
    if "key" in certificate:
        until = f"{certificate['not_before'][:10]} to {certificate['not_after'][:10]}"
        lines.append(
            f"  {paint('dim', certificate['key'])} {until},"
            f" by {paint('dim', certificate['issuer'])} {certificate['place']}".rstrip()
        )
    return lines
