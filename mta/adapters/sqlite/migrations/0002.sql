-- A message as it leaves for some of its recipients under a contract that changes it (signed, encrypted): made once,
-- every later attempt sends these bytes. Gone when the message has come to its end.
CREATE TABLE form (
    message   INTEGER NOT NULL,
    n         INTEGER NOT NULL,              -- from 1 within the message
    size      INTEGER NOT NULL,              -- octets of the content
    file      TEXT,                          -- the content's name below content/, NULL: in `data`
    head_size INTEGER NOT NULL,
    crc       INTEGER NOT NULL,              -- CRC-32 of the content
    detail    TEXT    NOT NULL,              -- JSON: what was done
    data      BLOB,
    PRIMARY KEY (message, n)
);

ALTER TABLE recipient ADD COLUMN form INTEGER NOT NULL DEFAULT 0;  -- 0: the message as it came
