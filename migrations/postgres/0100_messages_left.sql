-- Who answers a message keeps moving its `due_ms` forward; from then on any node may take it over. An answer that the
-- platform did not take waits there until then, its pieces in `answer`. A message is `taken`, perhaps `unsent` (to be
-- said again), `sending`, and in the end `done` or `failed`.
alter table channel_messages add column due_ms bigint not null default 0;
alter table channel_messages add column answer text;
-- A card that hangs is ended again from `due_ms` on; so many times it was tried.
alter table channel_cards add column due_ms bigint not null default 0;
alter table channel_cards add column tries bigint not null default 0;
