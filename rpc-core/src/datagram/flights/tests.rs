//! The machine in single steps, against a naive model, and over a way that loses.

use proptest::prelude::*;

use super::{super::MAX_DATAGRAM, *};
use crate::{
    testing::now,
    wire::{RequestFields, write_ping, write_repeatable, write_request_head},
};

const LIMITS: FlightLimits = FlightLimits {
    datagram: MAX_DATAGRAM,
    rto: RtoLimits {
        initial: Duration::from_secs(1),
        min: Duration::from_millis(200),
        max: Duration::from_secs(60),
    },
};

fn after(ms: u64) -> Instant {
    now() + Duration::from_millis(ms)
}

/// A request of about so many bytes.
fn request(seq: u64, length: usize, deadline: Option<Duration>) -> Vec<u8> {
    let mut out = Vec::new();
    let start = wire::begin(&mut out);
    let fields = RequestFields { deadline, ..Default::default() };
    let head = write_request_head(&mut out, "A.B", &fields).expect("it is short");
    let head = head + write_repeatable(&mut out);
    out.resize(out.len() + length, 7);
    wire::finish(&mut out, start, Kind::Request, head, seq, 1 << 20).expect("it fits");
    out
}

/// What is sent again now.
fn again(flights: &mut Flights, now: Instant) -> Vec<u64> {
    let mut sent = Vec::new();
    loop {
        let mut out = Vec::new();
        if !flights.next_again(now, &mut out) {
            return sent;
        }
        sent.push(Framed::first(&out).expect("a whole frame").header.seq);
    }
}

/// Lets time pass until then; what is sent again meanwhile, and when.
fn pass(flights: &mut Flights, until: Instant) -> Vec<(Instant, u64)> {
    let mut sent = Vec::new();
    while let Some(due) = flights.next_timeout().filter(|due| *due <= until) {
        flights.on_timeout(due);
        sent.extend(again(flights, due).into_iter().map(|seq| (due, seq)));
        check(flights);
    }
    sent
}

/// What holds at any time.
fn check(flights: &Flights) {
    let flying = flights.asked.values().filter(|asked| asked.state == State::Flying);
    assert_eq!(flying.map(|asked| asked.cost).sum::<usize>(), flights.window.under_way());
    let mut due: Vec<_> = flights
        .asked
        .iter()
        .filter_map(|(question, asked)| Some((asked.due?, *question)))
        .collect();
    due.sort();
    assert!(flights.due.iter().copied().eq(due), "each waits for its time, and nothing else does");
    for (question, asked) in &flights.asked {
        let entry = |ticket| flights.again.iter().filter(|it| **it == (ticket, *question)).count();
        let waits = asked.ticket.map_or(0, entry);
        assert!(asked.ticket.is_none() || waits == 1);
        match asked.state {
            State::Flying => assert!(asked.due.is_some()),
            State::Lost => assert!(waits == 1 && asked.due.is_none() && asked.frame.is_some()),
            State::Taken(_) => assert!(asked.due.is_some() != (waits == 1)),
        }
    }
}

#[test]
fn what_is_late_is_sent_again_at_growing_intervals_and_what_may_not_be_is_not() {
    let mut flights = Flights::new(LIMITS, 7);
    let (may, may_not) = (request(1, 100, None), request(2, 100, None));
    flights.ask(now(), Question::Call(1), &may, true);
    flights.ask(now(), Question::Call(2), &may_not, false);
    assert_eq!(flights.len(), 2);
    let sent = pass(&mut flights, after(100_000));
    assert_eq!(flights.len(), 1, "of the other nothing more can be known");
    assert!(sent.iter().all(|(_, seq)| *seq == 1));
    let mut last = now();
    let intervals: Vec<_> = sent
        .iter()
        .map(|(at, _)| std::mem::replace(&mut last, *at).elapsed_to(*at).as_millis())
        .collect();
    for (interval, timeout) in intervals.iter().zip([1000u128, 2000, 4000, 8000, 16_000]) {
        assert!((timeout..=timeout * 3 / 2 + 1).contains(interval), "{intervals:?}");
    }
    assert!((5..=6).contains(&intervals.len()), "{intervals:?}");
    let frame = may;
    let mut out = Vec::new();
    flights.heard(after(100_000));
    write_again(&mut out, &frame, None);
    assert_eq!(out, frame, "byte for byte");
}

