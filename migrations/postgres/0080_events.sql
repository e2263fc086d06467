-- What happened, for the customer's own systems. Who is told is written here at a server's start from its
-- configuration, so that whatever process changes something writes the outbox without knowing it.
create table event_subscriptions (
    tenant_id text not null,
    event text not null,
    endpoint text not null,
    primary key (tenant_id, event, endpoint)
);

-- The outbox and, once it is emptied, the log: one row for each event and endpoint, `waiting`, `delivered`
-- or `failed`. Whoever moves `due_ms` of a due row sends it; until then nobody else does. `since_ms` is
-- when it was first wanted, or wanted again. A deleted conversation takes its rows along.
create table event_deliveries (
    tenant_id text not null references tenants (id),
    id text not null,
    event_id text not null,
    event text not null,
    endpoint text not null,
    payload text not null,
    conversation_id text,
    state text not null,
    attempts bigint not null,
    due_ms bigint not null,
    since_ms bigint not null,
    status bigint,
    problem text,
    created_ms bigint not null,
    updated_ms bigint not null,
    primary key (tenant_id, id)
);
create index event_deliveries_due on event_deliveries (tenant_id, endpoint, state, due_ms);
create index event_deliveries_newest on event_deliveries (tenant_id, created_ms);
create index event_deliveries_of_conversation on event_deliveries (tenant_id, conversation_id);
