-- by what readers prove once more who they are: what a reader has set up, and phrases agreed with the sender
CREATE TABLE credential (
  id      TEXT PRIMARY KEY NOT NULL,
  subject TEXT NOT NULL,                    -- an address, or for a phrase the id of a grant
  kind    TEXT NOT NULL,
  data    TEXT NOT NULL,                    -- JSON; secrets in it are sealed
  created REAL NOT NULL,
  used    REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX credential_subject ON credential (subject);
