-- Calls of a platform's API that a bot made in a calendar month, where its plan allows only so many.
create table channel_calls (
    tenant_id text not null references tenants (id),
    bot text not null,
    month text not null,
    calls bigint not null,
    primary key (tenant_id, bot, month)
);
