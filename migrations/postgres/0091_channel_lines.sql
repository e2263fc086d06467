-- Who keeps the line to a platform that allows a bot only one: it is that node's until `until_ms`, and another's
-- afterwards.
create table channel_lines (
    tenant_id text not null references tenants (id),
    bot text not null,
    holder text not null,
    until_ms bigint not null,
    primary key (tenant_id, bot)
);
