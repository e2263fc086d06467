-- Chat platforms. `bot` is "platform/name". Platforms deliver a message more than once: whoever
-- inserts its row answers it. A message is `taken`, then `sending` (its answer may be out), then `done`;
-- one that a crash left `taken` is answered at the next start from its payload.
create table channel_messages (
    tenant_id text not null references tenants (id),
    bot text not null,
    message_id text not null,
    state text not null,
    payload text not null,
    attempts bigint not null,
    created_ms bigint not null,
    updated_ms bigint not null,
    primary key (tenant_id, bot, message_id)
);
create index channel_messages_by_state on channel_messages (tenant_id, bot, state, updated_ms);

-- Where an asker's talk with a bot goes on. `misses` counts answers in a row that the base did not have.
create table channel_threads (
    tenant_id text not null references tenants (id),
    bot text not null,
    owner_id text not null,
    conversation_id text,
    model text,
    misses bigint not null,
    updated_ms bigint not null,
    primary key (tenant_id, bot, owner_id)
);

-- Cards that answers are streamed into. An `open` one is shown as unfinished in the chat; `final_text`
-- is what it still has to show when the platform did not take it. Its buttons rate `response_id`; where
-- `rater` is named nobody else's count.
create table channel_cards (
    tenant_id text not null references tenants (id),
    bot text not null,
    card_id text not null,
    message_id text not null,
    state text not null,
    final_text text,
    owner_id text,
    response_id text,
    rater text,
    created_ms bigint not null,
    updated_ms bigint not null,
    primary key (tenant_id, bot, card_id)
);
create index channel_cards_by_state on channel_cards (tenant_id, bot, state, updated_ms);
create index channel_cards_by_message on channel_cards (tenant_id, bot, message_id);
