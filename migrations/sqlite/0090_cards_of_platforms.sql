-- What the platform calls a card, where it gives names of its own, and how many changes of it were asked for:
-- a platform that numbers them takes only larger numbers.
alter table channel_cards add column platform_id text;
alter table channel_cards add column changes bigint not null default 0;
