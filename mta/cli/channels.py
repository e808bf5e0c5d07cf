"""`mta protected channels`: the second channels of a reader, and taking them away from who has lost them."""

from __future__ import annotations

import json

from mta.cli.protected import with_vault
from mta.cli.vault_words import administrator, read_reader, stamp
from mta.vault.channels import forget_channels


def channels(reader: str, forget: bool, config: str, json_output: bool) -> int:
    """Show them, or forget them. Raises UsageError; MtaError where there is nothing to forget."""
    name = read_reader(reader)
    if forget:
        count = with_vault(config, lambda vault: forget_channels(vault, name, administrator()))
        document = json.dumps({"reader": name, "forgotten": count})
        print(document if json_output else f"{name} has no second channel any more; {count} taken away")
        return 0
    credentials = with_vault(config, lambda vault: vault.store.credentials(name))
    rows = [
        {
            "channel": credential.kind,
            "since": stamp(credential.created),
            "used": stamp(credential.used) if credential.used else None,
        }
        for credential in credentials
    ]
    if json_output:
        print(json.dumps(rows, indent=2))
    for row in [] if json_output else rows:
        print(f"{row['channel']:8} since {row['since']}, {'used ' + row['used'] if row['used'] else 'never used'}")
    if not rows and not json_output:
        print(f"{name} has set up no second channel")
    return 0
