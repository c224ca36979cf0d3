"""The tables of the event store, as steps from one version of the database to the next.

`PRAGMA user_version` holds the number of steps a database has been through. A step that has been released is never
changed: what comes later is a new step. Times are UTC in ns since 1970, frames are 20 ms of a stream.
"""

STEPS = (
    """
    CREATE TABLE last_seq (seq INTEGER NOT NULL) STRICT;
    INSERT INTO last_seq VALUES (0);
    CREATE TABLE events (
        seq INTEGER PRIMARY KEY,                -- order of the newest stages: to read on from one misses nothing
        id TEXT NOT NULL UNIQUE,
        stream TEXT NOT NULL,
        pack TEXT NOT NULL,
        pack_hash TEXT NOT NULL,
        label TEXT NOT NULL,
        grp TEXT NOT NULL,
        stage TEXT NOT NULL,                    -- open, update or close: the newest one
        onset_frame INTEGER NOT NULL,
        offset_frame INTEGER,                   -- one past the last active frame; NULL while it lasts
        onset_ns INTEGER NOT NULL,
        offset_ns INTEGER,
        decided_ns INTEGER NOT NULL,            -- up to here the stream was known when the newest stage was decided
        peak REAL NOT NULL,
        mean REAL NOT NULL,
        level_db REAL,                          -- dBFS
        enter REAL NOT NULL,
        leave REAL NOT NULL,
        min_on_ms INTEGER NOT NULL,
        min_off_ms INTEGER NOT NULL,
        ended_by TEXT NOT NULL,
        test INTEGER NOT NULL,
        clip TEXT NOT NULL,                     -- file below clips/, '' for none
        mark TEXT NOT NULL                      -- what a person said about it
    ) STRICT;
    CREATE INDEX events_by_time ON events (onset_ns);
    CREATE INDEX events_by_label ON events (label, onset_ns);
    CREATE INDEX events_that_last ON events (id) WHERE stage <> 'close';
    CREATE INDEX events_with_clip ON events (label, peak) WHERE clip <> '';

    CREATE TABLE alerts (
        id TEXT PRIMARY KEY,
        rule TEXT NOT NULL,
        event_id TEXT NOT NULL,
        label TEXT NOT NULL,
        stage TEXT NOT NULL,
        at_ns INTEGER NOT NULL,
        test INTEGER NOT NULL,
        payload TEXT NOT NULL                   -- JSON of the whole alert, as it was when it was decided
    ) STRICT;
    CREATE INDEX alerts_by_time ON alerts (at_ns);
    CREATE INDEX alerts_by_event ON alerts (event_id);

    CREATE TABLE deliveries (                   -- alerts/outbox.py
        alert_id TEXT NOT NULL,
        sink TEXT NOT NULL,
        rule TEXT NOT NULL,
        at_ns INTEGER NOT NULL,                 -- of the alert
        state TEXT NOT NULL CHECK (state IN ('pending', 'sent', 'dead')),
        attempts INTEGER NOT NULL,
        next_ns INTEGER NOT NULL,
        first_ns INTEGER NOT NULL,
        last_error TEXT NOT NULL,
        sent_ns INTEGER,
        PRIMARY KEY (alert_id, sink)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX deliveries_in_order ON deliveries (sink, rule, at_ns, alert_id) WHERE state = 'pending';

    CREATE TABLE reasons (
        event_id TEXT NOT NULL,
        rule TEXT NOT NULL,
        at_ns INTEGER NOT NULL,
        passed INTEGER NOT NULL,
        gates TEXT NOT NULL,                    -- JSON
        PRIMARY KEY (event_id, rule)
    ) STRICT, WITHOUT ROWID;

    -- what rules remember: cool-downs, counts, days, open visits, digests (alerts/rules/memory.py)
    CREATE TABLE memory (
        kind TEXT NOT NULL,
        rule TEXT NOT NULL,
        key TEXT NOT NULL,
        value TEXT NOT NULL,                    -- JSON
        PRIMARY KEY (kind, rule, key)
    ) STRICT, WITHOUT ROWID;
    """,
    """
    ALTER TABLE events ADD COLUMN mark_label TEXT NOT NULL DEFAULT '';  -- what a person says it really was
    """,
    """
    CREATE TABLE gaps (                         -- gaps.py
        stream TEXT NOT NULL,
        since_ns INTEGER NOT NULL,
        until_ns INTEGER NOT NULL,
        reason TEXT NOT NULL,
        PRIMARY KEY (stream, since_ns)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX gaps_by_time ON gaps (until_ns);
    """,
    """
    CREATE TABLE classes (                      -- taught.py: what somebody has taught
        label TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        host TEXT NOT NULL,                     -- the pack whose embeddings it rests on
        identity TEXT NOT NULL,                 -- of those numbers
        weights BLOB NOT NULL,                  -- float32, the bias last; empty where it cannot be made
        enter REAL NOT NULL,
        leave REAL NOT NULL,
        made_ns INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE examples (
        id TEXT PRIMARY KEY,
        label TEXT NOT NULL,
        said TEXT NOT NULL CHECK (said IN ('is', 'not')),
        event TEXT NOT NULL,                    -- of which it was told, '' for none
        stream TEXT NOT NULL,                   -- or the file that it is from
        at_ns INTEGER NOT NULL,
        until_ns INTEGER NOT NULL,
        made_ns INTEGER NOT NULL,
        identity TEXT NOT NULL,
        size INTEGER NOT NULL,                  -- numbers of an embedding
        numbers BLOB NOT NULL,                  -- float16, an embedding behind the other
        sound BLOB NOT NULL                     -- FLAC, empty where it is not kept
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX examples_by_label ON examples (label);

    CREATE TABLE moments (                      -- moments.py: what events and the time between them sounded like
        id INTEGER PRIMARY KEY,
        at_ns INTEGER NOT NULL,
        stream TEXT NOT NULL,
        event TEXT NOT NULL,                    -- '' for one that was picked by chance
        label TEXT NOT NULL,
        identity TEXT NOT NULL,
        numbers BLOB NOT NULL                   -- float16, one embedding
    ) STRICT;
    CREATE INDEX moments_by_time ON moments (at_ns);
    CREATE INDEX moments_by_event ON moments (event) WHERE event <> '';
    """,
    """
    CREATE TABLE loudness (                     -- minutes.py; dB of full scale
        stream TEXT NOT NULL,
        since_ns INTEGER NOT NULL,
        frames INTEGER NOT NULL,
        laeq REAL NOT NULL,
        lceq REAL NOT NULL,
        lzeq REAL NOT NULL,
        lafmax REAL NOT NULL,
        lcpeak REAL NOT NULL,
        l10 REAL NOT NULL,
        l50 REAL NOT NULL,
        l90 REAL NOT NULL,
        offset_db REAL,                         -- NULL where the stream was not calibrated
        bands BLOB NOT NULL,                    -- a byte for each third octave from 25 Hz on: half decibels over -127.5
        PRIMARY KEY (since_ns, stream)
    ) STRICT, WITHOUT ROWID;
    """,
    """
    CREATE TABLE forgotten (                    -- taught.py: labels that were taught once; rules may name them still
        label TEXT PRIMARY KEY
    ) STRICT, WITHOUT ROWID;
    """,
)
VERSION = len(STEPS)
