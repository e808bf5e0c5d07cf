"""Takes in the reports that others send about us: found in a message, unpacked within bounds, read, kept.

Reading a stranger's file costs time, so it is done behind the mail, one message after another, in a thread.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mta.errors import MtaError
from mta.model.auth import AuthResult
from mta.observe import events
from mta.pipeline.author import author_of
from mta.pipeline.counts import day_of
from mta.pipeline.site import Site
from mta.policy.report_day import iso_day
from mta.policy.report_document import document
from mta.ports import ReportSpool
from mta.rfc.dkim.body import AuthMessage, body_hashes
from mta.rfc.dkim.check import check as check_dkim
from mta.rfc.dkim.verify import body_requests as dkim_requests
from mta.rfc.mime.header import HeaderError, scan_header

if TYPE_CHECKING:
    from mta.policy.report_read import Found

SHELF = "received"
MAX_WAITING = 32  # messages
MAX_OCTETS = 64 << 20  # of those that wait
_LARGE = 262_144  # octets of a message that is hashed by a thread
_MAX_HEADER = 256 * 1024
_TLSRPT = frozenset({"email", "tlsrpt"})  # RFC 8460 §3: the services of a key that signs reports


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sent a report, as far as a signature proves it. `reason` says why it is not trusted."""

    address: str = ""
    trusted: bool = False
    reason: str = ""


class Intake:
    """Reads and keeps what `offer` hands over."""

    def __init__(self, site: Site, spool: ReportSpool) -> None:
        self._site = site
        self._spool = spool
        self._waiting: deque[bytes] = deque()
        self._octets = 0
        self._working: asyncio.Task[None] | None = None

    def offer(self, raw: bytes) -> None:
        """A message for an address of reports was taken. It is mail: where too many wait, it is just not read."""
        if len(self._waiting) >= MAX_WAITING or self._octets + len(raw) > MAX_OCTETS:
            self._site.log.warning(events.REPORT_UNREAD, reason="too many reports wait to be read")
            return
        self._waiting.append(raw)
        self._octets += len(raw)
        if self._working is None:
            self._working = asyncio.get_running_loop().create_task(self._work())

    @property
    def busy(self) -> bool:
        """Whether something is being read."""
        return self._working is not None

    async def _work(self) -> None:
        try:
            while self._waiting:
                raw = self._waiting.popleft()
                self._octets -= len(raw)
                try:
                    await self._take(raw)
                except MtaError as error:
                    self._site.log.warning(events.REPORT_UNREAD, reason=str(error))
                except Exception as error:  # a defect must not leave the rest unread
                    self._site.log.defect("report", error)
        finally:
            self._working = None

    async def _take(self, raw: bytes) -> None:
        sender = await self._judge(raw)
        now = self._site.clock.now()
        reports = await asyncio.to_thread(_read, raw)
        for entry in await asyncio.to_thread(keep, self._spool, reports, sender, now):
            self._site.log.info(
                events.REPORT_RECEIVED,
                kind=entry["kind"],
                organization=entry["organization"],
                domain=entry["domain"],
                id=entry["id"],
                trusted=entry["trusted"],
            )
        for problem in reports.problems:
            self._site.log.warning(events.REPORT_UNREAD, sender=sender.address, reason=problem)

    async def _judge(self, raw: bytes) -> Sender:
        """RFC 8460 §3, RFC 9990 §3.5.2: a report proves by DKIM that it is from whom it says."""
        try:
            block = scan_header(raw, _MAX_HEADER)
        except HeaderError as error:
            return Sender(reason=str(error))
        author = await author_of(block, 1000)
        if author.ambiguous or len(author.authors) != 1:
            return Sender(reason="its From names nobody, or several")
        mailbox = author.authors[0]
        message = AuthMessage.in_memory(block)
        if len(raw) > _LARGE:
            await asyncio.to_thread(body_hashes, message, dkim_requests(block))
        outcomes = await check_dkim(message, self._site.resolver, self._site.clock.now(), _TLSRPT)
        for outcome in outcomes:
            if (
                outcome.result is AuthResult.PASS
                and not outcome.testing
                and _related(outcome.domain, mailbox.ascii_domain)
            ):
                return Sender(str(mailbox), trusted=True)
        signatures = "; ".join(
            f"d={outcome.domain} {outcome.result.value} {outcome.reason}".strip() for outcome in outcomes
        )
        return Sender(
            str(mailbox), reason=f"no signature of its author's domain: {signatures or 'it is not signed'}"[:500]
        )


def _read(raw: bytes) -> Found:
    from mta.policy.report_read import read_reports  # with all that it takes apart: not before there is something

    return read_reports(raw)


def _related(signer: str, author: str) -> bool:
    return signer == author or author.endswith(f".{signer}")


def keep(spool: ReportSpool, reports: Found, sender: Sender, now: float) -> list[dict[str, Any]]:
    """Write the reports down; what was written. One that came before takes the place of its first copy."""
    kept = []
    for report in reports.reports:
        entry = document(report)
        entry |= {"received": round(now, 3), "from": sender.address, "trusted": sender.trusted, "reason": sender.reason}
        name = f"{entry['kind']}-{_digest(entry)}.json"
        today = iso_day(day_of(now))  # a report on the year 2099 would never be forgotten
        spool.put(SHELF, min(entry["begin"][:10] or today, today), name, json.dumps(entry).encode())
        kept.append(entry)
    return kept


def _digest(entry: dict[str, object]) -> str:
    # RFC 9990 §3.5.4: duplicates are told by organization, domain and id; a forgery never replaces a trusted one
    parts = [entry["organization"], entry["domain"], entry["id"], str(entry["trusted"])]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]
