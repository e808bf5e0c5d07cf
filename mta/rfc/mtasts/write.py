"""A policy of our own, as its file and as the record that announces it (RFC 8461 §3.1, §3.2)."""

from __future__ import annotations

import hashlib

from mta.model.sts import StsPolicy


def policy_file(policy: StsPolicy) -> str:
    """The text of `/.well-known/mta-sts.txt`."""
    return "".join(f"{line}\r\n" for line in policy.lines)


def record(policy: StsPolicy) -> str:
    """The TXT record of `_mta-sts.DOMAIN`. The id comes of the policy: it changes whenever the policy does."""
    return f"v=STSv1; id={hashlib.sha256(policy_file(policy).encode()).hexdigest()[:20]};"
