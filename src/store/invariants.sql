-- What is always true of the data, whatever happened to the server or to PostgreSQL. Each query gives a row for each thing
-- that is wrong; all of them are empty, save for the ten seconds that a server may take to find its way back to a
-- PostgreSQL that was away.
--
--   video-call-server db check                                    runs these, and says what is wrong; or, without it,
--   psql "$DATABASE_URL" -XAtf src/store/invariants.sql            says nothing when all hold
--   PGOPTIONS='-c video_call.ring_timeout=90s' psql …               where RING_TIMEOUT is not 60s

-- Nothing rings longer than RING_TIMEOUT and five seconds.
select 'rings for ever' as invariant, id::text as offender, 'since ' || started_at as detail
from calls
where status = 'ringing'
  and started_at < now() - interval '5 seconds'
      - coalesce(nullif(current_setting('video_call.ring_timeout', true), ''), '60s')::interval;

-- No call is live that no running server knows: each tells its node_id in the name of the connection that writes history.
select 'live call of a dead server' as invariant, id::text as offender, 'node ' || node_id as detail
from calls
where ended_at is null
  and not exists (
      select from pg_stat_activity a
      where a.datname = current_database() and a.application_name = 'video-call-server journal ' || calls.node_id
  );

-- A call has ended exactly when its status says so, and then says why.
select 'status and end disagree' as invariant, id::text as offender, concat_ws(' ', status, end_reason, ended_at) as detail
from calls
where (ended_at is null) <> (status in ('ringing', 'active')) or (end_reason is null) <> (ended_at is null);

-- A call starts, is answered, ends, in this order.
select 'times out of order' as invariant, id::text as offender, concat_ws(' ', started_at, answered_at, ended_at) as detail
from calls
where answered_at < started_at or ended_at < started_at or ended_at < answered_at;

-- Nobody is in two live calls.
select 'two live calls' as invariant, party::text as offender, string_agg(id::text, ' ') as detail
from (
    select id, caller_id as party from calls where ended_at is null
    union all
    select id, callee_id from calls where ended_at is null
) live
where party is not null
group by party
having count(*) > 1;

-- A session has one live refresh token, that of its newest generation, and was renewed exactly when it has more than one.
select 'not one live refresh token' as invariant, id::text as offender, count(*) || ' rows, generation ' || max(refresh_generation) as detail
from sessions
group by id
having count(*) > 1 or bool_or(refresh_generation < 1 or (refresh_generation = 1) <> (rotated_at is null));

-- Every password is hashed as the server hashes today.
select 'weak password hash' as invariant, id::text as offender, username as detail
from users
where not starts_with(password_hash, '$argon2id$v=19$m=19456,t=2,p=1$');

-- No connection of a server sits in a transaction.
select 'idle in a transaction' as invariant, pid::text as offender, concat_ws(' ', application_name, 'since', state_change) as detail
from pg_stat_activity
where datname = current_database() and application_name like 'video-call-server%'
  and state like 'idle in transaction%' and state_change < now() - interval '6 seconds';
