-- Whether an answer came from the model's own knowledge, because the base had none: who reads it again is told so.
alter table turns add column unsourced boolean not null default false;
update turns set unsourced = true where decision = 'none' and json_extract(usage, '$.completion_tokens') > 0;
