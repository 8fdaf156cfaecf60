//! Users in pairs who call each other, again and again, by turns: an offer, an answer, candidates both ways, and the end.

use crate::house::{Account, Contestant};
use crate::wire::{Crowd, Frame, Link};
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// Of the contract, one call less: a user may start ten calls at once, and another every two seconds.
const CALLS_AT_ONCE: u32 = 9;
const ANOTHER_CALL_AFTER: Duration = Duration::from_secs(2);
/// Between two looks at whether more calls may begin.
const LOOK: Duration = Duration::from_millis(10);
const LAST_CALLS_END_WITHIN: Duration = Duration::from_mins(1);

/// All pairs.
pub(crate) struct Exchange {
    pairs: Vec<Pair>,
    /// The pair whose turn it is.
    next: Cell<usize>,
    /// Candidates that each side sends.
    candidates: usize,
    /// Calls that are kept going.
    wanted: Cell<usize>,
    running: Cell<usize>,
    tally: RefCell<Tally>,
    texts: Texts,
}

/// What has happened.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// That have ended.
    pub(crate) calls: u64,
    /// To the server and from it.
    pub(crate) messages: u64,
    /// That could not begin, since every pair was in a call or had used up its rate.
    pub(crate) held_back: u64,
    /// From `call_user` to `incoming_call`.
    pub(crate) rings: Vec<Duration>,
    /// From a candidate sent to the same received.
    pub(crate) candidates: Vec<Duration>,
}

impl Tally {
    /// What to say beside figures that are not only the server's doing.
    pub(crate) fn warning(&self) -> String {
        if self.held_back == 0 {
            return String::new();
        }
        format!("; {} times no pair was free and within the limits of a user", self.held_back)
    }
}

#[derive(Default)]
struct Pair {
    sides: [OnceCell<Side>; 2],
    calls: Cell<u32>,
    call: RefCell<Option<Call>>,
}

struct Side {
    link: Rc<Link>,
    account: Account,
    /// When the calls it has started no longer count.
    made_up_for: Cell<Instant>,
}

struct Call {
    /// Which side.
    caller: usize,
    dialled: Instant,
    id: String,
    /// When the candidates of each side that the other has not heard were sent.
    trickling: [VecDeque<Instant>; 2],
    /// By each side.
    heard: [usize; 2],
}

/// What everybody sends.
struct Texts {
    offer: String,
    answer: String,
    candidate: String,
}

impl Exchange {
    /// Lets everybody join; each side sends so many candidates a call.
    pub(crate) async fn open(
        contestant: &Contestant,
        crowd: &mut Crowd,
        pairs: usize,
        candidates: usize,
    ) -> Rc<Self> {
        let exchange = Rc::new(Self {
            pairs: (0..pairs).map(|_| Pair::default()).collect(),
            next: Cell::new(0),
            candidates,
            wanted: Cell::new(0),
            running: Cell::new(0),
            tally: RefCell::default(),
            texts: Texts::new(),
        });
        let ear = |number: usize| {
            let exchange = Rc::clone(&exchange);
            move |frame: Frame<'_>| exchange.hear(number / 2, number % 2, frame)
        };
        let links = crowd.fill(contestant, 0..pairs * 2, "none", ear).await;
        for (number, link) in links.into_iter().enumerate() {
            let side =
                Side { link, account: contestant.account(number), made_up_for: Cell::new(Instant::now()) };
            assert!(exchange.pairs[number / 2].sides[number % 2].set(side).is_ok());
        }
        exchange
    }

    /// Keeps so many calls going for that long, each pair taking its turn.
    pub(crate) async fn saturate(self: &Rc<Self>, at_once: usize, time: Duration) {
        let end = Instant::now() + time;
        self.wanted.set(at_once);
        while Instant::now() < end {
            self.begin_what_is_wanted();
            sleep(LOOK).await;
        }
        self.wanted.set(0);
    }

    /// Begins calls at this rate, however long they take.
    pub(crate) async fn pace(self: &Rc<Self>, per_second: f64, time: Duration) {
        let start = Instant::now();
        for number in 0.. {
            let due = start + Duration::from_secs_f64(f64::from(number) / per_second);
            if due >= start + time {
                return;
            }
            sleep_until(due).await;
            self.dial_next();
        }
    }

    /// Waits for the end of the calls that are under way.
    pub(crate) async fn settle(&self) {
        let all_ended = timeout(LAST_CALLS_END_WITHIN, async {
            while self.running.get() > 0 {
                sleep(LOOK).await;
            }
        });
        assert!(all_ended.await.is_ok(), "{} calls do not end", self.running.get());
    }

    /// What has happened since this was asked last.
    pub(crate) fn take_tally(&self) -> Tally {
        self.tally.take()
    }

    fn begin_what_is_wanted(self: &Rc<Self>) {
        while self.running.get() < self.wanted.get() && self.dial_next() {}
    }

    /// False: none may.
    fn dial_next(&self) -> bool {
        for _ in 0..self.pairs.len() {
            let number = self.next.get();
            self.next.set((number + 1) % self.pairs.len());
            let pair = &self.pairs[number];
            if pair.call.borrow().is_none() && pair.side(pair.next_caller()).may_call() {
                self.dial(pair);
                return true;
            }
        }
        self.tally.borrow_mut().held_back += 1;
        false
    }

