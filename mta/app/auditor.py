"""The way from the vault to its auditor: a mail in the relay's queue, by a live worker or in the queue's files."""

from __future__ import annotations

import asyncio
from typing import Any

from mta.app.folders import control_paths
from mta.app.shards import open_offline
from mta.contract.configuration import Configuration
from mta.errors import MtaError, StorageError
from mta.observe.log import EventLog
from mta.queue.letter import LETTER, queue_letter


class QueuedAuditor:
    """ports.vault.Auditor: its mail is durable in a shard before anything goes on."""

    def __init__(self, configuration: Configuration, to: str) -> None:
        self._configuration, self._to = configuration, to

    async def tell(self, subject: str, paragraphs: tuple[str, ...]) -> None:
        """Queue a mail. Raises StorageError where neither a worker nor the queue's files take it."""
        request = {
            "command": LETTER,
            "to": self._to,
            "subject": subject,
            "paragraphs": list(paragraphs),
            "about": "super-user",
        }
        try:
            if not await asyncio.to_thread(self._ask_workers, request):
                await self._queue_offline(request)
        except (MtaError, OSError) as error:
            raise StorageError(f"the auditor {self._to} cannot be told: {error}") from error

    def _ask_workers(self, request: dict[str, Any]) -> bool:
        from mta.adapters.control import ask

        for _, path in control_paths(self._configuration):
            try:
                return "message" in ask(path, request)
            except (FileNotFoundError, ConnectionRefusedError):
                continue
        return False

    async def _queue_offline(self, request: dict[str, Any]) -> None:
        """No relay runs: the mail waits in the queue until one does."""
        from mta.app.site import alone, make_site

        site = make_site(alone(self._configuration), EventLog(2, "text"))
        async with open_offline(self._configuration, [0]) as shards:
            if not shards:
                raise StorageError("there is no queue yet: start `mta serve` once")
            await queue_letter(site, shards, request)
