"""`mta explain`: what would happen to a message, and why, decided by the functions that decide live mail."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

from mta.app.in_force import Need
from mta.app.outside import SystemClock, chain_verifier, look_ups
from mta.app.probe import looking_site
from mta.cli.ask import look
from mta.cli.explain_items import item_lines, protected_parts
from mta.cli.explain_protect import add_protect, protect_lines
from mta.cli.explain_smime import Letter, add_smime, smime_lines
from mta.cli.message import incoming
from mta.cli.trace import published_lines
from mta.cli.verify import facts_in_words
from mta.config.problems import one_line
from mta.contract.configuration import Configuration
from mta.contract.index import ConnectorIndex
from mta.errors import ConfigurationError, UsageError
from mta.model.address import Mailbox, ascii_lower
from mta.model.attempt import Failure
from mta.model.author import FromField
from mta.model.evidence.attempt import published_from_json, published_to_json
from mta.model.foreign import Foreign
from mta.model.session import SessionFacts
from mta.model.tls import CertificateFacts, TlsFacts
from mta.pipeline.authenticate import Incoming, LookUps, authenticate, header_fields, seen_by
from mta.pipeline.foresee import Prospect, foresee
from mta.policy.discover import Wish, published
from mta.policy.explain import Question, Seen, accepted, whose
from mta.policy.explain import explain as answer
from mta.rfc.irm.recognise import find_foreign
from mta.rfc.mime.header import HeaderError
from mta.rfc.mime.tls_required import says_no
from mta.rfc.pkix.certificate import certificate_facts
from mta.rfc.smtp.address import parse_mailbox

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_VERSIONS = ("1.0", "1.1", "1.2", "1.3")


@dataclass(frozen=True, slots=True)
class ExplainOptions:
    """The command line as it was given: every value is text, empty where the option was left out.

    An empty `sender` is the null sender, as is `<>`. A client certificate without `tls` implies TLS 1.3.
    """

    config: str = "connectors.yaml"
    sender: str = ""
    recipients: tuple[str, ...] = ()
    client_ip: str = "192.0.2.1"
    client_cert: str = ""
    tls: str = ""
    helo: str = ""
    message: str = ""
    nameserver: str = ""
    dns: bool = False
    json_output: bool = False


def explain(options: ExplainOptions) -> int:
    """Print the explanation; 0: the message would be taken for every recipient, 1: not, 2: it cannot be said.

    Problems of the options or of the configuration go to standard error, one a line.
    """
    try:
        configuration = look(options.config, Need.WHOLE)
        index, verifier, now = ConnectorIndex(configuration), chain_verifier(), time.time()
        question, message = _question(options, configuration)
        if message is not None:
            question = replace(question, seen=asyncio.run(_authenticated(index, question, message, options)))
        document = answer(index, question, verifier, now)
        letter = _letter(document, question, message)
        if message is not None and (items := protected_parts(configuration, message.content.beginning)):
            document["items"] = items
        add_smime(configuration, document, letter)
        add_protect(configuration, document, letter)
        _add_people(configuration, document)
    except ConfigurationError as error:
        return _cannot(*error.problems)
    except UsageError as error:
        return _cannot(f"mta: {error}")
    if options.dns:
        asyncio.run(_look_ahead(configuration, question, message, options, document))
    if options.json_output:
        print(json.dumps(document, indent=2))
    else:
        print("\n".join(one_line(line) for line in _lines(document)))
    return 0 if accepted(document) else 1


def _add_people(configuration: Configuration, document: dict[str, Any]) -> None:
    """What people wrote down of each connector that has a say (`about`)."""
    names = [part["connector"] for part in (document["inbound"], *document["recipients"]) if part["connector"]]
    known = {name: configuration.connectors[name].about for name in names if name in configuration.connectors}
    if about := {name: told for name, told in known.items() if told}:
        document["about"] = about


def _letter(document: dict[str, Any], question: Question, message: Incoming | None) -> Letter:
    """Without a content the sender is taken for the author."""
    sender = (question.sender,) if question.sender else ()
    author = question.from_field or FromField(sender, 1)
    return Letter(author, document["inbound"]["connector"], message.block.raw if message else None)


def _cannot(*lines: str) -> int:
    for line in lines:
        print(line, file=sys.stderr)
    return 2


async def _look_ahead(
    configuration: Configuration,
    question: Question,
    message: Incoming | None,
    options: ExplainOptions,
    document: dict[str, Any],
) -> None:
    """What each next hop would have to prove now: DNS and policy hosts are asked as delivery asks them."""
    site = looking_site(configuration, options.nameserver)
    wish = Wish(optional=message is not None and says_no(message.block))
    for mailbox, recipient in zip(question.recipients, document["recipients"], strict=True):
        found = await foresee(site, mailbox, wish) if mailbox.domain else ()
        if isinstance(found, Failure):
            recipient["tls"]["hosts_unknown"] = found.reason
        else:
            recipient["tls"]["hosts"] = [_prospect(each) for each in found]


def _prospect(each: Prospect) -> dict[str, object]:
    needed = each.needed
    refused = needed.reason if isinstance(needed, Failure) else None
    word = None if isinstance(needed, Failure) else needed.word
    return {
        "host": str(each.host),
        "requirement": word,
        "refused": refused,
        "published": published_to_json(published(each.found)),
    }


# --- the question ------------------------------------------------------------------------------------------------


async def _authenticated(
    index: ConnectorIndex, question: Question, message: Incoming, options: ExplainOptions
) -> tuple[Seen, ...]:
    """What each connector that has a say would see of the message, by the step that judges live mail."""
    server = index.configuration.server
    connectors = whose(index, question, chain_verifier(), time.time())
    if not connectors:
        return ()
    names = LookUps(look_ups(server, options.nameserver), SystemClock(), server.hostname)
    found = await authenticate(names, connectors, message)
    sources = (seen_by(connector, message) for connector in connectors)
    written = any(connector.inbound.authentication.checked for connector in connectors)
    fields = (
        header_fields(server, facts, source) if written else b"" for facts, source in zip(found, sources, strict=True)
    )
    return tuple(Seen(*each) for each in zip(connectors, found, fields, strict=True))


def _question(options: ExplainOptions, configuration: Configuration) -> tuple[Question, Incoming | None]:
    if not options.recipients:
        raise UsageError("explain needs a recipient: --to ADDRESS")
    sender = None if options.sender in ("", "<>") else _mailbox("--from", options.sender)
    recipients = tuple(_mailbox("--to", text) for text in options.recipients)
    facts = SessionFacts(_client(options.client_ip), helo=options.helo, esmtp=True, tls=_tls(options))
    if not options.message:
        return Question(facts, sender, recipients), None
    raw = _read("--message", options.message)
    try:
        message = incoming(raw, facts.client_ip, options.helo, sender, configuration.server.limits)
    except HeaderError as error:
        raise UsageError(f"--message {one_line(options.message)}: {error}") from error
    foreign = find_foreign(message.content.beginning)
    return Question(facts, sender, recipients, message.author, foreign=foreign), message


def _mailbox(option: str, text: str) -> Mailbox:
    bare = text[1:-1] if text.startswith("<") and text.endswith(">") else text
    if option == "--to" and ascii_lower(bare) == "postmaster":
        return Mailbox(bare, "", "")  # RFC 5321 §4.5.1: the one recipient that needs no domain
    try:
        return parse_mailbox(bare)
    except ValueError as error:
        raise UsageError(f"{option} {one_line(text)}: {error}") from error


def _client(text: str) -> IPv4Address | IPv6Address:
    try:
        address = ip_address(text.strip("[]"))
    except ValueError as error:
        raise UsageError(f"--client-ip {one_line(text)}: expected an IPv4 or IPv6 address") from error
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _tls(options: ExplainOptions) -> TlsFacts | None:
    if not options.tls and not options.client_cert:
        return None
    version = options.tls.lower().removeprefix("tlsv").removeprefix("tls") or "1.3"
    if version not in _VERSIONS:
        raise UsageError(f"--tls {one_line(options.tls)}: expected one of {', '.join(_VERSIONS)}")
    return TlsFacts(version, cipher="", chain=_chain(options.client_cert) if options.client_cert else ())


def _chain(path: str) -> tuple[CertificateFacts, ...]:
    blocks = _PEM.findall(_read("--client-cert", path).decode("ascii", "replace"))
    if not blocks:
        raise UsageError(f"--client-cert {one_line(path)}: holds no PEM certificate (-----BEGIN CERTIFICATE-----)")
    try:
        return tuple(certificate_facts(ssl.PEM_cert_to_DER_cert(block)) for block in blocks)
    except ValueError as error:
        raise UsageError(f"--client-cert {one_line(path)}: cannot be read: {error}") from error


def _read(option: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"{option} {one_line(path)}: {error.strerror or error}") from error


# --- the answer in words -----------------------------------------------------------------------------------------


def _lines(document: dict[str, Any]) -> Iterator[str]:
    inbound = document["inbound"]
    yield f"inbound: {inbound['decision']} by connector {inbound['connector']} ({inbound['mode']})"
    yield from _outcome(inbound)
    for part in inbound.get("foreign", ()):
        yield f"  protected   by others: {Foreign(**part)}"
    yield from _losers(inbound)
    if found := inbound["authentication"]:
        yield ""
        yield from facts_in_words(found)
    yield from item_lines(document)
    for recipient in document["recipients"]:
        yield ""
        yield f"to {recipient['address']}: {recipient['decision']}"
        yield from _outcome(recipient)
        if "mailbox" in recipient:
            yield f"  mailbox     {recipient['mailbox']}"
        yield f"  connector   {recipient['connector']} ({recipient['mode']})"
        yield f"  route       {_route(recipient['route'])}"
        yield f"  tls         {_level(recipient['tls'])}"
        if "would" in recipient["tls"]:
            yield f"  would be    {_level(recipient['tls']['would'])}"
        yield from _ahead(recipient["tls"])
        yield from smime_lines(recipient["smime"])
        yield from protect_lines(recipient["protect"])
        yield from _losers(recipient)
    yield ""
    yield from (f"{name}: {told}" for name, told in document.get("about", {}).items())
    yield in_short(document)


def in_short(document: dict[str, Any]) -> str:
    """The whole in one line, the last: whether it comes in, and how it would leave to each."""
    inbound = document["inbound"]
    if inbound["decision"] != "accept":
        return f"in short: {inbound['decision']}: {inbound['reply'] or inbound['connector']}"
    return "in short: " + "; ".join(map(_leaves, document["recipients"]))


def _leaves(recipient: dict[str, Any]) -> str:
    if recipient["decision"] != "accept":
        return f"{recipient['address']} {recipient['decision']}: {recipient['reply']}"
    way = recipient["protect"]["way"] if recipient.get("protect") else ""
    if way == "portal":
        return f"{recipient['address']} by the portal"
    return f"{recipient['address']} by {recipient['connector']}, TLS {_level(recipient['tls'])}"


def _ahead(tls: dict[str, Any]) -> Iterator[str]:
    if "hosts_unknown" in tls:
        yield f"  hosts       {tls['hosts_unknown']}"
    for host in tls.get("hosts", ()):
        yield f"  host        {host['host']}: {host['requirement'] or host['refused']}"
        yield from (f"    {line}" for line in published_lines(published_from_json(host["published"])))


def _outcome(part: dict[str, Any]) -> Iterator[str]:
    if part["reply"]:
        yield f"  reply       {part['reply']}"
    if part["would"]:
        yield f"  would       {part['would']}, were it enforced"
    for reason in part["reasons"]:
        yield f"  because     {reason}"


def _losers(part: dict[str, Any]) -> Iterator[str]:
    for loser in part["losers"]:
        yield f"  not {loser['connector']}: {loser['reason']}"


def _route(route: Any) -> str:
    return "by MX" if route == "mx" else ", ".join(route["hosts"])


def _level(tls: dict[str, Any]) -> str:
    words = [tls["level"]]
    if tls["names"]:
        words.append(f"name {' or '.join(tls['names'])}")
    if tls["ca"]:
        words.append(f"of {'a CA of the system' if tls['ca'] == 'system' else tls['ca']}")
    words.extend(f"pin {pin}" for pin in tls["pins"])
    if tls["revocation"] == "hard":
        words.append("known not to be revoked")
    return ", ".join((*words, f"TLS {tls['min_version']} or newer" if tls["level"] != "none" else "no TLS"))
