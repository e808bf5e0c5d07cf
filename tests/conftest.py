"""What holds for all tests."""

from __future__ import annotations

import os
from collections.abc import Iterable

import pytest
from hypothesis import settings

from tests.support.patience import patient

# On a desk Hypothesis looks for new examples every time; on CI the same ones prove the same thing. `make test` is for
# every change and invents few; `make test-long` invents twenty times as many. Machines are shared, so no example is
# judged by the clock.
_LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
_SHARE = 10.0 if _LONG else 0.5  # of the examples that a test, or else Hypothesis (100), asks for
settings.register_profile("small", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.register_profile("long", deadline=None)
settings.load_profile("long" if _LONG else "small")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """A single test's time grows with the slowness of the machine, as every wait within it does."""
    if config.option.timeout is None:
        config.option.timeout = patient(float(config.getini("timeout")) * (10 if _LONG else 1))


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """A long text is no name for a test, and one made anew in each process would make each collect other tests."""
    return argname if isinstance(val, bytes | str) and len(val) > 48 else None


def pytest_xdist_auto_num_workers() -> int:
    """Three processes for two processors: a story waits for its partners a third of its time."""
    return (os.cpu_count() or 1) * 3 // 2 or 1


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks at the groups
def pytest_collection_modifyitems(items: Iterable[pytest.Item]) -> None:
    """Each property asks for its share of examples; what a module sets up is set up once, in one process."""
    seen = set()
    for item in items:
        if _shares_a_setup(item) and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
        test = getattr(item, "function", None)
        if getattr(test, "is_hypothesis_test", False) and test not in seen:
            seen.add(test)
            usual = getattr(test, "_hypothesis_internal_use_settings", None) or settings()
            wanted = max(10, int(usual.max_examples * _SHARE))
            test._hypothesis_internal_use_settings = settings(usual, max_examples=wanted)  # type: ignore[union-attr]


def _shares_a_setup(item: pytest.Item) -> bool:
    known = getattr(item, "_fixtureinfo", None)
    return any(found[-1].scope == "module" for found in known.name2fixturedefs.values()) if known else False
