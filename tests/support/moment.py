"""The moment at which this test run began. Whatever another program judges by its own clock is made around it:
certificates begin before it and end after it, messages are signed at it, lists are issued an hour before it."""

from __future__ import annotations

from datetime import UTC, datetime

BEGAN = datetime.now(UTC).replace(microsecond=0)
EPOCH = BEGAN.timestamp()  # the same in whole seconds since 1970
