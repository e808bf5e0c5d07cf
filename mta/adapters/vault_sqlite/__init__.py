"""The vault in two SQLite files: `vault.db` for what may be remembered, `shares.db` for what must be forgotten."""

from mta.adapters.vault_sqlite.containers import FolderContainers
from mta.adapters.vault_sqlite.store import SqliteVault, open_vault

__all__ = ["FolderContainers", "SqliteVault", "open_vault"]
