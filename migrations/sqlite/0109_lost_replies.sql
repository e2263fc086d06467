-- When whoever is on duty is to be told that a reply to this call was lost; null when there is nothing to tell. A call is
-- `deleted` once its conversation is, and has its name only.
alter table human_calls add column lost_ms bigint;
