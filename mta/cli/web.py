"""`mta web`: the key server, the log and the pages in a process of their own."""

from __future__ import annotations

import asyncio
import contextlib

from mta.app.load import load
from mta.app.web import bind_portal, run_web, serve_held
from mta.errors import UsageError
from mta.observe.log import EventLog


def web(config: str, held: bool) -> int:
    """Serve until SIGTERM or SIGINT. Raises UsageError without `server.portal`.

    `held`: the supervisor hands configuration and sockets over by standard input.
    """
    if held:
        return serve_held()
    configuration = load(config)
    if configuration.server.portal is None:
        raise UsageError(f"{config} serves no portal: write server.portal")
    log = EventLog(2, configuration.server.log_format)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run_web(configuration, bind_portal(configuration), log))
    return 0
