"""What `mta demo` plays with: a throw-away PKI and mailbox hosts."""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mta.contract.configuration import Configuration
from mta.contract.values import HostPort, KeyPair
from mta.errors import UsageError
from mta.model.protected import Actor
from mta.observe.vault_events import Operation
from mta.vault.root_keys import add_key


def make_demo_pki(folder: str) -> bool:
    """Make the demo's PKI in `folder` unless a usable one is there; whether it was made. Raises UsageError."""
    from mta.adapters.demo_pki import ensure_demo_pki
    from mta.adapters.privileges import acting_for

    with acting_for(folder):
        return ensure_demo_pki(Path(folder), time.time())


def make_demo_root_key(configuration: Configuration) -> None:
    """Make the first root key that the configuration names, unless there is one. Raises MtaError."""
    from mta.adapters.privileges import acting_for
    from mta.app.root_keys import place_key
    from mta.app.vault import open_vault, protection_of

    async def make() -> None:
        async with open_vault(configuration) as vault:
            if places and not await vault.store.root_keys():
                spki = await place_key(configuration, places[0], 2048)
                place = (places[0].id, places[0].place)
                await add_key(vault, place, spki, Operation.KEY_CREATE, Actor("mta demo", "console"))

    if configuration.protection is not None:
        places = configuration.protection.root_keys
        with acting_for(protection_of(configuration).store):
            asyncio.run(make())


async def open_mailbox(
    address: HostPort, hostname: str, pair: KeyPair, folder: str, arrived: Callable[[Any], None]
) -> asyncio.AbstractServer:
    """A mailbox host of the demo; `arrived` hears of each message (mailbox_sink.Arrival). Raises UsageError."""
    from mta.adapters.mailbox_sink import SinkPlace, open_sink

    place = SinkPlace(address.host, address.port, hostname, Path(pair.chain), Path(pair.key), Path(folder))
    try:
        return await open_sink(place, arrived)
    except OSError as error:
        reason = "is in use by another process" if error.errno == errno.EADDRINUSE else error.strerror
        raise UsageError(f"{address.host} port {address.port} {reason}: is a demo running already?") from error
