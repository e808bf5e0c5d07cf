"""`server.queue` where machines share it."""

from __future__ import annotations

import pytest

from mta.contract.queue import SharedQueue
from tests.unit.config.test_load import examined, lines

DSN = "postgresql://mta@db.example/mta"


def queue(*keys: str) -> str:
    return f"server: {{hostname: a.example, queue: {{{', '.join(keys)}}}}}"


def test_a_database_is_shared_and_a_folder_is_this_machines() -> None:
    text = queue(f'store: "{DSN}"', "folder: /var/spool/mta", "lease: 90s", "copies: 2", "generation: 7")
    found = examined(text).configuration
    assert found is not None
    assert found.server.queue == "sqlite:/var/spool/mta"
    assert found.server.shared == SharedQueue(DSN, 90.0, 60.0, 2, 7)


def test_one_machine_shares_nothing() -> None:
    found = examined(queue('store: "sqlite:/var/spool/mta"')).configuration
    assert found is not None
    assert found.server.shared is None


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        (['store: "postgresql:mta"'], "is not a queue store"),
        (['store: "sqlite:"'], "is not a queue store"),
        ([f'store: "{DSN}"', "copies: 3"], "copies"),
        ([f'store: "{DSN}"', "lease: 500ms"], "lease"),
        ([f'store: "{DSN}"', "generation: -1"], "generation"),
    ],
)
def test_what_cannot_be_is_told(keys: list[str], told: str) -> None:
    [line] = lines(examined(queue(*keys)))
    assert told in line


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        (['store: "postgresql://mta:secret@db.example/mta"'], "the password of the database stands in this file"),
        ([f'store: "{DSN}"', "lease: 5s"], "loses its mail"),
    ],
)
def test_what_is_seldom_meant_is_a_warning(keys: list[str], told: str) -> None:
    found = examined(queue(*keys))
    assert [told in str(warning.message) for warning in found.warnings] == [True]


def test_what_is_shown_of_a_database_has_no_password() -> None:
    assert SharedQueue("postgresql://mta:secret@db.example:5433/mta?x=y").place == "postgresql://db.example:5433/mta"
