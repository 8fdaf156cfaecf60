-- What an operator does beside running servers: ending calls, and forgetting old ones.

-- Set by an operator, on the command line or in SQL; the server that has the call ends it. A notice alone would not do:
-- anybody who may connect can send one, but only who may write the table can set this.
alter table calls add column end_requested_at timestamptz;

create function notify_call_end_requested() returns trigger language plpgsql as $$
begin
    perform pg_notify('call_end_requested', new.id::text);
    return null;
end
$$;

create trigger calls_end_requested_notify after update of end_requested_at on calls
    for each row when (new.ended_at is null and new.end_requested_at is distinct from old.end_requested_at)
    execute function notify_call_end_requested();

-- For a history that is kept anonymised: what has become old and still has names. Old calls as such are found by calls_by_start.
create index calls_named_by_end on calls (ended_at)
    where ended_at is not null and (caller_id is not null or callee_id is not null);

comment on column calls.end_requested_at is 'Set it on a live call, and the server that has the call ends it (hangup, or cancelled while it rings).';
