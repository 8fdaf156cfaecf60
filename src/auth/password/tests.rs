//! What may be a password, how it is hashed, and how many at once.

use super::*;
use crate::telemetry::metrics::Metrics;
use argon2::password_hash::PasswordVerifier;

fn candidate(text: &str) -> Candidate {
    Candidate::parse(text).unwrap()
}

fn passwords() -> Passwords {
    Passwords::new(1, Metrics::new().unwrap().hashing.clone()).unwrap()
}

async fn hashed(passwords: &Passwords, text: &str) -> SecretString {
    passwords.hash(Password::parse(text).unwrap()).await.unwrap()
}

#[test]
fn a_password_has_8_to_128_characters_of_any_kind_but_nul() {
    for good in ["12345678", "        ", "пароль12", "🦀🦀🦀🦀🦀🦀🦀🦀", &"x".repeat(128)]
    {
        assert!(Password::parse(good).is_ok(), "{good:?}");
    }
    assert_eq!(Password::parse("1234567").unwrap_err(), BadPassword::TooShort);
    assert_eq!(Password::parse(&"é".repeat(129)).unwrap_err(), BadPassword::TooLong);
    assert_eq!(Password::parse("1234\u{0}5678").unwrap_err(), BadPassword::Nul);
    assert!(Candidate::parse("").is_ok());
}

#[test]
fn characters_are_counted_once_composed() {
    assert!(Password::parse(&"e\u{301}".repeat(128)).is_ok());
    assert_eq!(Password::parse(&"e\u{301}".repeat(7)).unwrap_err(), BadPassword::TooShort);
}

#[test]
fn a_password_is_never_printed() {
    let password = Password::parse("correct horse").unwrap();
    assert_eq!(format!("{password:?} {:?}", candidate("correct horse")), "Password Candidate");
}

#[tokio::test]
async fn the_right_password_matches_however_it_was_composed() {
    let passwords = passwords();
    let stored = hashed(&passwords, "caf\u{e9} au lait").await;
    assert!(stored.expose_secret().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    let verdict = passwords.verify(candidate("cafe\u{301} au lait"), Some(stored.clone())).await.unwrap();
    assert_eq!(verdict, Verdict { matches: true, outdated: false });
    for wrong in ["cafe au lait", "", "Caf\u{e9} au lait", "caf\u{e9} au lait "] {
        assert!(!passwords.verify(candidate(wrong), Some(stored.clone())).await.unwrap().matches);
    }
}

#[tokio::test]
async fn our_hashes_are_what_the_library_makes_and_salted_anew_each_time() {
    let passwords = passwords();
    let (one, two) = (hashed(&passwords, "same word").await, hashed(&passwords, "same word").await);
    assert_ne!(one.expose_secret(), two.expose_secret());
    for stored in [one, two] {
        assert_eq!(Argon2::default().verify_password(b"same word", stored.expose_secret()), Ok(()));
    }
}

#[tokio::test]
async fn no_user_never_matches_and_is_not_outdated() {
    let passwords = passwords();
    let verdict = passwords.verify(candidate("whatever"), None).await.unwrap();
    assert_eq!(verdict, Verdict { matches: false, outdated: false });
}

#[tokio::test]
async fn a_hash_of_other_parameters_matches_and_is_outdated() {
    use argon2::password_hash::PasswordHasher;
    let passwords = passwords();
    for params in [Params::new(64, 1, 1, Some(32)), Params::new(20_000, 2, 1, None)] {
        let old = Argon2::from(params.unwrap()).hash_password(b"old password").unwrap().to_string();
        let verdict = passwords.verify(candidate("old password"), Some(old.into())).await.unwrap();
        assert_eq!(verdict, Verdict { matches: true, outdated: true });
    }
}

#[tokio::test]
async fn a_broken_stored_hash_is_our_fault_and_not_a_panic() {
    let passwords = passwords();
    for stored in
        ["", "$argon2id$", "$argon2id$v=19$m=19456,t=2,p=1", "$argon2id$v=7$m=8,t=1,p=1$AAAAAAAAAAA$AAAA"]
    {
        let error = passwords.verify(candidate("x"), Some(stored.into())).await.unwrap_err();
        assert_eq!(error.code(), "internal", "{stored}");
    }
}

#[tokio::test]
async fn a_full_queue_refuses_at_once_and_leavers_free_their_places() {
    let passwords = passwords();
    let work = || passwords.verify(candidate("x"), None);
    let waiting: Vec<_> = (0..33).map(|_| Box::pin(work())).collect();
    let mut waiting = futures_util::future::join_all(waiting);
    assert!(passwords.expect_room().is_ok());
    assert!(futures_util::poll!(&mut waiting).is_pending());
    assert_eq!(passwords.load(), Load { running: 1, waiting: 32, queue: 32 });
    assert_eq!(passwords.expect_room().unwrap_err().code(), "unavailable");
    assert_eq!(work().await.unwrap_err().code(), "unavailable");
    assert_eq!(passwords.metrics.no_place.get(), 2);
    drop(waiting);
    // At most the one that had begun is still there.
    assert!(passwords.admitted.available_permits() >= 32);
    assert!(work().await.is_ok());
    assert_eq!(passwords.running.clone().acquire_owned().await.unwrap().num_permits(), 1);
    assert_eq!(passwords.admitted.available_permits(), 33);
}