trait Elapsed {
    fn elapsed_to(self, later: Instant) -> Duration;
}

impl Elapsed for Instant {
    fn elapsed_to(self, later: Instant) -> Duration {
        later.saturating_duration_since(self)
    }
}

#[test]
fn what_is_sent_again_has_the_deadline_that_is_left_and_what_is_too_late_is_not() {
    let mut flights = Flights::new(LIMITS, 7);
    let frame = request(1, 10, Some(Duration::from_secs(3)));
    flights.ask(now(), Question::Call(1), &frame, true);
    let due = flights.next_timeout().expect("it is waited for");
    flights.on_timeout(due);
    let mut out = Vec::new();
    assert!(flights.next_again(due, &mut out));
    let framed = Framed::first(&out).expect("its checksum is right");
    let left = RequestHead::parse(framed.head()).expect("a head").deadline.expect("a deadline");
    assert_eq!(left, Duration::from_micros((after(3000) - due).as_micros() as u64));
    assert!(pass(&mut flights, after(60_000)).is_empty(), "the second time it would be too late");
    assert!(flights.is_empty());
    assert_eq!(flights.window().under_way(), 0);
}

#[test]
fn an_answer_to_what_was_sent_twice_is_no_measure_of_the_way() {
    let mut flights = Flights::new(LIMITS, 7);
    flights.ask(now(), Question::Call(1), &request(1, 10, None), true);
    pass(&mut flights, after(1600));
    assert!(flights.counts().again == 1 && flights.answered(after(1601), Question::Call(1), 30));
    assert_eq!(flights.rto().smoothed(), None, "Karn's rule");
    flights.ask(after(2000), Question::Call(2), &request(2, 10, None), true);
    assert!(flights.answered(after(2040), Question::Call(2), 30));
    assert_eq!(flights.rto().smoothed(), Some(Duration::from_millis(40)));
    assert!(!flights.answered(after(2041), Question::Call(2), 30), "once");
    // A receipt is one, less the time that the server has had the call.
    flights.ask(after(3000), Question::Call(3), &request(3, 10, None), true);
    flights.taken(after(3060), Question::Call(3), Duration::from_millis(20));
    assert_eq!(flights.rto().smoothed(), Some(Duration::from_millis(40)));
    assert_eq!(flights.window().under_way(), 0, "it has arrived");
}

#[test]
fn a_call_that_the_server_has_is_asked_about_and_is_not_lost() {
    let mut flights = Flights::new(LIMITS, 7);
    flights.sample(Duration::from_millis(50));
    flights.ask(now(), Question::Call(1), &request(1, 10, None), true);
    flights.taken(after(60), Question::Call(1), Duration::from_millis(20));
    let window = flights.window().size();
    let sent = pass(&mut flights, after(120_000));
    assert!((8..20).contains(&sent.len()), "{}", sent.len());
    let last = sent.windows(2).last().map(|two| two[0].0.elapsed_to(two[1].0));
    assert!(last.is_some_and(|last| last <= ASK_TAKEN * 3 / 2), "{last:?}");
    assert_eq!((flights.counts().late, flights.window().size()), (0, window));
    // Nothing is left of one that is never asked about.
    flights.ask(after(121_000), Question::Call(2), &request(2, 10, None), false);
    flights.taken(after(121_030), Question::Call(2), Duration::from_millis(20));
    assert_eq!(flights.len(), 1);
}

#[test]
fn what_is_given_up_is_not_sent_again() {
    let mut flights = Flights::new(LIMITS, 7);
    for seq in 1..=3 {
        flights.ask(now(), Question::Call(seq), &request(seq, 10, None), true);
    }
    let mut ping = Vec::new();
    write_ping(&mut ping, 0);
    flights.ask(now(), Question::Ping(0), &ping, true);
    flights.give_up(Question::Call(1));
    check(&flights);
    let due = flights.next_timeout().expect("there are others");
    flights.on_timeout(due);
    flights.give_up(Question::Call(2));
    check(&flights);
    let mut sent = again(&mut flights, due);
    sent.sort_unstable();
    assert_eq!(sent, [0, 3]);
}

