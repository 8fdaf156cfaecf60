-- Accounts and their login sessions. Every constraint has a name: the server maps violations by name.

create table users (
    id            uuid        not null,
    username      text        not null,
    password_hash text        not null,
    created_at    timestamptz not null default now(),
    last_seen_at  timestamptz,
    disabled_at   timestamptz,
    constraint users_pkey primary key (id),
    constraint users_username_form check (username ~ '^[A-Za-z0-9][A-Za-z0-9_.-]{2,31}$'),
    constraint users_password_argon2id check (password_hash like '$argon2id$%')
);

-- Names are shown as registered and unique without regard to case; the C collation gives byte order, which is how lists are paged.
create unique index users_username_key on users (lower(username) collate "C");

create table sessions (
    id                 uuid        not null,
    user_id            uuid        not null,
    created_at         timestamptz not null default now(),
    last_used_at       timestamptz not null default now(),
    expires_at         timestamptz not null,
    revoked_at         timestamptz,
    user_agent         text,
    ip                 inet,
    -- A refresh token is a keyed MAC over (session, generation): only the newest generation is live, so nothing secret is stored.
    refresh_generation integer     not null default 1,
    rotated_at         timestamptz,
    constraint sessions_pkey primary key (id),
    constraint sessions_user_fkey foreign key (user_id) references users (id) on delete cascade,
    constraint sessions_generation_positive check (refresh_generation > 0),
    constraint sessions_rotated_with_generation check ((refresh_generation = 1) = (rotated_at is null)),
    constraint sessions_expire_after_creation check (expires_at > created_at),
    constraint sessions_user_agent_short check (char_length(user_agent) <= 256)
);

create index sessions_of_user on sessions (user_id) where revoked_at is null;
create index sessions_expiry on sessions (expires_at);

-- Whoever revokes a session, the server, its command line or an admin in SQL, every server hears of it and cuts the session's sockets.
create function notify_session_ended() returns trigger language plpgsql as $$
begin
    perform pg_notify('session_ended', old.id::text);
    return null;
end
$$;

create trigger sessions_revoked_notify after update of revoked_at on sessions
    for each row when (old.revoked_at is null and new.revoked_at is not null)
    execute function notify_session_ended();

-- Not for the clean-up of old sessions: nobody holds those any more.
create trigger sessions_deleted_notify after delete on sessions
    for each row when (old.revoked_at is null and old.expires_at > now())
    execute function notify_session_ended();

-- Disabling an account ends its sessions, also when it is done in SQL.
create function revoke_sessions_of_disabled_user() returns trigger language plpgsql as $$
begin
    update sessions set revoked_at = new.disabled_at where user_id = new.id and revoked_at is null;
    return null;
end
$$;

create trigger users_disabled_revoke after update of disabled_at on users
    for each row when (old.disabled_at is null and new.disabled_at is not null)
    execute function revoke_sessions_of_disabled_user();
