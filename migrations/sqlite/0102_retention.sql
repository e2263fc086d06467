-- How long a shop keeps what was said: days, null for the server's default, 0 for good. And what a running turn
-- owes its provider, so that a crash does not lose it.
create table retention (
    tenant_id text not null primary key references tenants (id),
    conversation_days bigint,
    trace_days bigint,
    verdict_days bigint,
    updated_ms bigint not null
);
alter table turns add column owed text;