#[test]
fn what_was_lost_goes_before_what_is_new_and_together_it_takes_one_datagram() {
    let mut flights = Flights::new(LIMITS, 7);
    let length = request(0, 100, None).len();
    let mut asked = 0;
    while flights.has_room(length) {
        asked += 1;
        flights.ask(now(), Question::Call(asked), &request(asked, 100, None), true);
    }
    assert!(asked > 80, "ten datagrams");
    let due = flights.next_timeout().expect("it is waited for");
    flights.on_timeout(due);
    assert_eq!(flights.counts().late, asked, "what was sent at once is late at once");
    let sent = again(&mut flights, due);
    assert!((8..=10).contains(&sent.len()), "as much as one datagram holds: {}", sent.len());
    assert!(!flights.has_room(1), "the others wait for room");
    flights.heard(due + Duration::from_millis(10));
    for seq in sent {
        assert!(flights.answered(due + Duration::from_millis(10), Question::Call(seq), 40));
    }
    let more = again(&mut flights, due + Duration::from_millis(10));
    assert!(more.len() > 8, "the window grows: {}", more.len());
    check(&flights);
}

/// What may happen to a machine.
#[derive(Debug, Clone)]
enum Step {
    Ask { seq: u64, length: usize, repeats: bool },
    Answer { seq: u64, bytes: usize },
    Take { seq: u64 },
    GiveUp { seq: u64 },
    Wait { ms: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let seq = || 0..12u64;
    let step = prop_oneof![
        4 => (seq(), 0..1100usize, any::<bool>())
            .prop_map(|(seq, length, repeats)| Step::Ask { seq, length, repeats }),
        3 => (seq(), 20..1200usize).prop_map(|(seq, bytes)| Step::Answer { seq, bytes }),
        1 => seq().prop_map(|seq| Step::Take { seq }),
        1 => seq().prop_map(|seq| Step::GiveUp { seq }),
        3 => (0..4000u64).prop_map(|ms| Step::Wait { ms }),
    ];
    prop::collection::vec(step, 1..200)
}

/// What a question is to the model: a line in a list that is read from the top each time.
#[derive(Debug)]
struct Line {
    seq: u64,
    repeats: bool,
    sent: Instant,
    /// The least time from its last sending to its next.
    least: Duration,
    taken: bool,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Against a list of what was asked and not answered.
    #[test]
    fn nothing_is_sent_again_too_early_or_without_need(steps in steps(), seed in any::<u64>()) {
        let mut flights = Flights::new(LIMITS, seed);
        let mut lines: Vec<Line> = Vec::new();
        let mut time = now();
        for step in steps {
            match step {
                Step::Ask { seq, length, repeats } => {
                    let frame = request(seq, length, None);
                    if !flights.has_room(frame.len()) {
                        prop_assert!(!flights.is_empty(), "there is always room for one");
                        continue;
                    }
                    lines.retain(|line| line.seq != seq);
                    let least = LIMITS.rto.min;
                    lines.push(Line { seq, repeats, sent: time, least, taken: false });
                    flights.ask(time, Question::Call(seq), &frame, repeats);
                }
                Step::Answer { seq, bytes } => {
                    let known = flights.answered(time, Question::Call(seq), bytes);
                    flights.heard(time);
                    let waits = lines.iter().any(|line| line.seq == seq);
                    prop_assert!(waits || !known, "{} was not asked", seq);
                    // Of what is not sent again the machine forgets what is late.
                    let repeats = lines.iter().any(|line| line.seq == seq && line.repeats);
                    prop_assert!(known || !repeats, "{} was forgotten", seq);
                    lines.retain(|line| line.seq != seq);
                }
                Step::Take { seq } => {
                    flights.taken(time, Question::Call(seq), Duration::ZERO);
                    flights.heard(time);
                    lines.iter_mut().filter(|line| line.seq == seq).for_each(|line| line.taken = true);
                }
                Step::GiveUp { seq } => {
                    flights.give_up(Question::Call(seq));
                    lines.retain(|line| line.seq != seq);
                }
                Step::Wait { ms } => {
                    let until = time + Duration::from_millis(ms);
                    for (at, seq) in pass(&mut flights, until) {
                        let line = lines.iter_mut().find(|line| line.seq == seq);
                        let line = line.expect("nobody waits for it");
                        prop_assert!(line.repeats);
                        let since = line.sent.elapsed_to(at);
                        prop_assert!(since + BURST >= line.least, "{:?} after {:?}", seq, since);
                        line.sent = at;
                    }
                    time = until;
                }
            }
            for seq in again(&mut flights, time) {
                let line = lines.iter_mut().find(|line| line.seq == seq);
                let line = line.expect("nobody waits for it");
                prop_assert!(line.repeats && line.sent.elapsed_to(time) + BURST >= line.least);
                line.sent = time;
            }
            check(&flights);
            let flying = flights.asked.values().filter(|it| it.state == State::Flying).count();
            prop_assert!(flying <= 1 || flights.window().under_way() <= 64 * MAX_DATAGRAM);
        }
        // Whatever has happened: who waits is not forgotten.
        lines.retain(|line| line.repeats);
        let mut minutes = 0;
        while !lines.is_empty() {
            minutes += 1;
            prop_assert!(minutes < 100, "never sent again: {:?}", lines);
            time += Duration::from_secs(60);
            let mut sent: Vec<_> = pass(&mut flights, time).iter().map(|(_, seq)| *seq).collect();
            sent.extend(again(&mut flights, time));
            for seq in sent {
                flights.give_up(Question::Call(seq));
                lines.retain(|line| line.seq != seq);
            }
        }
        pass(&mut flights, time + Duration::from_secs(600));
        prop_assert!(flights.is_empty() && flights.window().under_way() == 0);
    }

