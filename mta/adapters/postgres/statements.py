"""The statements that a group of changes is made of, each for all of it; the moves are those of model/lifecycle.py."""

from __future__ import annotations

from collections.abc import Set

from mta.model.lifecycle import BY_ATTEMPT, BY_COMMAND, FINAL, OPEN, QUEUED, after

_ENDS_FROM = sorted(state for state in OPEN if BY_ATTEMPT[state] >= FINAL and BY_COMMAND[state] >= FINAL)


def one_of(states: Set[str] | list[str]) -> str:
    """A list for IN."""
    return ", ".join(f"'{state}'" for state in sorted(states))


def _moves() -> str:
    """CASE: where a recipient comes that is open and stays so."""
    cases = [
        f"WHEN {'' if by_attempt else 'NOT '}i.by_attempt AND o.state = '{old}' AND i.state = '{wanted}' THEN '{new}'"
        for by_attempt in (True, False)
        for old in sorted(OPEN)
        for wanted in sorted(OPEN)
        if (new := after(old, wanted, by_attempt=by_attempt)) != wanted
    ]
    return f"CASE {' '.join(cases)} ELSE i.state END" if cases else "i.state"


IS_DUE = f"owner IS NULL AND state = '{QUEUED}'"  # as the index of due recipients has it
_MINE = "(i.by_operator OR w.owner IS NULL OR w.owner = i.owner)"  # a settlement names its owner

TAKE = """
WITH m AS (
  INSERT INTO message (seq, id, received, sender, inbound, hops, size, head_size, crc, check_crc, envelope, evidence,
                       prefix)
  SELECT * FROM unnest($1::bigint[], $2::text[], $3::float8[], $4::text[], $5::text[], $6::int[], $7::bigint[],
                       $8::int[], $9::bigint[], $10::bigint[], $11::text[], $12::text[], $13::bytea[])
), c AS (
  INSERT INTO content (body, n, data) SELECT * FROM unnest($14::bigint[], $15::int[], $16::bytea[])
)
INSERT INTO work (generation, seq, idx, many, owner, state, due, attempts, warned, connector, address, reason,
                  word)
SELECT $17::bigint, r.* FROM unnest($18::bigint[], $19::int[], $20::bool[], $21::bigint[], $22::text[], $23::float8[],
                                    $24::int[], $25::bool[], $26::text[], $27::text[], $28::text[],
                                    $29::text[]) r
"""

TAKE_ENDED = """
INSERT INTO fate (seq, idx, state, at, due, attempts, warned, form, connector, address, reason, word)
SELECT seq, idx, state, at, due, attempts, warned, 0, connector, address, reason, word
FROM unnest($1::bigint[], $2::int[], $3::text[], $4::float8[], $5::float8[], $6::int[], $7::bool[], $8::text[],
            $9::text[], $10::text[], $11::text[])
     i (seq, idx, state, at, due, attempts, warned, connector, address, reason, word)
"""

# seq, idx, state, reason, due, at, counted, warned, word, by_operator, owner
_FATES = (
    "unnest($1::bigint[], $2::int[], $3::text[], $4::text[], $5::float8[], $6::float8[], $7::bool[], $8::bool[],"
    " $9::text[], $10::bool[], $11::bigint[])"
    " i (seq, idx, state, reason, due, at, by_attempt, warned, word, by_operator, owner)"
)

ENDS = f"""
WITH gone AS (
  DELETE FROM work w USING {_FATES}
  WHERE w.seq = i.seq AND w.idx = i.idx AND {_MINE} AND w.state IN ({one_of(_ENDS_FROM)})
  RETURNING w.seq, w.idx, w.many, w.state AS old, i.state, i.at, i.due, w.attempts + i.by_attempt::int AS attempts,
            w.warned OR i.warned AS warned, w.form, w.connector, w.address, i.reason, i.word,
            CASE WHEN i.by_operator THEN w.owner END AS owner
), kept AS (
  INSERT INTO fate (seq, idx, state, at, due, attempts, warned, form, connector, address, reason, word, owner)
  SELECT seq, idx, state, at, due, attempts, warned, form, connector, address, reason, word, owner FROM gone
)
SELECT seq, idx, many, old, state FROM gone
"""  # noqa: S608

MOVES = f"""
UPDATE work w SET state = {_moves()}, reason = i.reason, word = i.word, due = i.due,
  attempts = w.attempts + i.by_attempt::int,
  warned = w.warned OR i.warned, owner = CASE WHEN i.by_operator THEN w.owner END
FROM {_FATES}
JOIN LATERAL (SELECT state FROM work WHERE seq = i.seq AND idx = i.idx FOR UPDATE) o ON true
WHERE w.seq = i.seq AND w.idx = i.idx AND {_MINE}
RETURNING w.seq, w.idx, false AS many, o.state AS old, w.state
"""  # noqa: S608

