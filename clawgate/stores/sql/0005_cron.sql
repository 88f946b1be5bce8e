-- Scheduled jobs and their runs (domain/cron.py).

-- job: JSON of the whole Job; the columns beside it are newer than what it says of the same things.
CREATE TABLE cron_jobs (
    id TEXT PRIMARY KEY,
    next_ms INTEGER NOT NULL,
    enabled INTEGER NOT NULL,
    last_ms INTEGER,
    last_status TEXT,
    job TEXT NOT NULL,
    last_output TEXT
) WITHOUT ROWID;
CREATE INDEX cron_jobs_next ON cron_jobs (next_ms, id);
CREATE INDEX cron_jobs_due ON cron_jobs (next_ms) WHERE enabled = 1;

-- AUTOINCREMENT: the number of a run is part of dedupe keys and never comes again.
CREATE TABLE cron_runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    tick_ms INTEGER NOT NULL,
    started_ms INTEGER NOT NULL,
    status TEXT NOT NULL,
    finished_ms INTEGER,
    attempt INTEGER NOT NULL,
    item_id TEXT,
    manual INTEGER NOT NULL,
    output TEXT
);
CREATE INDEX cron_runs_job ON cron_runs (job_id, id);
CREATE INDEX cron_runs_open ON cron_runs (id) WHERE status = 'running';
CREATE INDEX cron_runs_shell ON cron_runs (started_ms) WHERE kind = 'shell';
-- One run of a job at a time.
CREATE UNIQUE INDEX cron_runs_one ON cron_runs (job_id) WHERE status = 'running';
