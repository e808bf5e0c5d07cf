"""`mta web`: the key server, the log and the pages in a process of their own."""

from __future__ import annotations

import contextlib

from mta.app.web import serve_alone, serve_held


def web(config: str, held: bool) -> int:
    """Serve until SIGTERM or SIGINT. Raises UsageError without `server.portal`.

    `held`: the supervisor hands configuration and sockets over by standard input.
    """
    if held:
        return serve_held()
    with contextlib.suppress(KeyboardInterrupt):
        serve_alone(config)
    return 0
