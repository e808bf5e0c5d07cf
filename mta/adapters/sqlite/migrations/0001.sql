PRAGMA application_id = 1836343665;          -- "mtaq", for file(1)

-- A message: what never changes, and when its last recipient came to an end.
CREATE TABLE message (
    seq       INTEGER PRIMARY KEY,           -- order of arrival
    id        TEXT    NOT NULL,
    received  REAL    NOT NULL,              -- epoch seconds, like every time here
    ended     REAL,                          -- NULL while any recipient is open
    sender    TEXT    NOT NULL,              -- domain@local in lower case: serves address and domain; '' is the null sender
    inbound   TEXT    NOT NULL,
    hops      INTEGER NOT NULL,
    size      INTEGER NOT NULL,              -- octets of the content
    file      TEXT,                          -- the content's name below content/, NULL: a row of table content
    head_size INTEGER NOT NULL,              -- octets of Content.head
    crc       INTEGER NOT NULL,              -- CRC-32 of the content
    check_crc INTEGER NOT NULL,              -- CRC-32 of this row (rows.py: row_checksum)
    envelope  TEXT    NOT NULL,              -- JSON
    evidence  TEXT    NOT NULL,              -- JSON
    prefix    BLOB    NOT NULL
);
CREATE UNIQUE INDEX message_id ON message (id);
CREATE INDEX message_sender ON message (sender);
CREATE INDEX message_ended ON message (ended) WHERE ended IS NOT NULL;

-- Small contents stand apart, so that deleting one does not rewrite the message.
CREATE TABLE content (
    seq  INTEGER PRIMARY KEY,
    data BLOB    NOT NULL
);

CREATE TABLE recipient (
    message   INTEGER NOT NULL,
    idx       INTEGER NOT NULL,              -- place in the envelope
    state     TEXT    NOT NULL,
    due       REAL    NOT NULL,
    attempts  INTEGER NOT NULL,
    warned    INTEGER NOT NULL,
    connector TEXT    NOT NULL,
    address   TEXT    NOT NULL,              -- domain@local in lower case
    reason    TEXT    NOT NULL,
    PRIMARY KEY (message, idx)
) WITHOUT ROWID;
CREATE INDEX recipient_due ON recipient (due) WHERE state = 'queued';
CREATE INDEX recipient_address ON recipient (address);

CREATE TABLE event (
    message    INTEGER NOT NULL,
    n          INTEGER NOT NULL,             -- order within the message
    at         REAL    NOT NULL,
    name       TEXT    NOT NULL,
    recipients TEXT    NOT NULL,             -- JSON array of places in the envelope, empty: all
    detail     TEXT    NOT NULL,             -- JSON
    PRIMARY KEY (message, n)
) WITHOUT ROWID;

-- Recipients per state, and 'octets' of undelivered content: kept with every change, so that counting scans nothing.
CREATE TABLE counter (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;
