CREATE TABLE share (
  wrapped BLOB PRIMARY KEY NOT NULL,        -- SHA-256 of the wrapped key
  covered BLOB NOT NULL,
  added   REAL NOT NULL
) STRICT, WITHOUT ROWID;
