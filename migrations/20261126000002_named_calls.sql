-- no-transaction
-- For a history that is kept anonymised: what has become old and still has names. Old calls as such are found by calls_by_start.
-- Made while calls go on, which wants a file with this one statement. One that an earlier try left half made is dropped first, by
-- the program: here it would be a second statement.
create index concurrently calls_named_by_end on calls (ended_at)
    where ended_at is not null and (caller_id is not null or callee_id is not null);
