"""`mta certs list`: what ends when, the most urgent first."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict

from mta.app.certificates import certificates
from mta.app.root_key_checks import root_key_rows
from mta.cli.ask import look
from mta.cli.paint import Paint, paint_for
from mta.contract.certificates import Known


def certs_list(config: str, days: int, json_output: bool) -> int:
    """Print all of them; 1 if something ends within `days`, or has ended. Raises ConfigurationError."""
    now = time.time()
    configuration = look(config)
    named = [*certificates(configuration), *root_key_rows(configuration)]
    known = sorted(named, key=lambda each: (not each.not_after, each.not_after, each.where))
    ending = [each for each in known if each.not_after and each.days_left(now) < days]
    if json_output:
        rows = [{**asdict(each), "days_left": each.days_left(now) if each.not_after else None} for each in known]
        print(json.dumps({"ok": not ending, "certificates": rows}, indent=2))
    else:
        print("\n".join(_row(each, now, days, paint_for(sys.stdout)) for each in known) or "no certificate is named")
    return 1 if ending else 0


def _row(certificate: Known, now: float, days: int, paint: Paint) -> str:
    if not certificate.not_after:
        left = paint("dim", f"{'no end':>10}")
    else:
        number = certificate.days_left(now)
        kind = "bad" if number < 0 else "warn" if number < days else "good"
        left = paint(kind, f"{number if number >= 0 else 'ended':>5} {'days' if number >= 0 else '    '}")
    detail = f" ({paint('dim', certificate.detail)})" if certificate.detail else ""
    about = f"{certificate.kind:7} {paint('name', certificate.subject)}{detail}"
    return f"{left}  {about}\n{'':12}{paint('dim', certificate.where)}"
