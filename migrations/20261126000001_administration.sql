-- What an operator does beside running servers: ending calls, and forgetting old ones.

-- The change takes an instant, once it has the table to itself. Everybody else queues behind who waits for that, so it is not
-- waited for long: a start that does not get it fails, and whatever runs the server tries again.
set local lock_timeout = '2s';

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

comment on column calls.end_requested_at is 'Set it on a live call, and the server that has the call ends it (hangup, or cancelled while it rings).';
