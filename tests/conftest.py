"""What holds for all tests."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

from tests.support.patience import patient

# On a desk Hypothesis looks for new examples every time; on CI the same ones prove the same thing. Machines are
# shared, so no example is judged by the clock.
settings.register_profile("desk", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "desk")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """A single test's time grows with the slowness of the machine, as every wait within it does."""
    if config.option.timeout is None:
        config.option.timeout = patient(float(config.getini("timeout")))
