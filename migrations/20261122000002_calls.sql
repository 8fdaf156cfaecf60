-- The history of calls. The constraints allow exactly the rows that the rules of a call can produce.

create table calls (
    id          uuid        not null,
    caller_id   uuid,
    callee_id   uuid,
    call_type   text        not null,
    status      text        not null,
    end_reason  text,
    started_at  timestamptz not null,
    answered_at timestamptz,
    ended_at    timestamptz,
    node_id     uuid        not null,
    constraint calls_pkey primary key (id),
    -- A deleted account leaves its calls behind, without the name.
    constraint calls_caller_fkey foreign key (caller_id) references users (id) on delete set null,
    constraint calls_callee_fkey foreign key (callee_id) references users (id) on delete set null,
    constraint calls_not_with_oneself check (caller_id <> callee_id),
    constraint calls_type_known check (call_type in ('video', 'audio')),
    constraint calls_status_known check
        (status in ('ringing', 'active', 'completed', 'rejected', 'cancelled', 'missed', 'failed')),
    constraint calls_end_reason_known check
        (end_reason in ('hangup', 'rejected', 'cancelled', 'no_answer', 'user_offline', 'user_busy',
                        'connection_lost', 'server_shutdown', 'server_restart', 'session_revoked')),
    constraint calls_ended_exactly_when_over check ((ended_at is null) = (status in ('ringing', 'active'))),
    constraint calls_reason_exactly_when_over check ((end_reason is null) = (ended_at is null)),
    constraint calls_answered_exactly_when_answered check
        (case status
            when 'active' then answered_at is not null
            when 'completed' then answered_at is not null
            when 'failed' then answered_at is null or end_reason = 'server_restart'
            else answered_at is null
         end),
    constraint calls_reason_fits_status check
        (case status
            when 'completed' then end_reason in ('hangup', 'connection_lost', 'server_shutdown', 'session_revoked')
            when 'rejected' then end_reason = 'rejected'
            when 'cancelled' then end_reason in ('cancelled', 'connection_lost', 'session_revoked')
            when 'missed' then end_reason in ('no_answer', 'user_offline', 'user_busy')
            when 'failed' then end_reason in ('server_shutdown', 'server_restart')
            else true
         end),
    constraint calls_answered_after_start check (answered_at >= started_at),
    constraint calls_ended_after_start check (ended_at >= started_at),
    constraint calls_ended_after_answer check (ended_at >= answered_at)
);

-- History is paged by (started_at, id), newest first, for either party.
create index calls_of_caller on calls (caller_id, started_at desc, id desc);
create index calls_of_callee on calls (callee_id, started_at desc, id desc);
create index calls_by_start on calls (started_at desc);
create index calls_live on calls (node_id) where ended_at is null;

create view call_history as
select c.id,
       caller.username as caller,
       callee.username as callee,
       c.call_type,
       c.status,
       c.end_reason,
       c.started_at,
       c.answered_at,
       c.ended_at,
       round(extract(epoch from coalesce(c.answered_at, c.ended_at) - c.started_at), 3) as ring_seconds,
       round(extract(epoch from c.ended_at - c.answered_at), 3) as talk_seconds
from calls c
left join users caller on caller.id = c.caller_id
left join users callee on callee.id = c.callee_id;

create view call_daily_stats as
select (started_at at time zone 'UTC')::date as day,
       count(*) as calls,
       count(*) filter (where answered_at is not null) as answered,
       count(*) filter (where status = 'missed') as missed,
       count(*) filter (where status = 'rejected') as rejected,
       count(*) filter (where status = 'failed') as failed,
       round(count(*) filter (where answered_at is not null and ended_at is not null)::numeric
             / nullif(count(*) filter (where ended_at is not null), 0), 4) as success_rate,
       round(avg(extract(epoch from ended_at - answered_at)), 3) as avg_talk_seconds
from calls
group by 1;

comment on view call_history is 'One row a call, with usernames (null for a deleted account). Seconds are numeric; talk_seconds is null for an unanswered call.';
comment on view call_daily_stats is 'One row a day (UTC). success_rate = answered / ended calls, 0 to 1, all outcomes counted.';
