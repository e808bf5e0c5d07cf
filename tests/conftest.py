"""What holds for all tests."""

from __future__ import annotations

import os

from hypothesis import settings

# On a desk Hypothesis looks for new examples every time; on CI the same ones prove the same thing. Machines are
# shared, so no example is judged by the clock.
settings.register_profile("desk", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "desk")