    fn dial(&self, pair: &Pair) {
        let caller = pair.next_caller();
        pair.side(caller).count_call();
        pair.calls.update(|calls| calls + 1);
        self.running.update(|running| running + 1);
        let [me, them] = [caller, 1 - caller].map(|side| &pair.side(side).account);
        *pair.call.borrow_mut() = Some(Call {
            caller,
            dialled: Instant::now(),
            id: String::new(),
            trickling: Default::default(),
            heard: [0; 2],
        });
        let (to, id, name) = (&them.id, &me.id, &me.name);
        let head = format!(r#"42["call_user",{{"to":"{to}","from":{{"id":"{id}","username":"{name}"}},"#);
        self.send(pair, caller, &[&head, r#""callType":"video","offer":"#, &self.texts.offer, "}]"]);
    }

    fn send(&self, pair: &Pair, side: usize, parts: &[&str]) {
        self.tally.borrow_mut().messages += 1;
        pair.side(side).link.send(parts);
    }

    fn hear(self: &Rc<Self>, number: usize, side: usize, frame: Frame<'_>) {
        let Some(event) = frame.event() else { return };
        let pair = &self.pairs[number];
        let mut slot = pair.call.borrow_mut();
        let call = slot.as_mut().unwrap_or_else(|| unexpected(frame));
        self.tally.borrow_mut().messages += 1;
        match event {
            "incoming_call" => {
                self.tally.borrow_mut().rings.push(call.dialled.elapsed());
                frame.string("callId").unwrap_or_else(|| unexpected(frame)).clone_into(&mut call.id);
                let head = format!(r#"42["accept_call",{{"callId":"{}","answer":"#, call.id);
                self.send(pair, side, &[&head, &self.texts.answer, "}]"]);
                self.trickle(pair, side, call);
            }
            "call_status" => assert_eq!(frame.string("status"), Some("ringing"), "the status of a call"),
            "call_accepted" => {
                self.trickle(pair, side, call);
                self.end_when_all_is_said(pair, call);
            }
            "ice_candidate" => {
                let sent = call.trickling[1 - side].pop_front().unwrap_or_else(|| unexpected(frame));
                self.tally.borrow_mut().candidates.push(sent.elapsed());
                call.heard[side] += 1;
                self.end_when_all_is_said(pair, call);
            }
            "call_ended" => {
                *slot = None;
                drop(slot);
                self.tally.borrow_mut().calls += 1;
                self.running.update(|running| running - 1);
                self.begin_what_is_wanted();
            }
            _ => unexpected(frame),
        }
    }

    fn trickle(&self, pair: &Pair, side: usize, call: &mut Call) {
        let to = &pair.side(1 - side).account.id;
        for _ in 0..self.candidates {
            call.trickling[side].push_back(Instant::now());
            self.send(
                pair,
                side,
                &[r#"42["ice_candidate",{"to":""#, to, r#"","candidate":"#, &self.texts.candidate, "}]"],
            );
        }
    }

    fn end_when_all_is_said(&self, pair: &Pair, call: &Call) {
        if call.heard == [self.candidates; 2] {
            self.send(pair, call.caller, &[r#"42["end_call",{"callId":""#, &call.id, r#""}]"#]);
        }
    }
}

/// Above all `event_error`.
fn unexpected<T>(frame: Frame<'_>) -> T {
    panic!("unexpected: {}", String::from_utf8_lossy(frame.text))
}

impl Pair {
    fn side(&self, side: usize) -> &Side {
        self.sides[side].get().expect("everybody has joined")
    }

    /// They take turns.
    fn next_caller(&self) -> usize {
        usize::from(!self.calls.get().is_multiple_of(2))
    }
}

impl Side {
    fn may_call(&self) -> bool {
        self.made_up_for.get() <= Instant::now() + ANOTHER_CALL_AFTER * (CALLS_AT_ONCE - 1)
    }

    fn count_call(&self) {
        self.made_up_for.set(self.made_up_for.get().max(Instant::now()) + ANOTHER_CALL_AFTER);
    }
}

impl Texts {
    /// As browsers write them, in form and size.
    fn new() -> Self {
        let description =
            |kind: &str| format!(r#"{{"type":"{kind}","sdp":"{}"}}"#, sdp().replace("\r\n", r"\r\n"));
        let candidate = r#"{"candidate":"candidate:842163049 1 udp 1677729535 203.0.113.77 46154 typ srflx raddr 192.168.1.23 rport 46154 generation 0 ufrag Ep9m network-cost 999","sdpMid":"0","sdpMLineIndex":0,"usernameFragment":"Ep9m"}"#;
        Self { offer: description("offer"), answer: description("answer"), candidate: candidate.to_owned() }
    }
}

/// 5.5 KB of audio, video and their codecs.
fn sdp() -> String {
    const BYTES: usize = 5_500;
    let mut text = String::from(
        "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n\
         a=extmap-allow-mixed\r\na=msid-semantic: WMS\r\nm=video 9 UDP/TLS/RTP/SAVPF 96 97 98 99 100 101\r\n\
         c=IN IP4 0.0.0.0\r\na=ice-ufrag:Ep9m\r\na=ice-pwd:kTVKVSbEGMvYbbNDBXpyNdT9\r\na=ice-options:trickle\r\n\
         a=setup:actpass\r\na=mid:1\r\na=sendrecv\r\na=rtcp-mux\r\n",
    );
    for payload in 96.. {
        let codec = format!(
            "a=rtpmap:{payload} H264/90000\r\na=rtcp-fb:{payload} goog-remb\r\na=rtcp-fb:{payload} transport-cc\r\n\
             a=fmtp:{payload} level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n"
        );
        if text.len() + codec.len() > BYTES {
            break;
        }
        text += &codec;
    }
    text
}
