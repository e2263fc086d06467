-- The message that a person was called for: tried again, it is the same call. `told_ms`: since when whoever is on duty
-- knows. `reply_id`: the person's reply, and the row of channel_messages that takes it to the asker.
alter table human_calls add column message_id text;
alter table human_calls add column told_ms bigint;
alter table human_calls add column reply_id text;
update human_calls set told_ms = created_ms;
create unique index human_calls_by_message on human_calls (tenant_id, bot, message_id);
create index human_calls_by_reply on human_calls (tenant_id, bot, reply_id);
-- The message that `misses` counted last: tried again, it is not counted again.
alter table channel_threads add column counted text;
