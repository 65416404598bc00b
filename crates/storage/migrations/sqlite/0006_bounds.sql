-- Area codes and places with numbers to sell are found by skipping from one to the next; the first of each tells
-- whether any of it can be had.
CREATE INDEX numbers_by_place ON numbers (country, number_type, region, city, area_code, free_from_ms, e164)
    WHERE free_from_ms IS NOT NULL;

-- A search takes what was free first, past all that is held.
CREATE INDEX numbers_to_reserve ON numbers (country, number_type, free_from_ms, e164) WHERE free_from_ms IS NOT NULL;
CREATE INDEX numbers_to_reserve_in_area ON numbers (country, number_type, area_code, free_from_ms, e164)
    WHERE free_from_ms IS NOT NULL;

-- What a resource holds is counted.
CREATE INDEX numbers_held_by ON numbers (owner, free_from_ms) WHERE state = 'reserved';

-- A number that was bought for a time is given back when it ends.
ALTER TABLE assignments ADD COLUMN ends_ms INTEGER;
CREATE INDEX assignments_to_end ON assignments (ends_ms) WHERE ended_ms IS NULL AND ends_ms IS NOT NULL;

-- Lists leave out what was given up.
CREATE INDEX reservations_to_list ON reservations (resource, kind, id) WHERE state <> 'cancelled';
CREATE INDEX reservations_active ON reservations (resource, kind, expires_ms) WHERE state = 'active';
CREATE INDEX reservations_to_expire ON reservations (expires_ms) WHERE state = 'active';

CREATE INDEX operations_ended ON operations (changed_ms) WHERE state IN ('succeeded', 'failed');
