"""Recipients that wait, looked at and put off by the hundred without their messages; run by the writer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial

from mta.adapters.queue_rows import plain
from mta.adapters.sqlite.claims import Claims as Claimed
from mta.adapters.sqlite.queries import ARE_NUMBERS, NEVER, Claims
from mta.adapters.sqlite.states import IS_QUEUED
from mta.adapters.sqlite.surveys import surveys
from mta.adapters.sqlite.work import Work
from mta.adapters.sqlite.writer import Writer
from mta.model.word import Word
from mta.ports import Postponement, QueueFilter, QueueSurvey, WaitingRecipient

# Texts as blobs: a damaged one is not believed, and found when its message is claimed.
_WAITING = (
    "SELECT message, idx, due, CAST(connector AS BLOB), CAST(address AS BLOB), attempts, warned,"  # noqa: S608
    " CAST(word AS BLOB) FROM recipient"
    f" WHERE {IS_QUEUED} AND due <= ? AND {ARE_NUMBERS} ORDER BY due, message, idx"
)
_OF_MESSAGE = "SELECT received, CAST(sender AS BLOB), instr(envelope, ?) FROM message WHERE seq = ?"
_WISH = '"tls":'  # a key of the envelope's JSON; inside a value its quotes would be escaped
_POSTPONE = (
    "UPDATE recipient SET due = ?, word = ?, reason = ?, attempts = attempts + 1"  # noqa: S608
    f" WHERE message = ? AND idx = ? AND {IS_QUEUED} AND due = ?"
)
_TOO_FAR = f"{IS_QUEUED} AND due > ?1 AND due < ?3 AND (attempts > 0 OR due > ?2)"
_ANY_TOO_FAR = f"SELECT EXISTS (SELECT 1 FROM recipient WHERE {_TOO_FAR})"  # noqa: S608
_HASTEN = f"UPDATE recipient SET due = ?4 WHERE {_TOO_FAR}"  # noqa: S608


def due_recipients(work: Work, now: float, limit: int, claims: Claims) -> list[WaitingRecipient]:
    """Due and unclaimed recipients, earliest first."""
    recipients: list[WaitingRecipient] = []
    of_message: dict[int, tuple[float, bytes, int] | None] = {}
    for seq, index, due, connector, address, attempts, warned, word in work.db.execute(_WAITING, (now,)):
        if index in claims.get(seq, ()):
            continue
        if seq not in of_message:
            of_message[seq] = work.db.execute(_OF_MESSAGE, (_WISH, seq)).fetchone()
        about = of_message[seq] or (0.0, b"", 1)
        sound = isinstance(attempts, int) and isinstance(about[0], float) and isinstance(due, float)
        recipients.append(
            WaitingRecipient(
                place=(seq, index),
                due=due if sound else 0.0,
                connector=_text(connector),
                domain=_text(address).partition("@")[0],
                attempts=attempts if sound else 0,
                warned=bool(warned),
                received=about[0] if sound else 0.0,
                null_sender=not about[1],
                plain=sound and not about[2] and _text(word) != Word.RETURNED,
            )
        )
        if len(recipients) >= limit:
            break
    return recipients


def _text(raw: bytes | None) -> str:
    return (raw or b"").decode("utf-8", "replace")


def put_off(work: Work, postponements: Sequence[Postponement]) -> None:
    """Put recipients off that nobody has changed since they were looked at."""
    work.db.executemany(
        _POSTPONE,
        [
            (each.due, plain(each.word), plain(each.reason), *each.waiting.place, each.waiting.due)
            for each in postponements
        ],
    )


def is_too_far(work: Work, latest: float, of_new: float, never: float) -> bool:
    """Whether anybody is due later than can be."""
    return bool(work.db.execute(_ANY_TOO_FAR, (latest, of_new, never)).get)


def make_due(work: Work, times: tuple[float, float, float, float]) -> int:
    """Make them due now; `times` are the latest, that of those never tried, what is damage, now. How many."""
    work.db.execute(_HASTEN, times)
    return work.db.changes()


def _ours() -> bool:
    return True


class WaitingRecipients:
    """What a store answers of them, and of those that are claimed."""

    presides = True  # over its queue, which nobody else has

    _writer: Writer
    _claims: Claimed

    def gate(self, message_id: str) -> Callable[[], bool]:
        """What to ask before a final dot: nobody else can have what one process owns."""
        return _ours

    async def waiting(self, now: float, limit: int) -> list[WaitingRecipient]:
        """Due recipients that nobody has claimed, earliest first."""
        run = partial(due_recipients, now=now, limit=limit, claims=self._claims.places)
        recipients: list[WaitingRecipient] = await self._writer.read(run, "look for due recipients")
        return recipients

    def survey(self, which: QueueFilter, now: float) -> AsyncIterator[QueueSurvey]:
        """Count what waits, in windows of at most some thousand messages."""
        return surveys(self._writer, which, now)

    @property
    def effort(self) -> tuple[int, int, float]:
        """Transactions so far, jobs in them, and the seconds they took."""
        return self._writer.commits, self._writer.committed, self._writer.seconds

    async def postpone(self, postponements: Sequence[Postponement]) -> None:
        """Put them off, all in one transaction."""
        run = partial(put_off, postponements=postponements)
        await self._writer.write(run, "put recipients off", urgent=False)

    async def hasten(self, now: float, latest: float, of_new: float) -> int:
        """Make due now who is due later than can be; how many."""
        look = partial(is_too_far, latest=latest, of_new=of_new, never=NEVER)
        if not await self._writer.read(look, "look at the times of attempts"):
            return 0
        run = partial(make_due, times=(latest, of_new, NEVER, now))
        hastened: int = await self._writer.write(run, "mend the times of attempts", urgent=False)
        return hastened
