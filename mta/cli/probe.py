"""`mta probe`: whether mail would reach a partner today under its contract, and what will break next."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mta.app.in_force import Need
from mta.app.probe import looking_site, with_directory
from mta.cli.ask import look
from mta.cli.paint import Paint, paint_for
from mta.cli.screen import known_connector
from mta.cli.trace import attempt_lines
from mta.config.values import ValueFault, domain_name
from mta.contract.index import ConnectorIndex
from mta.errors import UsageError
from mta.model.address import Mailbox
from mta.model.attempt import DeliveryResult
from mta.model.evidence.attempt import Attempt
from mta.pipeline.probe import Findings, probe_all, send
from mta.policy.probe import GOOD, SPARE, Look, Target, all_targets, targets, verdicts
from mta.policy.route import choose
from mta.rfc.smtp.address import AddressError, parse_mailbox


@dataclass(frozen=True, slots=True)
class ProbeOptions:
    """The words of the command. `days`: a certificate with fewer left is not good enough."""

    config: str
    whom: str
    everyone: bool
    address: str
    days: int
    json_output: bool


def probe(options: ProbeOptions) -> int:
    """Print what was found; 0: all is well, 1: mail would wait, or soon will. Raises UsageError."""
    configuration = look(options.config, Need.WHOLE)
    index = ConnectorIndex(configuration)
    to = _address(options.address) if options.address else None
    ways = _ways(index, options, to)
    site = looking_site(configuration)

    async def look_and_send() -> tuple[list[Findings], DeliveryResult | None]:
        looked = await probe_all(site, ways)
        if to is None:
            return looked, None
        async with with_directory(site):
            return looked, await send(site, to)

    found, sent = asyncio.run(look_and_send())
    document = _document(found, sent, options.days)
    if options.json_output:
        print(json.dumps(document, indent=2))
    else:
        print("\n".join(_story(document, time.time(), paint_for(sys.stdout))))
    return 0 if document["ok"] else 1


def _ways(index: ConnectorIndex, options: ProbeOptions, to: Mailbox | None) -> tuple[Target, ...]:
    if options.everyone:
        if options.whom:
            raise UsageError("probe: name one connector or domain, or give --all")
        return all_targets(index)
    if not options.whom:
        raise UsageError("probe: name a connector or a domain, or give --all")
    known = options.whom in index.configuration.connectors
    if not known and "." not in options.whom:
        known_connector(options.whom, index.configuration.connectors)
    ways = targets(index, options.whom if known else _domain(options.whom))
    if not ways:
        raise UsageError(f"probe: connector {options.whom} leads to no host by itself: name a domain that it claims")
    if to and choose(index, to).connector.name not in {way.connector.name for way in ways}:
        raise UsageError(f"--send: mail to {to} does not go that way, but by {choose(index, to).connector.name}")
    return ways


def _domain(text: str) -> str:
    try:
        return domain_name(text)
    except ValueFault as fault:
        raise UsageError(f"probe: no connector is called {text!r}, and as a domain: {fault}") from None


def _address(text: str) -> Mailbox:
    try:
        return parse_mailbox(text)
    except AddressError as error:
        raise UsageError(f"--send: {error}") from None


# --- the document -------------------------------------------------------------------------------------------------


def _document(found: list[Findings], sent: DeliveryResult | None, days: int) -> dict[str, Any]:
    probes = [_findings(each, days) for each in found]
    document: dict[str, Any] = {"ok": all(each["ok"] for each in probes), "probes": probes}
    if sent is not None:
        document["sent"] = _sent(sent)
        document["ok"] = document["ok"] and document["sent"]["ok"]
    return document


def _findings(found: Findings, days: int) -> dict[str, object]:
    hosts = [_host(look, word) for look, word in zip(found.looks, verdicts(found.looks, days), strict=True)]
    document: dict[str, object] = {
        "connector": found.target.connector.name,
        "mode": found.target.connector.outbound_mode,
        "about": found.target.connector.about,
        "domain": found.target.domain,
        "destination": found.target.destination.name,
        "ok": found.failure is None and all(host["ok"] for host in hosts),
        "hosts": hosts,
    }
    if found.failure:
        document["failure"] = found.failure.reason
    return document


def _host(look: Look, word: str) -> dict[str, object]:
    document = Attempt.of(look.attempt).to_json()
    document |= {"ok": word in (GOOD, SPARE), "judgement": word, "extensions": list(look.extensions)}
    if look.expires is not None:
        document["first_to_expire"] = {"subject": look.expires.subject, "days_left": look.days_left}
    return document


def _sent(result: DeliveryResult) -> dict[str, object]:
    [outcome] = result.recipients
    return {
        "ok": outcome.failure is None,
        "reply": str(outcome.reply),
        "reason": outcome.failure.reason if outcome.failure else "",
        "attempts": [Attempt.of(host).to_json() for host in result.hosts],
    }


# --- in words -----------------------------------------------------------------------------------------------------


def _story(document: dict[str, Any], now: float, paint: Paint) -> Iterator[str]:
    for each in document["probes"]:
        audit = " (audit: as it would be enforced)" if each["mode"] == "audit" else ""
        way = "" if each["domain"] in ("", each["destination"]) else f" for {each['domain']}"
        yield f"{paint('head', each['connector'])}{audit} to {paint('name', each['destination'])}{way}"
        if each["about"]:
            yield f"  {paint('dim', each['about'])}"
        if "failure" in each:
            yield f"  {paint('bad', each['failure'])}"
        for host in each["hosts"]:
            yield from attempt_lines(Attempt.from_json(host), now, paint)
            yield f"    {_verdict(host, paint)}"
    if "sent" in document:
        sent = document["sent"]
        yield paint("head", "test message")
        for attempt in sent["attempts"]:
            yield from attempt_lines(Attempt.from_json(attempt), now, paint)
        taken = paint("good", "taken") if sent["ok"] else paint("bad", "not taken")
        yield f"    {taken}: {paint('dim', sent['reason'] or sent['reply'])}"


def _verdict(host: dict[str, Any], paint: Paint) -> str:
    first = host.get("first_to_expire", {})
    match host["judgement"]:
        case "good":
            days = f", {first['days_left']} days left" if first else ""
            return paint("good", f"mail would go{days}")
        case "soon":
            return paint("warn", f"mail would go today; {first['subject']} has {first['days_left']} days left")
        case "spare":
            return paint("dim", "mail would go by another address of this host")
        case _:
            return paint("bad", "mail would wait")
