"""The certificate directory at work: sources in order, answers kept, look-ups shared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from mta.model.address import Mailbox
from mta.model.directory import DirectoryAnswer, DirectoryStatus, Harvest
from mta.model.tls import PathFault, PathVerdict


class NoDirectory:
    """ports.CertificateDirectory where none is configured: nobody has a certificate."""

    async def lookup(self, mailbox: Mailbox) -> DirectoryAnswer:
        """Nothing."""
        return DirectoryAnswer(DirectoryStatus.NONE, detail="no directory is configured")

    async def learn(self, harvest: Harvest) -> None:
        """There is nowhere to keep it."""


class NoJudge:
    """ports.CertificateJudge where no anchors are configured: nobody is believed."""

    async def judge(
        self, certificate: bytes, others: Sequence[bytes], purpose: Literal["sign", "encrypt"], now: float
    ) -> PathVerdict:
        """Untrusted."""
        return PathVerdict(PathFault.UNTRUSTED, "no anchors are configured (directory.trust.anchors)")
