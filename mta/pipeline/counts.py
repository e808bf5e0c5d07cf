"""What a worker has counted for the daily reports since it was last written down.

A dictionary and nothing more: mail never waits for it. It is bounded; what finds no room is counted as lost.
"""

from __future__ import annotations

from collections import Counter

from mta.model.reporting import TlsReportFacts

DAY = 86_400
MOST = 20_000  # different facts held at once, of each kind


class ReportCounts:
    """Counts by day (whole days since the epoch, UTC: RFC 8460 §4.1)."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._tls: Counter[tuple[int, TlsReportFacts]] = Counter()
        self.lost = 0

    def tls(self, facts: TlsReportFacts, now: float) -> None:
        """A session that ended, or could not begin, at epoch second `now`."""
        key = (int(now // DAY), facts)
        if key in self._tls or len(self._tls) < self._most:
            self._tls[key] += 1
        else:
            self.lost += 1

    def take_tls(self) -> Counter[tuple[int, TlsReportFacts]]:
        """All that was counted; the count begins anew."""
        taken, self._tls = self._tls, Counter()
        return taken
