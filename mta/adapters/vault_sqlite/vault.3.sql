-- version 3: the witnesses of our log
CREATE TABLE witness (                      -- of our log, by its key's text: what it answered
  key      TEXT PRIMARY KEY NOT NULL,
  name     TEXT NOT NULL,
  size     INTEGER NOT NULL,                -- of the largest checkpoint that it cosigned
  cosigned REAL NOT NULL,
  heard    REAL NOT NULL,
  fault    TEXT NOT NULL,
  refusal  TEXT NOT NULL                    -- it knows another log: nothing opens
) STRICT, WITHOUT ROWID;
