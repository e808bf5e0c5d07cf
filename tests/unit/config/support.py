"""What the tests of the configuration share: a folder with certificates, and an examination of text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from textwrap import dedent

from mta.adapters.pki import Authority, Issued
from mta.config.load import Examination, examine, examine_text
from mta.contract.configuration import Configuration

NOW = datetime(2026, 6, 1, tzinfo=UTC)
SERVER = "server: {hostname: mx.contoso.example}\n"


def at(days: float) -> datetime:
    """A moment so many days after NOW."""
    return NOW + timedelta(days=days)


@lru_cache(1)
def root() -> Authority:
    return Authority("Fabrikam Root", not_before=at(-100), not_after=at(1000))


def issue(begins: float = -1, ends: float = 90, authority: Authority | None = None) -> Issued:
    """A certificate that is valid between these days."""
    names = ["mx.contoso.example"]
    return (authority or root()).issue(dns_names=names, not_before=at(begins), not_after=at(ends))


def examined(text: str, folder: Path | str = "") -> Examination:
    """The examination of `text` as if it stood in `c.yaml` (of `folder`)."""
    path = str(Path(folder) / "c.yaml") if folder else "c.yaml"
    return examine_text(dedent(text), path, now=NOW.timestamp(), cpus=4)


def examined_file(path: Path) -> Examination:
    return examine(str(path), now=NOW.timestamp(), cpus=4)


def built(text: str, folder: Path | str = "") -> Configuration:
    """The configuration of `text`, which has no problems."""
    examination = examined(text, folder)
    assert examination.wrong == ()
    assert examination.configuration is not None
    return examination.configuration


def lines(examination: Examination) -> list[str]:
    """The problems as `line:col path: message (hint)`, without the file."""
    return [str(problem).removeprefix(f"{problem.file}:") for problem in examination.wrong]
