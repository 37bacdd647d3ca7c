-- +goose Up

-- One row: who this ledger is, the last version or token given out, and the
-- latest time that anything here was written down with. Both only grow.
CREATE TABLE ledger (
  id      INTEGER PRIMARY KEY CHECK (id = 1),
  name    BLOB    NOT NULL,
  last    INTEGER NOT NULL,
  now     INTEGER NOT NULL,
  keys    TEXT              -- JSON array of the keys that payloads are sealed with
) STRICT;

INSERT INTO ledger (id, name, last, now) VALUES (1, randomblob(16), 0, 0);

-- The accepted upserts. seq is the version. Times are microseconds since 1970.
-- previous leads to the customer's upsert before; the newest are those that slots
-- desire. The chain costs nothing where an index by customer would dirty one more
-- page for every upsert, and it has no gaps because only its end is ever dropped.
CREATE TABLE operation (
  seq         INTEGER PRIMARY KEY,
  previous    INTEGER NOT NULL,
  customer    TEXT    NOT NULL,
  routes      TEXT    NOT NULL, -- JSON array
  strict      INTEGER NOT NULL,
  accepted_at INTEGER NOT NULL,
  key         BLOB,             -- digest of the idempotency key and its scope
  fingerprint BLOB,
  key_until   INTEGER,
  payload     BLOB              -- NULL once it is dropped
) STRICT;

CREATE UNIQUE INDEX operation_key ON operation (key) WHERE key IS NOT NULL;
CREATE INDEX operation_payload ON operation (seq) WHERE payload IS NOT NULL;

-- One row for each customer and route, clustered by customer: an upsert reads and
-- writes one place.
CREATE TABLE slot (
  customer       TEXT    NOT NULL,
  route          TEXT    NOT NULL,
  state          INTEGER NOT NULL,
  desired        INTEGER NOT NULL,
  applied        INTEGER NOT NULL DEFAULT 0,
  inflight       INTEGER NOT NULL DEFAULT 0,
  next_at        INTEGER,           -- NULL unless due or leased
  claimed_at     INTEGER NOT NULL DEFAULT 0,
  token          INTEGER NOT NULL DEFAULT 0,
  attempts       INTEGER NOT NULL DEFAULT 0,
  due_since      INTEGER NOT NULL,
  applied_at     INTEGER NOT NULL DEFAULT 0,
  unsure         INTEGER NOT NULL DEFAULT 0,
  settle_at      INTEGER NOT NULL DEFAULT 0,
  died_at        INTEGER,           -- NULL unless dead
  updated_at     INTEGER,           -- NULL if no upsert ever said
  history        INTEGER NOT NULL DEFAULT 0, -- id of the last attempt
  remote_id      TEXT,
  identity       BLOB,
  result_version INTEGER NOT NULL DEFAULT 0,
  code           TEXT    NOT NULL DEFAULT '',
  result         BLOB,
  PRIMARY KEY (customer, route)
) STRICT, WITHOUT ROWID;

-- What is due is looked for by route. What is leased comes and goes with every
-- upsert, and is kept in the order of time, so that all routes of many upserts fall
-- on one page.
CREATE INDEX slot_due ON slot (route, next_at) WHERE state = 1;
CREATE INDEX slot_leased ON slot (next_at, route) WHERE state = 2;
CREATE INDEX slot_waiting ON slot (route, due_since) WHERE state = 1;
CREATE INDEX slot_dead ON slot (died_at, route, customer, code) WHERE died_at IS NOT NULL;
CREATE UNIQUE INDEX slot_remote ON slot (route, remote_id) WHERE remote_id IS NOT NULL;

-- The history of the slots, without customer data: a chain like that of the
-- operations, from slot.history.
CREATE TABLE attempt (
  id            INTEGER PRIMARY KEY,
  previous      INTEGER NOT NULL,
  customer      TEXT    NOT NULL,
  route         TEXT    NOT NULL,
  at            INTEGER NOT NULL,
  version       INTEGER NOT NULL,
  number        INTEGER NOT NULL,
  requests      INTEGER NOT NULL,
  op            TEXT    NOT NULL,
  code          TEXT    NOT NULL,
  status        INTEGER NOT NULL,
  upstream_code TEXT    NOT NULL,
  request_id    TEXT    NOT NULL,
  took          INTEGER NOT NULL  -- nanoseconds
) STRICT;

CREATE TABLE route (
  name       TEXT    PRIMARY KEY,
  paused     INTEGER NOT NULL,
  reason     TEXT    NOT NULL,
  not_before INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
