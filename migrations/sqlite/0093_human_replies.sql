-- Who a bot called a person for: `code` is what the person names it by, `inbound` where their reply goes. `open`,
-- then `answered`. Forgotten with the messages.
create table human_calls (
    tenant_id text not null references tenants (id),
    bot text not null,
    code text not null,
    conversation text not null,
    inbound text not null,
    owner_id text not null,
    conversation_id text,
    response_id text,
    question text not null,
    state text not null,
    created_ms bigint not null,
    updated_ms bigint not null,
    primary key (tenant_id, bot, code)
);
create index human_calls_by_state on human_calls (tenant_id, bot, state, created_ms);

-- What people said where the copilot had no answer, or not a good one. It belongs to the conversation and goes
-- with it.
create table human_replies (
    tenant_id text not null references tenants (id),
    id text not null,
    conversation_id text not null,
    response_id text,
    question text not null,
    text text not null,
    said_by text not null,
    created_ms bigint not null,
    primary key (tenant_id, id)
);
create index human_replies_of_conversation on human_replies (tenant_id, conversation_id, created_ms);
