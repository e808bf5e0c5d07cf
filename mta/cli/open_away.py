"""`mta open` away from the vault: the reader lets this program in by a browser, and the key server gives the key."""

from __future__ import annotations

import asyncio
import os
import sys

from mta.app.key_server import key_server
from mta.app.outside import SystemClock
from mta.app.vault import key_server_url
from mta.cli.vault_words import read_reader
from mta.contract.configuration import Configuration
from mta.errors import NotOpened
from mta.rfc.tdf.open import Protected
from mta.vault.away import Away, Invitation

DEFAULT = "connectors.yaml"


def is_away(config: str) -> bool:
    """Whether there is no configuration here, and none was named: then the file itself says where its keys are."""
    return config == DEFAULT and not os.path.exists(config)


def is_elsewhere(configuration: Configuration, protected: Protected) -> bool:
    """Whether the file's keys are not at the vault of this configuration."""
    ours = key_server_url(configuration)
    return configuration.protection is None or all(key.url != ours for key in protected.manifest.keys)


def key_from_away(protected: Protected, reader: str) -> tuple[bytes, str]:
    """The content key, and the address that was proven. Raises NotOpened where that is another than `reader`."""
    key, proven = asyncio.run(Away(key_server(), SystemClock(), _invite).content_key(protected.manifest))
    if reader and read_reader(reader) != proven:
        raise NotOpened("another-reader", f"it was opened for {proven}, not for {reader}")
    return key, proven


def _invite(told: Invitation) -> None:
    print(
        f"The keys of this file are at {told.server}.\n"
        f"To open it, go to {told.page} and type {told.code} (good for {told.seconds / 60:.0f} minutes).",
        file=sys.stderr,
        flush=True,
    )
