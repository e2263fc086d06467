-- Prompt templates of a shop's own: every version that was saved, and which of them came into force when.
create table prompt_versions (
    tenant_id text not null references tenants (id),
    name text not null,
    version bigint not null,
    text text not null,
    author text not null,
    note text not null,
    created_ms bigint not null,
    primary key (tenant_id, name, version)
);
-- Only ever added to. The newest row of a name says what is in force; version 0 is the file's.
create table prompt_publications (
    tenant_id text not null references tenants (id),
    revision bigint not null,
    name text not null,
    version bigint not null,
    author text not null,
    note text not null,
    created_ms bigint not null,
    primary key (tenant_id, revision)
);
