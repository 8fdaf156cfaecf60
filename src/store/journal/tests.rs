//! What waits, in which order it is written, and who waits for it.

use super::*;
use crate::domain::call::{CallRecord, CallStatus};
use crate::domain::media::CallType;

fn at(seconds: u64) -> Moment {
    Moment { wall: DateTime::UNIX_EPOCH, mono: Duration::from_secs(seconds) }
}

fn row(call: CallId, status: CallStatus) -> CallRecord {
    CallRecord {
        id: call,
        caller: UserId::new(),
        callee: UserId::new(),
        call_type: CallType::Audio,
        status,
        end_reason: None,
        started_at: DateTime::UNIX_EPOCH,
        answered_at: None,
        ended_at: None,
        rang: true,
    }
}

fn ring(journal: &Journal, seconds: u64) -> Ticket {
    journal.record_awaited(row(CallId::new(), CallStatus::Ringing), at(seconds))
}

#[test]
fn a_row_that_still_waits_is_replaced_where_it_stands() {
    let journal = Journal::new(10);
    let call = CallId::new();
    let first = journal.record_awaited(row(call, CallStatus::Ringing), at(0));
    ring(&journal, 1);
    journal.record(row(call, CallStatus::Active), at(2));
    assert_eq!(journal.record_awaited(row(call, CallStatus::Active), at(2)), first);
    let batch = journal.take_batch(Others::None);
    assert_eq!(batch.rows.len(), 2);
    assert_eq!((batch.rows[0].id, batch.rows[0].status), (call, CallStatus::Active));
}

#[test]
fn a_row_that_is_being_written_is_followed_by_its_next_version() {
    let journal = Journal::new(10);
    let call = CallId::new();
    journal.record_awaited(row(call, CallStatus::Ringing), at(0));
    journal.take_batch(Others::None);
    journal.record(row(call, CallStatus::Active), at(1));
    assert_eq!(journal.depth(), 2);
    journal.batch_is_written();
    assert_eq!(journal.take_batch(Others::Some).rows[0].status, CallStatus::Active);
}

#[test]
fn what_nobody_waits_for_is_written_when_it_is_asked_for_and_never_crowds_out_the_rest() {
    let journal = Journal::new(1000);
    for _ in 0..OTHERS + 10 {
        journal.record(row(CallId::new(), CallStatus::Active), at(0));
    }
    assert!(journal.take_batch(Others::None).is_empty() && journal.has_others());
    let ticket = ring(&journal, 1);
    let batch = journal.take_batch(Others::Some);
    assert_eq!((batch.rows.len(), batch.last), (OTHERS + 1, Some(ticket.0)));
    assert_eq!(batch.rows[0].status, CallStatus::Ringing);
    journal.batch_is_written();
    assert_eq!(journal.take_batch(Others::Some).rows.len(), 10);
    assert!(!journal.has_others());
}

#[test]
fn nobody_is_seen_in_a_call_before_the_end_of_the_one_before() {
    let journal = Journal::new(10);
    let ended = row(CallId::new(), CallStatus::Completed);
    journal.record(ended.clone(), at(0));
    journal.record(row(CallId::new(), CallStatus::Completed), at(0));
    let next = CallRecord { caller: ended.callee, ..row(CallId::new(), CallStatus::Ringing) };
    journal.record_awaited(next.clone(), at(1));
    let batch = journal.take_batch(Others::None);
    assert_eq!(batch.rows.iter().map(|row| row.id).collect::<Vec<_>>(), [next.id, ended.id]);
    assert!(batch.leaves_others);
}

#[test]
fn at_the_end_everything_goes_in_whole_batches() {
    let journal = Journal::new(1000);
    for _ in 0..=OTHERS {
        journal.record(row(CallId::new(), CallStatus::Completed), at(0));
    }
    assert_eq!(journal.take_batch(Others::All).rows.len(), OTHERS + 1);
}

#[test]
fn what_has_piled_up_goes_in_whole_batches() {
    let journal = Journal::new(10_000);
    for _ in 0..=BATCH {
        journal.record(row(CallId::new(), CallStatus::Active), at(0));
    }
    ring(&journal, 1);
    assert_eq!(journal.take_batch(Others::Some).rows.len(), BATCH);
    assert_eq!(journal.depth(), BATCH + 2);
}

#[test]
fn a_row_that_waits_may_come_to_be_awaited() {
    let journal = Journal::new(10);
    let call = CallId::new();
    journal.record(row(call, CallStatus::Ringing), at(3));
    journal.record_awaited(row(call, CallStatus::Ringing), at(4));
    assert_eq!((journal.depth(), journal.lag(at(5)).age), (1, Duration::from_secs(2)));
    assert_eq!(journal.take_batch(Others::None).rows.len(), 1);
    assert!(journal.take_batch(Others::Some).is_empty());
}

#[test]
fn the_lag_is_that_of_the_oldest_row_that_is_not_committed() {
    let journal = Journal::new(10);
    assert_eq!(journal.lag(at(9)), Lag { rows: 0, bytes: 0, age: Duration::ZERO });
    ring(&journal, 10);
    ring(&journal, 12);
    let lag = journal.lag(at(15));
    assert_eq!((lag.rows, lag.bytes, lag.age), (2, 2 * ROW_BYTES, Duration::from_secs(5)));
    journal.take_batch(Others::Some);
    ring(&journal, 20);
    assert_eq!((journal.lag(at(21)).rows, journal.lag(at(21)).age), (3, Duration::from_secs(11)));
    journal.batch_is_written();
    assert_eq!((journal.lag(at(21)).rows, journal.lag(at(21)).age), (1, Duration::from_secs(1)));
}

#[test]
fn new_calls_are_refused_at_the_capacity_and_at_the_bound_of_memory() {
    let journal = Journal::new(2);
    ring(&journal, 0);
    assert!(journal.has_room());
    ring(&journal, 0);
    assert!(!journal.has_room());
    let endless = Journal::new(usize::MAX);
    assert_eq!(endless.0.capacity, MAX_BYTES / ROW_BYTES);
    assert!(endless.0.capacity >= 500_000, "room for an outage: {}", endless.0.capacity);
}

#[test]
fn when_users_were_last_seen_is_bounded_too() {
    let journal = Journal::new(3);
    let users: Vec<_> = (0..10).map(|_| UserId::new()).collect();
    journal.saw(&users, DateTime::UNIX_EPOCH);
    journal.saw(&users, DateTime::UNIX_EPOCH);
    assert_eq!(journal.take_batch(Others::Some).last_seen.len(), 3);
}
