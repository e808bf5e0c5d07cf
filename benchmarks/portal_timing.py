"""Whether the portal's answers tell by their time that a link or an address is known.

Prints one JSON line for each step: medians in microseconds of the answers to who is known and who is not, asked in
turns so that a busy machine hits both alike, their `ratio`, and `told`: how often a known one took longer than an
unknown one (0.5: nothing is told). Links and networks are fresh, so that no rate of the portal is in the way.

    python benchmarks/portal_timing.py [--rounds 300]
"""

from __future__ import annotations

import argparse
import bisect
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.support.portal import ALICE, BOB, CONFIG, EVE, Browser, Portal, running_portal

TEXT = b"From: alice@contoso.example\r\nTo: bob@fabrikam.example\r\nSubject: x\r\n\r\nThe plan.\r\n"


def network(number: int) -> dict[str, str]:
    """A header by which our own proxy names another network for each request."""
    return {"X-Forwarded-For": f"10.{number >> 8 & 255}.{number & 255}.1"}


def timed(work: Callable[[], object]) -> float:
    """Microseconds."""
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1e6


def report(step: str, known: list[float], unknown: list[float]) -> None:
    """One line."""
    ordered = sorted(unknown)
    told = statistics.fmean(bisect.bisect_left(ordered, one) / len(ordered) for one in known)
    medians = {"known": round(statistics.median(known)), "unknown": round(statistics.median(unknown))}
    ratio = round(statistics.median(known) / statistics.median(unknown), 3)
    print(json.dumps({"step": step, **medians, "ratio": ratio, "told": round(told, 3)}), flush=True)


Steps = dict[str, tuple[list[float], list[float]]]  # known, unknown


def ask(portal: Portal, steps: Steps, links: tuple[str, str], where: dict[str, str], *, known: bool) -> None:
    """All steps once. `links` are a link that is known and one that is not."""
    side = 0 if known else 1
    browser, other = Browser(portal.web, headers=where), Browser(portal.web, headers=where)
    link, who, owner = links[side], BOB if known else EVE, ALICE if known else EVE

    def step(name: str, work: Callable[[], object]) -> None:
        steps.setdefault(name, ([], []))[side].append(timed(work))

    step("link", lambda: browser.get(f"/m/{link}"))
    step("address", lambda: browser.post(f"/m/{link}/start", address=BOB))
    step("code", lambda: browser.post(f"/m/{link}/code", code="00000000"))
    step("address-at-link", lambda: other.post(f"/m/{links[0]}/start", address=who))
    step("my", lambda: other.post("/my/start", address=owner))


def measure(portal: Portal, rounds: int) -> None:
    """Each step in turns, the known one first in every other round."""
    links, steps = [portal.mail(TEXT).links[BOB] for _ in range(rounds // 4 + 1)], Steps()
    for number in range(rounds):
        pair = (links[number // 4], f"{number:026d}".translate(_LETTERS))
        for known in (True, False) if number % 2 else (False, True):
            ask(portal, steps, pair, network(number), known=known)
    for name, (known_times, unknown_times) in steps.items():
        report(name, known_times, unknown_times)


_LETTERS = str.maketrans("0123456789", "abcdefghij")


def main() -> None:
    """Run all steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=300)
    rounds = parser.parse_args().rounds
    text = CONFIG.replace('url: "http://localhost:{web}"', 'url: "http://localhost:{web}", proxy: ["127.0.0.1/32"]')
    with tempfile.TemporaryDirectory() as folder, running_portal(Path(folder), text) as portal:
        measure(portal, rounds)


if __name__ == "__main__":
    main()
