"""What building needs beside the settings."""

from __future__ import annotations

from dataclasses import dataclass

from mta.config.files import Files
from mta.config.problems import Path, Report
from mta.model.tls import TrustAnchors


@dataclass(frozen=True, slots=True)
class Workshop:
    """What building needs beside the settings."""

    report: Report
    files: Files
    cpus: int

    def anchors(self, name: str | None, path: Path) -> TrustAnchors | None:
        """The CAs in the file `name`, written at `path`; None where no file is named."""
        return self.files.anchors(name, path) if name else None
