-- The stream that never lies: what a resume needs to tell a turn again with the numbers it had, and a
-- sign of life so that a turn whose process died is known; turns that take another's place; what the
-- reader thought of an answer; what a conversation's older turns come down to.

alter table turns add column numbers text not null default '{}';
alter table turns add column alive_ms bigint not null default 0;
-- Where a turn stands in its conversation's memory: its ordinal, or that of the turn it replaces.
alter table turns add column place bigint not null default 0;
update turns set place = ordinal;
alter table turns add column market text;
alter table turns add column locale text;
alter table turns add column message_id text;
update turns set message_id = 'm_' || substr(id, 3);
alter table turns add column replaces text;
alter table turns add column replaced_by text;
alter table turns add column rating text;
alter table turns add column reasons text not null default '[]';
alter table turns add column remark text;
alter table turns add column rated_ms bigint;
create index turns_by_message on turns (tenant_id, owner_id, message_id);
create index turns_by_rating on turns (tenant_id, rated_ms);

alter table conversations add column summary text not null default '';
-- Turns up to this place are in the summary.
alter table conversations add column summary_to bigint not null default 0;
alter table conversations add column facts text not null default '[]';
create index conversations_by_update on conversations (tenant_id, updated_ms);
