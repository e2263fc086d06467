-- Tokens and money that models cost, written with each turn. `day` is YYYY-MM-DD in the shop's time
-- zone; money is in billionths of the currency, so that sums are exact. It outlives the turns.
create table model_usage (
    tenant_id text not null references tenants (id),
    day text not null,
    model text not null,
    currency text not null,
    calls bigint not null,
    prompt_tokens bigint not null,
    completion_tokens bigint not null,
    cached_tokens bigint not null,
    cost_nano bigint not null,
    primary key (tenant_id, day, model, currency)
);
