"""What `mta explain` says of the portal: whether a message is protected, and which way each recipient's copy goes.

Nothing is sealed; the decisions are those of live mail (policy/protect.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from mta.app.directory import open_directory
from mta.app.probe import looking_site
from mta.cli.explain_smime import Letter, found_in
from mta.contract.configuration import Configuration
from mta.contract.connectors import Connector
from mta.contract.index import ConnectorIndex
from mta.contract.protection import Label
from mta.contract.readers import reader_name
from mta.contract.smime import Smime
from mta.model.attempt import Failure
from mta.model.directory import DirectoryAnswer
from mta.pipeline.identity import fitting, signing_identity
from mta.policy.channel import known_channels, without_channel
from mta.policy.protect import (
    NONE,
    PORTAL,
    Marks,
    Way,
    Wish,
    concerns,
    document,
    refused_reader,
    smime_for,
    wanted,
    way_of,
)
from mta.policy.route import in_force
from mta.policy.sign import from_our_systems
from mta.policy.transform import Copy, copy_for
from mta.rfc.mime.header import scan_header
from mta.rfc.mime.marked import fields_of, phrase_of, subject_of, text_of
from mta.rfc.smime.kind import Kind
from mta.rfc.smtp.address import parse_mailbox


def add_protect(configuration: Configuration, told: dict[str, Any], letter: Letter) -> None:
    """Give each recipient of the document its `protect`; null where nothing is protected."""
    index = ConnectorIndex(configuration)
    for recipient in told["recipients"]:
        recipient["protect"] = _protect(configuration, index, recipient, letter)


def _protect(
    configuration: Configuration, index: ConnectorIndex, recipient: dict[str, Any], letter: Letter
) -> dict[str, Any] | None:
    protection = configuration.protection
    connector = in_force(configuration, configuration.connectors[recipient["connector"]])
    mailbox = parse_mailbox(recipient.get("mailbox", recipient["address"]))
    if protection is None or not concerns(connector, index.our_domain(mailbox.ascii_domain) is not None):
        return None
    ours = from_our_systems(configuration, letter.inbound)
    wish = wanted(connector.outbound, protection.triggers, _marks(letter), ours=ours)
    if wish is None or _by_its_author(letter):
        return None
    label = protection.labels.get(wish.label)
    way = asyncio.run(_way(configuration, (connector, recipient), letter, wish))
    refused = _refused(configuration, label, reader_name(str(mailbox)), letter) if label else None
    if refused is not None and way.way == PORTAL:
        way = Way(NONE, f"held: {refused.reason}", way.others)
    return document(label, wish, way)


def _refused(configuration: Configuration, label: Label, reader: str, letter: Letter) -> Failure | None:
    """Why this recipient would be held."""
    protection = configuration.protection
    numbers = protection.sms.numbers if protection and protection.sms else {}
    ours = letter.raw is not None and from_our_systems(configuration, letter.inbound)
    phrase = phrase_of(scan_header(letter.raw, len(letter.raw))) if ours and letter.raw else ""
    known = known_channels(reader, numbers, phrase)
    return refused_reader(label, reader, frozenset(configuration.domains)) or without_channel(label, reader, known)


def _marks(letter: Letter) -> Marks:
    if letter.raw is None:
        return Marks()
    block = scan_header(letter.raw, len(letter.raw))
    return Marks(subject_of(block), fields_of(block), len(letter.raw), text_of(letter.raw))


def _by_its_author(letter: Letter) -> bool:
    found = found_in(letter)
    return found.proven and found.kind in (Kind.ENCRYPTED, Kind.PGP_ENCRYPTED)


async def _way(
    configuration: Configuration, whose: tuple[Connector, dict[str, object]], letter: Letter, wish: Wish
) -> Way:
    connector, recipient = whose
    smime = smime_for(connector.outbound, wish)
    if smime is None or not smime.protects:
        return way_of(connector.outbound, wish, None if smime is None else Copy())
    return way_of(connector.outbound, wish, await _copy(configuration, smime, recipient, letter))


async def _copy(
    configuration: Configuration, smime: Smime, recipient: dict[str, Any], letter: Letter
) -> Copy | Failure:
    site = looking_site(configuration)
    answer: DirectoryAnswer | None = None
    async with open_directory(configuration) as directory:
        if smime.encrypt != "never":
            mailbox = parse_mailbox(recipient.get("mailbox", recipient["address"]))
            answer = fitting(smime.profile, await directory.lookup(mailbox, thorough=True))
        _, author = await asyncio.to_thread(signing_identity, site, smime, letter.author, letter.inbound)
    await site.directory.close()
    return copy_for(smime, found_in(letter), author, answer)


def protect_lines(protect: dict[str, Any] | None) -> Iterator[str]:
    """The same in words; nothing where nothing is protected."""
    if protect is None:
        return
    yield f"  protect     {protect['way']}, label {protect['label']}: {protect['why']}"
    if protect["way"] != PORTAL:
        yield f"  because     {protect['reason']}"
    for other in protect["others"]:
        yield f"  not         {other['way']}: {other['reason']}"
    if protect["rights"]:
        yield f"  rights      {', '.join(f'{right} ({how})' for right, how in protect['rights'].items())}"
