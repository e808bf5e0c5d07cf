"""`mta protected super-user`: leaves to open what is not for one."""

from __future__ import annotations

import getpass
import json
import time

from mta.cli.protected import with_vault
from mta.cli.vault_words import administrator, life, stamp
from mta.model.protected import Actor, SuperUser
from mta.policy.super_user import PATIENCE, is_in_force
from mta.vault import super_user as use
from mta.vault.vault import Vault


def _person(by: str) -> Actor:
    """Whom the command names; the log has the account that named them."""
    return Actor(by, "console", agent=f"account {getpass.getuser()}") if by else administrator()


def ask_for(reason: str, lasts: str, by: str, config: str, json_output: bool) -> int:
    """Ask for a leave. Raises UsageError."""
    seconds, person = life(lasts), _person(by)
    return _shown([with_vault(config, lambda vault: use.ask_for(vault, person, reason, seconds))], json_output)


def change(wish: str, id: str, by: str, config: str, json_output: bool) -> int:
    """Approve or end one. Raises UsageError, and MtaError where the auditor cannot be told."""
    work, person = {"approve": use.approve, "end": use.end}[wish], _person(by)
    return _shown([with_vault(config, lambda vault: work(vault, id, person))], json_output)


def show_list(config: str, json_output: bool) -> int:
    """Print all leaves."""

    async def work(vault: Vault) -> tuple[SuperUser, ...]:
        return await vault.store.super_users()

    rows = [_document(leave) for leave in with_vault(config, work)]
    print(json.dumps(rows, indent=2) if json_output else "\n".join(map(_line, rows)) or "nobody ever asked for one")
    return 0


def _shown(leaves: list[SuperUser], json_output: bool) -> int:
    for row in map(_document, leaves):
        print(json.dumps(row, indent=2) if json_output else _line(row))
    return 0


def _line(row: dict[str, object]) -> str:
    line = f"{row['id']}  {row['state']}  {row['asked_by']}: {row['reason']}"
    if row["approved_by"]:
        line += f"; approved by {row['approved_by']}, {row['begins']} to {row['ends']}"
    return line + (f"; ended by {row['ended_by']}" if row["ended_by"] else "")


def _document(leave: SuperUser) -> dict[str, object]:
    return {
        "id": leave.id,
        "state": _state(leave, time.time()),
        "asked_by": leave.asked_by,
        "asked_at": stamp(leave.asked_at),
        "reason": leave.reason,
        "approved_by": leave.approved_by,
        "begins": stamp(leave.begins),
        "ends": stamp(leave.ends),
        "ended_by": leave.ended_by,
    }


def _state(leave: SuperUser, now: float) -> str:
    if leave.ended_at:
        return "ended"
    if not leave.begins:
        return "asked" if now < leave.asked_at + PATIENCE else "lapsed"
    return "in-force" if is_in_force(leave, now) else "over"
