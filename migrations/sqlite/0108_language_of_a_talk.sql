-- `zh` or `en`, as the last question was asked: a command is the same word in both.
alter table channel_threads add column language text;
-- A conversation takes along what it called a person for.
create index human_calls_of_conversation on human_calls (tenant_id, conversation_id);