# What a settlement did not find as its own: whose it is, or that it has come to its end.
LEFT = """
SELECT i.seq, i.idx, w.owner, f.seq IS NOT NULL AS ended, f.owner AS attempted_by, f.at
FROM unnest($1::bigint[], $2::int[]) i (seq, idx)
LEFT JOIN work w ON w.seq = i.seq AND w.idx = i.idx
LEFT JOIN fate f ON f.seq = i.seq AND f.idx = i.idx
"""

ATTEMPT_OVER = """
UPDATE fate f SET owner = NULL FROM unnest($1::bigint[], $2::int[]) i (seq, idx)
WHERE f.seq = i.seq AND f.idx = i.idx
"""

EVENTS = """
INSERT INTO event (seq, at, name, recipients, detail)
SELECT seq, at, name, recipients, detail
FROM unnest($1::bigint[], $2::float8[], $3::text[], $4::text[], $5::text[])
     WITH ORDINALITY i (seq, at, name, recipients, detail, place)
ORDER BY place
"""

# Two nodes that end two recipients of one message at once do not see each other's: one waits for the other.
ONE_BY_ONE = "SELECT pg_advisory_xact_lock(seq) FROM unnest($1::bigint[]) seq"

ENDED = f"""
WITH e AS (
  INSERT INTO ended (seq, at) SELECT i.seq, i.at FROM unnest($1::bigint[], $2::float8[]) i (seq, at)
  WHERE NOT EXISTS (SELECT 1 FROM work w WHERE w.seq = i.seq AND w.state IN ({one_of(OPEN)}))
  ON CONFLICT DO NOTHING RETURNING seq
), f AS (
  DELETE FROM form USING e WHERE form.seq = e.seq RETURNING form.body
), c AS (
  DELETE FROM content WHERE body IN (SELECT seq FROM e UNION ALL SELECT body FROM f)
)
SELECT e.seq, m.size, (SELECT array_agg(body) FROM f) AS forms FROM e JOIN message m ON m.seq = e.seq
"""  # noqa: S608

FORM = """
INSERT INTO form (seq, n, body, size, head_size, crc, detail)
VALUES ($1, (SELECT coalesce(max(n), 0) + 1 FROM form WHERE seq = $1), $2, $3, $4, $5, $6) RETURNING n
"""
PIECES = "INSERT INTO content (body, n, data) SELECT $1, * FROM unnest($2::int[], $3::bytea[])"
TAKE_FORM = f"UPDATE work SET form = $1 WHERE seq = $2 AND idx = ANY($3::int[]) AND state IN ({one_of(OPEN)})"  # noqa: S608
FORGET_FORM = (
    "WITH f AS (DELETE FROM form WHERE seq = $1 AND n = $2 RETURNING body)"
    " DELETE FROM content USING f WHERE content.body = f.body"
)

COUNT = """
INSERT INTO counter (node, lane, name, value) SELECT $1, $2, * FROM unnest($3::text[], $4::bigint[])
ON CONFLICT (node, lane, name) DO UPDATE SET value = counter.value + excluded.value
"""

RECEIPT = """
INSERT INTO receipt (id) VALUES ($1) ON CONFLICT (id) DO UPDATE SET seen = receipt.seen + 1 RETURNING seen
"""

CLAIM = f"""
WITH first AS MATERIALIZED (
  SELECT seq FROM work WHERE {IS_DUE} AND due <= $2 AND due >= $3 AND generation <= $5 AND NOT seq = ANY($6::bigint[])
  ORDER BY due, seq, idx LIMIT $4 FOR UPDATE SKIP LOCKED
), mine AS MATERIALIZED (
  SELECT seq, idx FROM work WHERE seq IN (SELECT seq FROM first) AND {IS_DUE} AND due <= $2 AND generation <= $5
  FOR UPDATE SKIP LOCKED
)
UPDATE work w SET owner = $1, epoch = epoch + 1 FROM mine WHERE w.seq = mine.seq AND w.idx = mine.idx
RETURNING w.seq, w.idx, w.connector, w.state, w.due, w.attempts, w.reason, w.warned, w.form, w.word
"""  # noqa: S608

RELEASE = "UPDATE work SET owner = NULL WHERE seq = ANY($1::bigint[]) AND owner = $2"
