-- the tables as version 1 made them; never changed
CREATE SCHEMA streamclf;
CREATE TABLE streamclf.version (version integer NOT NULL);
INSERT INTO streamclf.version VALUES (1);
CREATE TABLE streamclf.sites (
    site text PRIMARY KEY,
    seq bigint NOT NULL,
    event text NOT NULL,
    delivered_at timestamptz NOT NULL
);
CREATE TABLE streamclf.events (
    site text NOT NULL,
    id text NOT NULL,
    seq bigint NOT NULL,
    stream text NOT NULL,
    pack text NOT NULL,
    pack_hash text NOT NULL,
    label text NOT NULL,
    grp text NOT NULL,
    stage text NOT NULL,
    onset_frame bigint NOT NULL,
    offset_frame bigint,
    onset_at timestamptz NOT NULL,
    offset_at timestamptz,
    decided_at timestamptz NOT NULL,
    peak real NOT NULL,
    mean real NOT NULL,
    level_db real,
    enter real NOT NULL,
    leave real NOT NULL,
    min_on_ms integer NOT NULL,
    min_off_ms integer NOT NULL,
    ended_by text NOT NULL,
    mark text NOT NULL,
    mark_label text NOT NULL,
    PRIMARY KEY (site, id)
);
CREATE INDEX events_by_time ON streamclf.events (onset_at) INCLUDE (label);
CREATE INDEX events_by_label ON streamclf.events (label, onset_at);
CREATE INDEX events_by_stream ON streamclf.events (site, stream, onset_at) INCLUDE (label);
CREATE INDEX events_with_mark ON streamclf.events (onset_at) WHERE mark <> '';
CREATE TABLE streamclf.days (
    label text NOT NULL,
    day date NOT NULL,
    site text NOT NULL,
    events bigint NOT NULL,
    PRIMARY KEY (label, day, site)
);
CREATE INDEX days_by_day ON streamclf.days (day);
