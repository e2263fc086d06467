-- Deleted entries are few among many: listing them reads none of the others.
create index entries_gone on entries (tenant_id, revision) where deleted;
