"""MTA-STS policies on the disk: one small JSON file a domain, shared by all workers, whole at every moment."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mta.model.sts import ENFORCE, NONE, TESTING, StsAnswer, StsPolicy
from mta.ports import KeptPolicy


class PolicyFiles:
    """ports.PolicyMemory in a folder. A file that cannot be read or written is as if it were not there.

    `reads_only`: for those who look beside the relay, perhaps as another user, and must leave nothing behind.
    """

    def __init__(self, folder: Path, *, reads_only: bool = False) -> None:
        self._folder = folder
        self._reads_only = reads_only

    def read(self, domain: str) -> KeptPolicy | None:
        """The policy of `domain` that was written last, expired or not."""
        try:
            return _kept(json.loads(self._path(domain).read_bytes()), domain)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, kept: KeptPolicy) -> None:
        """Remember it in place of the one before."""
        if self._reads_only:
            return
        answer = kept.answer
        assert answer.policy is not None
        document = {
            "domain": kept.domain,
            "id": answer.id,
            "mode": answer.policy.mode,
            "mx": answer.policy.mx,
            "max_age": answer.policy.max_age,
            "expires": answer.expires,
            "used": kept.used,
        }
        path = self._path(kept.domain)
        draft = path.with_suffix(f".{os.getpid()}")
        with contextlib.suppress(OSError):  # without it the policy is fetched once more
            self._folder.mkdir(mode=0o700, exist_ok=True)
            draft.write_text(json.dumps(document), encoding="utf-8")
            draft.replace(path)

    def forget(self, domain: str) -> None:
        """It is needed no more."""
        if self._reads_only:
            return
        with contextlib.suppress(OSError):
            self._path(domain).unlink()

    def all(self) -> Iterator[KeptPolicy]:
        """Every policy that is remembered."""
        with contextlib.suppress(OSError):
            for path in sorted(self._folder.glob("*.json")):
                with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                    document = json.loads(path.read_bytes())
                    yield _kept(document, document["domain"])

    def _path(self, domain: str) -> Path:
        # A domain may be as long as a file's name, and longer with a suffix.
        return self._folder / f"{hashlib.sha256(domain.encode()).hexdigest()[:40]}.json"


def _kept(document: dict[str, Any], domain: str) -> KeptPolicy:
    """Raises ValueError, KeyError or TypeError for what nobody of us has written."""
    if document["domain"] != domain or document["mode"] not in (ENFORCE, TESTING, NONE):
        raise ValueError("it is about another domain, or damaged")
    policy = StsPolicy(document["mode"], tuple(str(name) for name in document["mx"]), int(document["max_age"]))
    answer = StsAnswer(policy, str(document["id"]), expires=float(document["expires"]))
    return KeptPolicy(domain, answer, float(document["used"]))
