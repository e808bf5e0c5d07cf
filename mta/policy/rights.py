"""How far each right binds a reader."""

from __future__ import annotations

from collections.abc import Iterable

from mta.model.rights import Enforcement, Right, complete

# What portal and key server do, or do not do, by themselves. The rest is a request to the reader's program.
_ENFORCED = frozenset(
    {
        Right.VIEW,
        Right.VIEWRIGHTSDATA,
        Right.EXPORT,
        Right.REPLY,
        Right.REPLYALL,
        Right.FORWARD,
        Right.EDITRIGHTSDATA,
        Right.OWNER,
    }
)


def enforcement(right: Right) -> Enforcement:
    """Whether the lack of this right is enforced here, or only declared."""
    return Enforcement.ENFORCED if right in _ENFORCED else Enforcement.DECLARED


def table(rights: Iterable[Right]) -> dict[str, str]:
    """Each granted right with how far it binds, in a stable order: `explain`'s `rights`."""
    granted = complete(rights)
    return {right.value: enforcement(right).value for right in Right if right in granted}
