-- The view `sites`: documents beside the columns by which they are found.
CREATE TABLE view_sites (
    generation INTEGER NOT NULL,
    key        TEXT NOT NULL,
    document   TEXT NOT NULL,
    trial_id   TEXT,
    site       TEXT,
    status     TEXT,
    PRIMARY KEY (generation, key)
) STRICT;
CREATE INDEX view_sites_by_trial_id ON view_sites (generation, trial_id, key);
CREATE INDEX view_sites_by_site ON view_sites (generation, site, key);
CREATE INDEX view_sites_by_status ON view_sites (generation, status, key);