    /// Over a way that loses, everything is answered, and what is sent again is about what was lost.
    #[test]
    fn everything_is_answered_in_the_end(seed in any::<u64>(), lost in 0u64..40) {
        let mut flights = Flights::new(LIMITS, seed);
        let mut random = Jitter::new(seed);
        let mut time = now();
        let mut coming: BTreeSet<(Instant, u64)> = BTreeSet::new();
        let (mut next, mut answered) = (0u64, 0u64);
        let frame = request(0, 100, None);
        while answered < 400 {
            let mut send = |coming: &mut BTreeSet<(Instant, u64)>, time: Instant, seq: u64| {
                if random.next() % 100 >= lost && random.next() % 100 >= lost {
                    coming.insert((time + Duration::from_millis(30 + random.next() % 20), seq));
                }
            };
            again(&mut flights, time).into_iter().for_each(|seq| send(&mut coming, time, seq));
            while next < 400 && flights.has_room(frame.len()) {
                flights.ask(time, Question::Call(next), &request(next, 100, None), true);
                send(&mut coming, time, next);
                next += 1;
            }
            let arrives = coming.first().map(|(at, _)| *at);
            let late = flights.next_timeout();
            time = match (arrives, late) {
                (Some(arrives), Some(late)) => arrives.min(late),
                (one, other) => one.or(other).expect("something happens"),
            };
            while let Some(&(at, seq)) = coming.first() && at <= time {
                coming.pop_first();
                flights.heard(time);
                answered += u64::from(flights.answered(time, Question::Call(seq), 60));
            }
            flights.on_timeout(time);
            check(&flights);
        }
        let counts = flights.counts();
        prop_assert!(flights.is_empty() && counts.asked == 400);
        let share = 1.0 / ((100 - lost) as f64 / 100.0).powi(2);
        let expected = 400.0 * (share - 1.0);
        prop_assert!((counts.again as f64) < expected * 1.6 + 30.0, "{} for {}", counts.again, expected);
    }
}
