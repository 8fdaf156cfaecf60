//! What is remembered of sessions, and for how long.

use super::*;

/// Sessions whose database is away.
fn sessions(clock: &Clock) -> Sessions {
    let secret = "a secret of at least thirty-two bytes".into();
    let tokens = Arc::new(Tokens::new(&secret, &[], Duration::from_hours(1)));
    let keys = RefreshKeys::new(&secret, &[]).unwrap();
    let month = Duration::from_hours(30 * 24);
    Sessions::new(store::nowhere(), tokens, keys, month, clock.clone(), Arc::new(Live::idle()))
}

fn clock() -> Clock {
    Clock::held(DateTime::from_timestamp(1_800_000_000, 0).unwrap())
}

fn claims(clock: &Clock) -> Claims {
    let expires_at = clock.now().wall + Duration::from_hours(1);
    let username = Username::parse("ann").unwrap();
    Claims { user: UserId::new(), username, session: SessionId::new(), expires_at }
}

fn remember(sessions: &Sessions, claims: &Claims) {
    let question = sessions.ask(claims.session);
    sessions.remember(&question, claims.user, claims.expires_at, sessions.clock.now());
}

async fn code(sessions: &Sessions, claims: &Claims) -> &'static str {
    sessions.check(claims).await.map_or_else(|error| error.code(), |()| "live")
}

#[tokio::test]
async fn a_verified_session_stays_through_an_outage_and_a_stranger_stays_out() {
    let clock = clock();
    let (sessions, claims) = (sessions(&clock), claims(&clock));
    assert_eq!(code(&sessions, &claims).await, "unavailable");
    remember(&sessions, &claims);
    assert_eq!(code(&sessions, &claims).await, "live");
    clock.advance(Duration::from_mins(10));
    assert_eq!(code(&sessions, &claims).await, "live");
    assert!(sessions.verified().away_at.is_some(), "the database was asked");
}

#[tokio::test]
async fn a_verified_session_is_its_own_users_alone() {
    let clock = clock();
    let (sessions, bob) = (sessions(&clock), claims(&clock));
    remember(&sessions, &bob);
    let ann = Claims { user: UserId::new(), ..bob.clone() };
    assert_eq!(code(&sessions, &ann).await, "session_revoked");
    assert_eq!(code(&sessions, &bob).await, "live");
}

#[tokio::test]
async fn something_missed_is_no_reason_to_throw_people_out() {
    let clock = clock();
    let (sessions, claims) = (sessions(&clock), claims(&clock));
    remember(&sessions, &claims);
    sessions.doubt_all();
    assert!(!sessions.verified().sessions[&claims.session].is_fresh(clock.now()));
    assert_eq!(code(&sessions, &claims).await, "live");
}

#[tokio::test]
async fn a_revoked_session_is_forgotten_at_once_even_by_a_check_under_way() {
    let clock = clock();
    let (sessions, claims) = (sessions(&clock), claims(&clock));
    remember(&sessions, &claims);
    let question = sessions.ask(claims.session);
    sessions.end(claims.session);
    assert_eq!(code(&sessions, &claims).await, "unavailable");
    sessions.remember(&question, claims.user, claims.expires_at, clock.now());
    assert_eq!(code(&sessions, &claims).await, "unavailable");
    drop(question);
    assert!(sessions.verified().asked.is_empty());
    remember(&sessions, &claims);
    assert_eq!(code(&sessions, &claims).await, "live", "a later answer is believed again");
}

#[tokio::test]
async fn a_notice_of_a_stranger_keeps_nobody_from_being_remembered() {
    let clock = clock();
    let (sessions, claims) = (sessions(&clock), claims(&clock));
    let question = sessions.ask(claims.session);
    // The database is away: it is not asked about a session that is nothing to anybody here.
    sessions.check_end(SessionId::new()).await.unwrap();
    sessions.remember(&question, claims.user, claims.expires_at, clock.now());
    assert_eq!(code(&sessions, &claims).await, "live");
    // And what it does not bear out is not believed.
    sessions.check_end(claims.session).await.unwrap_err();
    assert!(sessions.verified().sessions[&claims.session].is_fresh(clock.now()));
}

#[tokio::test]
async fn a_session_is_remembered_until_its_newest_token_expires() {
    let clock = clock();
    let (sessions, mut claims) = (sessions(&clock), claims(&clock));
    remember(&sessions, &claims);
    claims.expires_at += TimeDelta::minutes(30);
    remember(&sessions, &claims);
    clock.advance(Duration::from_mins(89));
    sessions.prune();
    assert_eq!(code(&sessions, &claims).await, "live");
    clock.advance(Duration::from_mins(2));
    sessions.prune();
    assert_eq!(code(&sessions, &claims).await, "unavailable");
}
