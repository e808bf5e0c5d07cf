-- items and what may be done with them
CREATE TABLE item (
  id            TEXT PRIMARY KEY NOT NULL,
  wrapped       BLOB NOT NULL UNIQUE,       -- SHA-256 of the wrapped key
  policy        BLOB NOT NULL,              -- SHA-256 of the policy it was sealed with
  uuid          TEXT NOT NULL,
  kind          TEXT NOT NULL,
  label         TEXT NOT NULL,
  owner         TEXT NOT NULL,
  name          TEXT NOT NULL,
  root_key      TEXT NOT NULL,
  created       REAL NOT NULL,
  not_after     REAL NOT NULL,
  state         TEXT NOT NULL,
  revocation    TEXT NOT NULL,
  size          INTEGER NOT NULL,
  parent        TEXT NOT NULL,
  place         TEXT NOT NULL,
  signed_policy TEXT NOT NULL,
  opens         INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX item_due ON item (not_after) WHERE state = 'live' AND not_after > 0;
CREATE INDEX item_owner ON item (owner, id);
CREATE INDEX item_parent ON item (parent, id) WHERE parent <> '';

CREATE TABLE item_grant (
  id         TEXT PRIMARY KEY NOT NULL,
  item       TEXT NOT NULL REFERENCES item (id),
  reader     TEXT NOT NULL,
  rights     TEXT NOT NULL,                 -- names, parted by blanks
  granted_by TEXT NOT NULL,
  granted_at REAL NOT NULL,
  not_after  REAL NOT NULL,
  revoked_at REAL NOT NULL,
  hidden     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX grant_item ON item_grant (item);
CREATE INDEX grant_reader ON item_grant (reader, item);

-- the way of a reader to a grant, in a notice: only the SHA-256 of its id is known here
CREATE TABLE link (
  token_hash BLOB PRIMARY KEY NOT NULL,
  grant_id   TEXT NOT NULL REFERENCES item_grant (id),
  item       TEXT NOT NULL REFERENCES item (id),
  created    REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX link_item ON link (item);

-- which queued message an item was made of, so that it is made once: SHA-256 of the message's id and the label
CREATE TABLE origin (
  digest BLOB PRIMARY KEY NOT NULL,
  item   TEXT NOT NULL REFERENCES item (id)
) STRICT, WITHOUT ROWID;

CREATE TABLE root_key (
  id            TEXT PRIMARY KEY NOT NULL,
  place         TEXT NOT NULL,
  spki          BLOB NOT NULL,
  bits          INTEGER NOT NULL,
  state         TEXT NOT NULL,
  created       REAL NOT NULL,
  changed       REAL NOT NULL,
  destroy_after REAL NOT NULL,
  asked_by      TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE epoch (                        -- keys that cover the shares: files of epochs/
  number   INTEGER PRIMARY KEY,
  begun    REAL NOT NULL,
  replaced REAL NOT NULL,
  ended    REAL NOT NULL
) STRICT;

CREATE TABLE super_user (                   -- leaves to open what is not for one
  id          TEXT PRIMARY KEY NOT NULL,
  asked_by    TEXT NOT NULL,
  reason      TEXT NOT NULL,
  asked_at    REAL NOT NULL,
  lasts       REAL NOT NULL,
  approved_by TEXT NOT NULL,
  begins      REAL NOT NULL,
  ends        REAL NOT NULL,
  ended_by    TEXT NOT NULL,
  ended_at    REAL NOT NULL
) STRICT, WITHOUT ROWID;

-- the log: leaves are for ever, salt and story can be erased
CREATE TABLE event (
  number INTEGER PRIMARY KEY,
  item   TEXT NOT NULL,
  leaf   BLOB NOT NULL,
  salt   BLOB NOT NULL,
  story  BLOB NOT NULL
) STRICT;
CREATE INDEX event_item ON event (item, number) WHERE item <> '';

CREATE TABLE node (                         -- hashes of the tiles' levels
  level INTEGER NOT NULL,
  n     INTEGER NOT NULL,
  hash  BLOB NOT NULL,
  PRIMARY KEY (level, n)
) STRICT, WITHOUT ROWID;

CREATE TABLE log (
  one      INTEGER PRIMARY KEY CHECK (one = 1),
  size     INTEGER NOT NULL,
  frontier BLOB NOT NULL                    -- roots of the perfect subtrees on the right edge, the largest first
) STRICT;
INSERT INTO log VALUES (1, 0, x'');

CREATE TABLE checkpoint (
  size INTEGER PRIMARY KEY,
  note TEXT NOT NULL
) STRICT;

CREATE TABLE witnessed (                    -- partners' logs: the newest checkpoint of each that we cosigned
  origin TEXT PRIMARY KEY NOT NULL,
  size   INTEGER NOT NULL,
  root   BLOB NOT NULL
) STRICT, WITHOUT ROWID;
