-- What nearly the same questions share, for conflicts; null until an import looks at rows of before.
alter table entries add column near_key text;
create index entries_by_near_question on entries (tenant_id, near_key);
