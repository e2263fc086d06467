-- A shop's own labelled questions: what is asked, and which entries answer it (a JSON array of ids; empty when
-- the base cannot). The id follows from question and market, so keeping the same one again replaces it.
create table evaluation_cases (
    tenant_id text not null references tenants (id),
    id text not null,
    query text not null,
    market text,
    relevant text not null,
    kind text,
    created_ms bigint not null,
    created_by text not null,
    primary key (tenant_id, id)
);
create index evaluation_cases_newest on evaluation_cases (tenant_id, created_ms, id);
