"""What `mta explain` says of S/MIME: how the copy of each recipient would leave, with whose certificates, and why.

Nothing is signed or encrypted; the decisions are those of live mail (policy/transform.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mta.app.directory import open_directory
from mta.app.probe import looking_site
from mta.cli.directory import answer_document, certificate_document
from mta.contract.configuration import Configuration
from mta.contract.smime import Smime
from mta.model.author import FromField
from mta.model.directory import DirectoryAnswer
from mta.pipeline.identity import fitting, signing_identity
from mta.pipeline.site import Site
from mta.policy.explain import copy_document
from mta.policy.route import in_force
from mta.policy.transform import Found
from mta.ports import CertificateDirectory
from mta.rfc.mime.header import scan_header
from mta.rfc.smime.kind import Kind, kind_of
from mta.rfc.smime.proof import is_what_it_claims
from mta.rfc.smtp.address import parse_mailbox


@dataclass(frozen=True, slots=True)
class Letter:
    """What is known of the message: its author (the sender where no content is given), who brings it, its octets."""

    author: FromField
    inbound: str
    raw: bytes | None = None


def add_smime(configuration: Configuration, document: dict[str, Any], letter: Letter) -> None:
    """Give each recipient of the document its `smime`."""
    if any(_smime(configuration, recipient).protects for recipient in document["recipients"]):
        asyncio.run(_add(configuration, document, letter))
        return
    for recipient in document["recipients"]:
        recipient["smime"] = _promised(configuration, recipient)


async def _add(configuration: Configuration, document: dict[str, Any], letter: Letter) -> None:
    site = looking_site(configuration)
    async with open_directory(configuration) as directory:
        for recipient in document["recipients"]:
            smime = _smime(configuration, recipient)
            recipient["smime"] = _promised(configuration, recipient)
            if smime.protects:
                recipient["smime"] |= await _copy(site, directory, smime, recipient, letter)
    await site.directory.close()


def _smime(configuration: Configuration, recipient: dict[str, Any]) -> Smime:
    """As it is in force: an audited connector sends as `default` does."""
    return in_force(configuration, configuration.connectors[recipient["connector"]]).outbound.smime


def _promised(configuration: Configuration, recipient: dict[str, Any]) -> dict[str, Any]:
    promise = _promise(_smime(configuration, recipient))
    enforced = _promise(configuration.connectors[recipient["connector"]].outbound.smime)
    return promise if promise == enforced else promise | {"would": enforced}


def _promise(smime: Smime) -> dict[str, object]:
    promise: dict[str, object] = {"sign": smime.sign, "encrypt": smime.encrypt}
    if smime.protects:
        promise["profile"] = smime.profile.name
    if smime.encrypt == "required":
        promise["without_certificate"] = smime.without_certificate
    return promise


async def _copy(
    site: Site, directory: CertificateDirectory, smime: Smime, recipient: dict[str, Any], letter: Letter
) -> dict[str, Any]:
    told: dict[str, Any] = {}
    answer: DirectoryAnswer | None = None
    if smime.encrypt != "never":
        mailbox = parse_mailbox(recipient.get("mailbox", recipient["address"]))
        answer = fitting(smime.profile, await directory.lookup(mailbox, thorough=True))
        found = answer_document(mailbox, answer)
        told = {key: found[key] for key in ("status", "detail", "certificate", "others", "sources")}
    own, author = await asyncio.to_thread(signing_identity, site, smime, letter.author, letter.inbound)
    told |= copy_document(smime, found_in(letter), author, answer)
    told["signer"] = certificate_document(own.certificate) if own and told["signs"] else None
    return told


def found_in(letter: Letter) -> Found:
    """What the message is; plain where it is not known."""
    if letter.raw is None:
        return Found(Kind.PLAIN)
    block = scan_header(letter.raw, len(letter.raw))
    kind = kind_of(block, letter.raw)
    return Found(kind, kind.protected and is_what_it_claims(letter.raw, block, kind))


def smime_lines(smime: dict[str, Any]) -> Iterator[str]:
    """The same in words; nothing where nothing is promised."""
    if (smime["sign"], smime["encrypt"]) == ("never", "never"):
        return
    yield f"  smime       sign {smime['sign']}, encrypt {smime['encrypt']}, profile {smime['profile']}"
    yield f"  copy        {smime['decision']}"
    if smime["reason"]:
        yield f"  because     {smime['reason']}"
    if smime["signer"]:
        yield f"  signer      {_called(smime['signer'])}"
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
