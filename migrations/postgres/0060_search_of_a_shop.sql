-- What a shop changes about its own search: its words (a dictionary and groups of words that mean the
-- same, as JSON), and the weights and threshold that `kb eval --tune` found on its labelled questions.
-- Both take effect by the knowledge revision that they are written under.
create table search_words (
    tenant_id text not null primary key references tenants (id),
    words text not null,
    synonyms text not null,
    revision bigint not null,
    updated_ms bigint not null,
    updated_by text not null
);
create table search_tunings (
    tenant_id text not null primary key references tenants (id),
    tuning text not null,
    revision bigint not null,
    updated_ms bigint not null,
    updated_by text not null
);
