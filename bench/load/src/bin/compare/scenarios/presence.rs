//! A crowd that hears of everybody, and ten times a second somebody comes or goes.

use crate::Stage;
use crate::board::{Board, Metric, Target, Unit};
use crate::house::{Contestant, Kind};
use crate::meter::Meter;
use crate::wire::{Crowd, Frame, Link, enter};
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;
use test_kit::load::percentile;
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

const BETWEEN_CHANGES: Duration = Duration::from_millis(100);
/// Nothing was heard for so long: everybody has heard everything.
const QUIET: Duration = Duration::from_millis(1500);
const LOOK: Duration = Duration::from_millis(50);

/// The sizes are users.
static FULL_CPU: Metric = Metric {
    name: "`full` presence, 10 changes/s: server CPU a change, by users",
    unit: Unit::Time,
    target: Target::AtMost(0.1),
};
static FULL_BYTES: Metric = Metric {
    name: "`full` presence: bytes a change, to all together",
    unit: Unit::Bytes,
    target: Target::AtMost(0.1),
};
static FULL_PEAK: Metric =
    Metric { name: "`full` presence: peak memory", unit: Unit::Bytes, target: Target::AtMost(1.0) };
/// Beside the full lists of those who know nothing else.
static DELTA_CPU: Metric = Metric {
    name: "`delta` presence: server CPU a change, beside the demo server's full list",
    unit: Unit::Time,
    target: Target::AtMost(0.02),
};
static DELTA_BYTES: Metric = Metric {
    name: "`delta` presence: bytes a change, beside the demo server's full list",
    unit: Unit::Bytes,
    target: Target::AtMost(0.001),
};
static SHOWN: Metric = Metric {
    name: "`delta` presence: p99 `join` → shown to the others",
    unit: Unit::Time,
    target: Target::Within(0.2),
};

pub(super) async fn round(stage: &Stage, board: &mut Board) {
    for users in stage.plan.present_users {
        for (kind, mode) in
            [(Kind::Demo, "full"), (Kind::Bare, "full"), (Kind::Ours, "full"), (Kind::Ours, "delta")]
        {
            let contestant = stage.house.start(kind, users).await;
            let outcome = come_and_go(stage, board, &contestant, mode, users).await;
            if mode == "full" {
                board.record_at(&FULL_CPU, users, kind, outcome.cpu);
                board.record_at(&FULL_BYTES, users, kind, outcome.bytes);
                board.record_at(&FULL_PEAK, users, kind, contestant.server.peak_memory() as f64);
            }
            if mode == "delta" || kind == Kind::Demo {
                board.record_at(&DELTA_CPU, users, kind, outcome.cpu);
                board.record_at(&DELTA_BYTES, users, kind, outcome.bytes);
            }
            if let Some(shown) = outcome.shown {
                board.record_at(&SHOWN, users, kind, shown);
            }
            contestant.server.kill().await;
        }
    }
}

/// Of one change, on average.
struct Outcome {
    cpu: f64,
    bytes: f64,
    /// p99, in `delta` mode.
    shown: Option<f64>,
}

/// What the crowd has heard.
#[derive(Default)]
struct Heard {
    bytes: Cell<usize>,
    /// When they joined, those who came later, by their id.
    joined: RefCell<HashMap<String, Instant>>,
    shown: RefCell<Vec<Duration>>,
}

async fn come_and_go(
    stage: &Stage,
    board: &mut Board,
    contestant: &Contestant,
    mode: &'static str,
    users: usize,
) -> Outcome {
    let heard = Rc::new(Heard::default());
    let mut crowd = Crowd::default();
    let ear = |_| Heard::ear(&heard);
    // Nobody leaves yet: the links are kept.
    let _links = crowd.fill(contestant, 0..users, mode, ear).await;
    crowd.during(heard.quiet()).await;
    heard.bytes.set(0);
    contestant.server.forget_peak_memory();
    let meter = Meter::start(&stage.house, contestant);
    let mut traffic =
        Traffic { contestant, mode, heard: Rc::clone(&heard), next: users, here: VecDeque::new() };
    let changes = traffic.flow(&mut crowd, stage.plan.coming_and_going).await;
    let took = meter.read().wall;
    crowd.during(heard.quiet()).await;
    let spent = meter.read();
    board.note(format!(
        "presence, {:?}, {mode}, {users} users: {:.1} changes/s; {}",
        contestant.kind,
        changes / took,
        spent.shares()
    ));
    let mut shown = heard.shown.take();
    Outcome {
        cpu: spent.server / changes,
        bytes: heard.bytes.get() as f64 / changes,
        shown: (!shown.is_empty()).then(|| percentile(&mut shown, 0.99).as_secs_f64()),
    }
}

impl Heard {
    fn ear(this: &Rc<Self>) -> impl FnMut(Frame<'_>) + use<> {
        let this = Rc::clone(this);
        move |frame| match frame.event() {
            Some("users_updated") => this.bytes.update(|bytes| bytes + frame.size),
            Some("presence_delta") => {
                this.bytes.update(|bytes| bytes + frame.size);
                this.see(frame);
            }
            _ => panic!("unexpected: {}", String::from_utf8_lossy(frame.text)),
        }
    }

    /// Who has come, and how long ago.
    fn see(&self, frame: Frame<'_>) {
        let joined = self.joined.borrow();
        for id in frame.strings("id") {
            if let Some(joined) = joined.get(id) {
                self.shown.borrow_mut().push(joined.elapsed());
            }
        }
    }

    async fn quiet(&self) {
        let (mut bytes, mut since) = (self.bytes.get(), Instant::now());
        while since.elapsed() < QUIET {
            sleep(LOOK).await;
            if self.bytes.get() != bytes {
                (bytes, since) = (self.bytes.get(), Instant::now());
            }
        }
    }
}

/// Those who come and go, by turns.
struct Traffic<'a> {
    contestant: &'a Contestant,
    mode: &'static str,
    heard: Rc<Heard>,
    next: usize,
    here: VecDeque<(Rc<Link>, AbortHandle)>,
}

impl Traffic<'_> {
    /// Gives how often somebody came or went; each who comes waits until it is here.
    async fn flow(&mut self, crowd: &mut Crowd, time: Duration) -> f64 {
        let end = Instant::now() + time;
        let mut ticks = interval(BETWEEN_CHANGES);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut changes = 0.0;
        while Instant::now() < end || !self.here.is_empty() {
            crowd.during(ticks.tick()).await;
            if let Some((link, reader)) = self.here.pop_front() {
                link.send(&["41"]);
                reader.abort();
            } else {
                self.come(crowd).await;
            }
            changes += 1.0;
        }
        changes
    }

    async fn come(&mut self, crowd: &mut Crowd) {
        let account = self.contestant.account(self.next);
        self.next += 1;
        // From the CONNECT on: a little early, if anything.
        self.heard.joined.borrow_mut().insert(account.id.clone(), Instant::now());
        let (link, reader) = crowd.during(enter(self.contestant.address(), &account, self.mode)).await;
        let handle = crowd.add(reader, Heard::ear(&self.heard));
        self.here.push_back((link, handle));
    }
}
