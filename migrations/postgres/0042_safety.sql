-- What the guardrails did: counts per turn, rule and action, never the text they were about.
create table safety_verdicts (
    tenant_id text not null references tenants (id),
    id text not null,
    turn_id text not null,
    stage text not null,
    rule text not null,
    action text not null,
    hits bigint not null,
    created_ms bigint not null,
    primary key (tenant_id, id)
);
create index safety_verdicts_by_time on safety_verdicts (tenant_id, created_ms);
