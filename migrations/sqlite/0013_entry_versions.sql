-- What an entry said before each change, who changed it and when, so that a change can be seen and
-- undone. `revision` is the knowledge version that ended this state; `action` is changed or deleted.
create table entry_versions (
    tenant_id text not null references tenants (id),
    entry_id text not null,
    revision bigint not null,
    action text not null,
    changed_by text not null,
    at_ms bigint not null,
    question text not null,
    answer text not null,
    similar text not null,
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
    content_hash text not null,
    primary key (tenant_id, entry_id, revision)
);
