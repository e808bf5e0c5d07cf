-- One incarnation of one worker process; its id is never given again, whatever its host is called.
CREATE TABLE node (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    slot       int         NOT NULL,          -- in the numbers that it gives; its own while it lives
    host       text        NOT NULL,
    worker     int         NOT NULL,
    version    text        NOT NULL,
    digest     text        NOT NULL,          -- of its connectors.yaml
    generation bigint      NOT NULL,          -- of its connectors.yaml: what is newer it does not claim
    started    timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires    timestamptz NOT NULL,          -- its lease, by the clock of the database
    dead       boolean     NOT NULL DEFAULT false
) WITH (fillfactor = 50);
CREATE UNIQUE INDEX node_slot ON node (slot) WHERE NOT dead;

-- What one node at a time may do: take dead nodes' mail over, sweep, report.
CREATE TABLE lease (
    name    text        PRIMARY KEY,
    holder  bigint      NOT NULL,
    term    bigint      NOT NULL,
    expires timestamptz NOT NULL
);

-- A message: written once, never changed. It has ended when no row of `work` is its.
CREATE TABLE message (
    seq        bigint           PRIMARY KEY,  -- milliseconds, slot of the node, counter: order of arrival
    id         text COLLATE "C" NOT NULL,
    received   float8           NOT NULL,     -- epoch seconds, like every time of a message
    sender     text COLLATE "C" NOT NULL,     -- domain@local in lower case: serves address and domain; '' is the null sender
    inbound    text             NOT NULL,
    hops       int              NOT NULL,
    size       bigint           NOT NULL,     -- octets of the content, which is `content` of body = seq
    head_size  int              NOT NULL,     -- octets of Content.head
    crc        bigint           NOT NULL,     -- CRC-32 of the content
    check_crc  bigint           NOT NULL,     -- CRC-32 of this row (adapters/queue_rows.py: row_checksum)
    envelope   text             NOT NULL,     -- JSON
    evidence   text             NOT NULL,     -- JSON
    prefix     bytea            NOT NULL
);
CREATE UNIQUE INDEX message_id ON message (id);
CREATE INDEX message_sender ON message (sender);

-- Recipients that are not at their end. Fresh mail is its taker's and in no index of what is due.
CREATE TABLE work (
    seq        bigint           NOT NULL,
    idx        int              NOT NULL,     -- place in the envelope
    many       boolean          NOT NULL,     -- the message has several recipients
    owner      bigint,                        -- the node that attempts it
    epoch      int              NOT NULL DEFAULT 0,  -- how often it was claimed
    taken_over smallint         NOT NULL DEFAULT 0,  -- how often from a node that had vanished
    generation bigint           NOT NULL,     -- of the configuration that it was taken under
    state      text             NOT NULL,
    due        float8           NOT NULL,
    attempts   int              NOT NULL,
    warned     boolean          NOT NULL,
    form       int              NOT NULL DEFAULT 0,
    connector  text             NOT NULL,
    address    text COLLATE "C" NOT NULL,     -- domain@local in lower case
    reason     text             NOT NULL,
    PRIMARY KEY (seq, idx)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0);
CREATE INDEX work_due ON work (due, seq, idx) WHERE owner IS NULL AND state = 'queued';
CREATE INDEX work_address ON work (address);

-- Recipients at their end, with what was said last.
CREATE TABLE fate (
    seq       bigint           NOT NULL,
    idx       int              NOT NULL,
    state     text             NOT NULL,
    at        float8           NOT NULL,
    due       float8           NOT NULL,
    attempts  int              NOT NULL,
    warned    boolean          NOT NULL,
    form      int              NOT NULL,
    connector text             NOT NULL,
    address   text COLLATE "C" NOT NULL,
    reason    text             NOT NULL,
    owner     bigint,                         -- the node whose attempt was under way when a command ended it
    PRIMARY KEY (seq, idx)
);
CREATE INDEX fate_address ON fate (address);

CREATE TABLE ended (
    seq bigint PRIMARY KEY,
    at  float8 NOT NULL
);
CREATE INDEX ended_at ON ended (at);

-- Octets, in pieces of 256 KiB. A body that neither a message nor a form names is of one that never came to be.
CREATE TABLE content (
    body bigint NOT NULL,
    n    int    NOT NULL,                     -- from 0
    data bytea  NOT NULL,
    PRIMARY KEY (body, n)
);
ALTER TABLE content ALTER COLUMN data SET STORAGE EXTERNAL;

-- A message as it leaves for some of its recipients (signed, encrypted): made once, every later attempt sends these bytes.
CREATE TABLE form (
    seq       bigint NOT NULL,
    n         int    NOT NULL,                -- from 1 within the message
    body      bigint NOT NULL,
    size      bigint NOT NULL,
    head_size int    NOT NULL,
    crc       bigint NOT NULL,
    detail    text   NOT NULL,                -- JSON: what was done
    PRIMARY KEY (seq, n)
);
CREATE INDEX form_body ON form (body);

CREATE TABLE event (
    seq        bigint NOT NULL,
    n          bigint GENERATED ALWAYS AS IDENTITY,  -- grows: the order of a message's events
    at         float8 NOT NULL,
    name       text   NOT NULL,
    recipients text   NOT NULL,               -- JSON array of places in the envelope, empty: all
    detail     text   NOT NULL                -- JSON
);
CREATE INDEX event_seq ON event (seq);

-- Recipients per state and octets of undelivered content: of each node and connection its own rows, so that no two
-- commits wait for each other; the sum counts.
CREATE TABLE counter (
    node  bigint NOT NULL,
    lane  int    NOT NULL,
    name  text   NOT NULL,
    value bigint NOT NULL,
    PRIMARY KEY (node, lane, name)
) WITH (fillfactor = 50);

-- That a group of changes was committed: whoever lost the connection on COMMIT asks here.
CREATE TABLE receipt (
    id   bigint PRIMARY KEY,
    seen int    NOT NULL DEFAULT 0
);
