-- The first schema. Portable on purpose: ids are text, times are bigint milliseconds (`*_ms`), flags
-- are boolean, JSON is text that is never queried inside. Every table of a shop's data carries the
-- tenant, and every key and index begins with it. Only blob/bytea differs from the other database.

create table meta (
    key text primary key,
    value text not null
);

create table tenants (
    id text primary key,
    name text not null,
    created_ms bigint not null
);

-- Keys are random and long, so a plain SHA-256 is enough to keep them unreadable.
create table api_keys (
    id text primary key,
    tenant_id text not null references tenants (id),
    role text not null,
    label text not null,
    hash text not null unique,
    origins text not null,
    created_ms bigint not null,
    expires_ms bigint,
    revoked_ms bigint
);
create index api_keys_by_tenant on api_keys (tenant_id);

-- One-time sign-in links and console sessions; both are bearer secrets and stored hashed.
create table sign_ins (
    hash text primary key,
    tenant_id text not null references tenants (id),
    kind text not null,
    expires_ms bigint not null,
    used_ms bigint
);

-- The knowledge version: bumped inside every transaction that changes knowledge, so that commit
-- order is revision order and an index can ask for "what changed since n".
create table knowledge_revision (
    one bigint primary key check (one = 1),
    revision bigint not null
);
insert into knowledge_revision (one, revision) values (1, 0);

-- A deleted entry stays as a tombstone so that indexes can follow the deletion.
create table entries (
    tenant_id text not null references tenants (id),
    id text not null,
    question text not null,
    answer text not null,
    "similar" text not null,
    negative text not null,
    category text,
    tags text not null,
    market text,
    locale text,
    valid_from_ms bigint,
    valid_to_ms bigint,
    source text,
    url text,
    direct boolean not null,
    question_key text not null,
    content_hash text not null,
    deleted boolean not null,
    revision bigint not null,
    created_ms bigint not null,
    updated_ms bigint not null,
    primary key (tenant_id, id)
);
create index entries_by_revision on entries (tenant_id, revision);
create index entries_by_question on entries (tenant_id, question_key);
create index entries_by_source on entries (tenant_id, source);

-- What is retrieved. `vector` is little-endian f32, as long as the embedder's dimension; null when
-- the text has no vector (only unknown tokens).
create table passages (
    tenant_id text not null,
    entry_id text not null,
    seq bigint not null,
    kind text not null,
    text text not null,
    embedder text not null,
    vector bytea,
    primary key (tenant_id, entry_id, seq),
    foreign key (tenant_id, entry_id) references entries (tenant_id, id)
);

create table conversations (
    tenant_id text not null references tenants (id),
    id text not null,
    owner_id text not null,
    channel text not null,
    title text not null,
    turns bigint not null,
    created_ms bigint not null,
    updated_ms bigint not null,
    primary key (tenant_id, id)
);
create index conversations_by_owner on conversations (tenant_id, owner_id, updated_ms);

-- One question with its answer. `ordinal` counts from 1 within the conversation.
create table turns (
    tenant_id text not null,
    id text not null,
    conversation_id text not null,
    ordinal bigint not null,
    owner_id text not null,
    client_msg_id text,
    question text not null,
    query text not null,
    answer text not null,
    decision text,
    model text,
    status text not null,
    finish_reason text,
    error text,
    sources text not null,
    citations text not null,
    suggestions text not null,
    usage text not null,
    timings text not null,
    trace text not null,
    created_ms bigint not null,
    done_ms bigint,
    primary key (tenant_id, id),
    foreign key (tenant_id, conversation_id) references conversations (tenant_id, id)
);
create unique index turns_by_conversation on turns (tenant_id, conversation_id, ordinal);
create unique index turns_once on turns (tenant_id, owner_id, client_msg_id);
