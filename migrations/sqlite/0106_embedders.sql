-- Whose vectors a shop is searched by, and from where that embedder is opened again (`source` is JSON without
-- secrets, empty when nobody knows). `wanted` names the embedder whose vectors are being made: another one while
-- a change is under way, the same one while some rows have no vector of it; since when the wish is there says
-- whether a process that wishes otherwise is newer.
create table tenant_embedders (
    tenant_id text primary key references tenants (id),
    embedder text not null,
    source text not null,
    since_ms bigint not null,
    wanted text,
    wanted_ms bigint not null default 0
);

-- Vectors of an embedder beside those in `passages`: made while others serve, and moved there once they do. They
-- hold for the content of that hash only.
create table passage_vectors (
    tenant_id text not null,
    embedder text not null,
    entry_id text not null,
    seq bigint not null,
    content_hash text not null,
    vector blob,
    primary key (tenant_id, embedder, entry_id, seq)
);
