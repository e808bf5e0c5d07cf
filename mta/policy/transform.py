"""What happens to a message before it is handed on: which DKIM keys sign it."""

from __future__ import annotations

from mta.config.contract import Connector, DkimKey, Domain
from mta.config.index import ConnectorIndex
from mta.model.author import FromField


def signing_keys(
    index: ConnectorIndex, connector: Connector, author: FromField, received: float
) -> tuple[Domain | None, tuple[DkimKey, ...]]:
    """The domain of ours that signs for the author, with its keys in force when the message was `received`.

    The moment of receipt decides, not that of the attempt: every attempt then sends the same bytes. Only a single,
    unambiguous author of one of our own domains is signed for, and a connector may switch it off.
    """
    if connector.outbound.dkim == "off" or author.ambiguous or len(author.authors) != 1:
        return None, ()
    domain = index.our_domain(author.authors[0].ascii_domain)
    if domain is None:
        return None, ()
    in_force = (key for key in domain.dkim if key.since <= received and not 0 < key.until <= received)
    latest: dict[str, DkimKey] = {}
    for key in sorted(in_force, key=lambda key: key.since):
        latest[key.algorithm] = key  # of several keys of one kind the newest signs
    return domain, tuple(latest.values())
