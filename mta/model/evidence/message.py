"""How a message came to be in the queue: who brought it under which contract, or for what we wrote it ourselves."""

from __future__ import annotations

from mta.model.evidence.authentication import Authentication
from mta.model.evidence.reading import Json, flag, part, parts, text, texts, whole
from mta.model.evidence.tls import tls_from_json, tls_to_json
from mta.model.foreign import Foreign
from mta.model.frozen import frozen
from mta.model.tls import TlsFacts


@frozen
class Would:
    """What a contract in audit mode would have decided."""

    decision: str
    reply: str = ""
    reasons: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """As it is kept and logged."""
        return {"decision": self.decision, "reply": self.reply, "reasons": list(self.reasons)}


@frozen
class Author:
    """Whom From named, as text, and what was odd about it (model/author.py)."""

    authors: tuple[str, ...]
    count: int
    error: str = ""

    def to_json(self) -> dict[str, object]:
        """As it is kept."""
        raw: dict[str, object] = {"authors": list(self.authors), "count": self.count}
        return raw | ({"error": self.error} if self.error else {})


@frozen
class Accepted:
    """Who brought a message under which contract, and why under that one.

    `author` None: that was not kept. `authentication` None: nothing was looked at.
    """

    client: str = ""
    helo: str = ""
    session: str = ""
    identity: str = ""
    proven: bool = False
    connector: str = ""
    mode: str = ""
    reasons: tuple[str, ...] = ()
    would: Would | None = None
    demanded: str = ""
    tls: TlsFacts | None = None
    tls_wish: str = ""
    days_left: int | None = None
    foreign: tuple[Foreign, ...] = ()
    author: Author | None = None
    authentication: Authentication | None = None

    def to_json(self) -> dict[str, object]:
        """As it is kept with the message, and shown by `mta trace --json`."""
        return {
            "client": self.client,
            "helo": self.helo,
            "session": self.session,
            "identity": self.identity,
            "proven": self.proven,
            "connector": self.connector,
            "mode": self.mode,
            "reasons": list(self.reasons),
            **({"would": self.would.to_json()} if self.would else {}),
            "demanded": self.demanded,
            "tls": tls_to_json(self.tls),
            **({"tls_wish": self.tls_wish} if self.tls_wish else {}),
            **({"days_left": self.days_left} if self.days_left is not None else {}),
            **({"foreign": [_foreign_to_json(each) for each in self.foreign]} if self.foreign else {}),
            **({"from": self.author.to_json()} if self.author else {}),
            **({"authentication": self.authentication.to_json()} if self.authentication else {}),
        }

    @classmethod
    def from_json(cls, raw: Json) -> Accepted:
        """What `to_json` wrote."""
        would, author = part(raw, "would"), part(raw, "from")
        client, helo, session, identity = (text(raw, key) for key in ("client", "helo", "session", "identity"))
        return cls(
            *(client, helo, session, identity),
            flag(raw, "proven"),
            text(raw, "connector"),
            text(raw, "mode"),
            texts(raw, "reasons"),
            Would(text(would, "decision"), text(would, "reply"), texts(would, "reasons")) if would else None,
            text(raw, "demanded"),
            tls_from_json(part(raw, "tls")),
            text(raw, "tls_wish"),
            whole(raw, "days_left") if "days_left" in raw else None,
            tuple(map(_foreign_from_json, parts(raw, "foreign"))),
            Author(texts(author, "authors"), whole(author, "count"), text(author, "error")) if author else None,
            authentication_in(raw),
        )


def authentication_in(evidence: Json) -> Authentication | None:
    """What SPF, DKIM, DMARC and ARC found of a message with this evidence; None where they were not looked at."""
    raw = part(evidence, "authentication")
    return Authentication.from_json(raw) if raw else None


@frozen
class Written:
    """For what we wrote a message ourselves: a `notice` of a message or `item`, a `report`, the `portal`'s mail."""

    notice: str = ""
    about: str = ""
    item: str = ""
    report: str = ""  # `dmarc` or `tls`
    day: str = ""
    portal: str = ""  # e.g. `code`

    def to_json(self) -> dict[str, object]:
        """As it is kept with the message; nothing of what is not so."""
        raw = {"notice": self.notice, "report": self.report, "about": self.about, "day": self.day, "item": self.item}
        return {key: value for key, value in (raw | {"portal": self.portal}).items() if value}

    @classmethod
    def from_json(cls, raw: Json) -> Written:
        """What `to_json` wrote."""
        keys = ("notice", "about", "item", "report", "day", "portal")
        return cls(*(text(raw, key) for key in keys))


def _foreign_to_json(part_: Foreign) -> dict[str, object]:
    return {
        "kind": part_.kind,
        "name": part_.name,
        "owner": part_.owner,
        "server": part_.server,
        "content_id": part_.content_id,
    }


def _foreign_from_json(raw: Json) -> Foreign:
    kind, name, owner, server, content = (text(raw, key) for key in ("kind", "name", "owner", "server", "content_id"))
    return Foreign(kind, name, owner, server, content)
