"""What `mta demo` plays with: a throw-away PKI and mailbox hosts."""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mta.config.contract import HostPort, KeyPair
from mta.errors import UsageError


def make_demo_pki(folder: str) -> bool:
    """Make the demo's PKI in `folder` unless a usable one is there; whether it was made. Raises UsageError."""
    from mta.adapters.demo_pki import ensure_demo_pki
    from mta.adapters.privileges import acting_for

    with acting_for(folder):
        return ensure_demo_pki(Path(folder), time.time())


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
