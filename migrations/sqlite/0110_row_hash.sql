-- Of which row an entry was made, for files that are imported again; null when it was made or changed otherwise.
alter table entries add column row_hash bigint;
