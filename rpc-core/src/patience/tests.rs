use super::*;
use crate::testing::now;

const TIMES: Times = Times {
    handshake: Duration::from_secs(5),
    frame: Duration::from_secs(10),
    write: Duration::from_secs(30),
    idle: Duration::from_secs(300),
    age: Duration::MAX,
    age_grace: Duration::from_secs(7),
    keep_alive: keep_alive::Times {
        interval: Duration::from_secs(60),
        timeout: Duration::from_secs(20),
    },
};
const QUIET: State = State {
    reading: true,
    mid_frame: false,
    unread: false,
    calls: false,
    ending: false,
    frames: 0,
    requests: 0,
    received: 0,
    sent: 0,
    emptied: 0,
};

/// A connection and a clock that goes from ring to ring.
struct Simulation {
    patience: Patience,
    times: Times,
    now: Instant,
    rings: usize,
}

impl Simulation {
    fn with(times: Times) -> Self {
        let handshake = now() + times.handshake;
        let patience = Patience::new(now(), handshake, 1000, &times);
        Simulation { patience, times, now: now(), rings: 0 }
    }

    fn greeted() -> Self {
        let mut simulation = Self::with(TIMES);
        simulation.patience.greeted();
        simulation
    }

    /// Seconds since the beginning.
    fn at(&self) -> f64 {
        self.now.duration_since(now()).as_secs_f64()
    }

    /// Goes on for so many seconds, during which the connection is like this; `each` happens twice
    /// a second.
    fn run(
        &mut self,
        secs: f64,
        mut state: State,
        mut each: impl FnMut(&mut State, &mut Patience),
    ) -> (State, Option<(Over, f64)>) {
        let end = self.now + Duration::from_secs_f64(secs);
        let mut next = self.now;
        loop {
            let due = self.patience.settle(|| self.now).filter(|due| *due <= next.min(end));
            let Some(due) = due else {
                if next > end {
                    self.now = end;
                    return (state, None);
                }
                self.now = next;
                each(&mut state, &mut self.patience);
                next += TICK;
                continue;
            };
            self.now = self.now.max(due);
            self.rings += 1;
            let look = self.patience.on_timeout(self.now, &self.times, &state);
            if let Some(over) = look.over {
                return (state, Some((over, self.at())));
            }
        }
    }

    fn rest(&mut self, state: State) -> Option<(Over, f64)> {
        self.run(100_000.0, state, |_, _| {}).1
    }
}

/// It is over then, or up to two looks later.
#[track_caller]
fn over(found: Option<(Over, f64)>, what: Over, when: f64) {
    let Some((over, at)) = found else { panic!("{what:?} never came") };
    assert_eq!(over, what);
    assert!((when..=when + 1.01).contains(&at), "at {at}, not {when}");
}

#[test]
fn a_silent_peer_has_the_time_of_the_handshake() {
    over(Simulation::with(TIMES).rest(QUIET), Over::Handshake, 5.0);
}

#[test]
fn one_whose_first_message_is_long_is_waited_for_like_any_other() {
    let first = |state| {
        let mut simulation = Simulation::with(TIMES);
        simulation.patience.heard();
        simulation.rest(state)
    };
    let long = State { mid_frame: true, received: 5 * RATE, ..QUIET };
    over(first(long), Over::Frame, 10.0);
    let short = State { received: 5 * RATE - 1, ..long };
    over(first(short), Over::Handshake, 5.0);
}

#[test]
fn what_has_begun_must_go_on() {
    for (state, what, period) in [
        (State { mid_frame: true, ..QUIET }, Over::Frame, 10.0),
        (State { unread: true, ..QUIET }, Over::Write, 30.0),
    ] {
        let mut still = Simulation::greeted();
        over(still.rest(state), what, period);
        // Bytes come all the time, but too few.
        let mut slow = Simulation::greeted();
        let (_, found) = slow.run(1000.0, state, |state, patience| {
            state.received += RATE / 2 - 100;
            state.sent += RATE / 2 - 100;
            patience.heard();
        });
        over(found, what, period);
        // As many as they must.
        let mut enough = Simulation::greeted();
        let (state, found) = enough.run(1000.0, state, |state, patience| {
            state.received += RATE / 2 + 100;
            state.sent += RATE / 2 + 100;
            patience.heard();
        });
        assert_eq!(found, None);
        // They came to an end; the period that runs is the last.
        let found = enough.rest(state);
        assert!(found.is_some_and(|(over, at)| over == what && at <= 1001.0 + 2.0 * period));
    }
}

#[test]
fn each_message_has_its_own_time() {
    let mut simulation = Simulation::greeted();
    let begun = State { mid_frame: true, ..QUIET };
    let (mut state, _) = simulation.run(9.0, begun, |_, _| {});
    state.frames += 1;
    simulation.patience.heard();
    over(simulation.rest(state), Over::Frame, 19.0);
}

#[test]
fn what_we_do_not_read_is_not_the_peers_delay() {
    let mut simulation = Simulation::greeted();
    simulation.patience.keep_alive(simulation.now, &TIMES);
    let held_up = State { reading: false, mid_frame: true, calls: true, ..QUIET };
    assert_eq!(simulation.rest(held_up), None);
}

#[test]
fn only_requests_and_calls_keep_a_connection() {
    let mut pinging = Simulation::greeted();
    let (_, found) = pinging.run(1000.0, QUIET, |state, patience| {
        state.frames += 1;
        patience.heard();
    });
    over(found, Over::Idle, 300.0);
    let mut calling = Simulation::greeted();
    let (state, found) = calling.run(1000.0, QUIET, |state, patience| {
        state.requests += 1;
        patience.heard();
    });
    assert_eq!(found, None);
    over(calling.rest(state), Over::Idle, 1300.0);
    for busy in [State { calls: true, ..QUIET }, State { ending: true, ..QUIET }] {
        assert_eq!(Simulation::greeted().rest(busy), None);
    }
}

#[test]
fn an_old_connection_is_told_and_then_its_grace_runs() {
    let times = Times { age: Duration::from_secs(100), idle: Duration::MAX, ..TIMES };
    let mut simulation = Simulation::with(times);
    simulation.patience.greeted();
    let calls = State { calls: true, ..QUIET };
    over(simulation.rest(calls), Over::Age, 100.0);
    over(simulation.rest(State { ending: true, ..calls }), Over::AgeGrace, 107.0);
    assert_eq!(simulation.rest(State { ending: true, ..calls }), None, "once");
    for (jitter, age) in [(0, 90.0), (2000, 110.0), (2001, 90.0)] {
        let patience = Patience::new(now(), now(), jitter, &times);
        let found = patience.age.unwrap().duration_since(now()).as_secs_f64();
        assert!((age - 2.0..=age + 2.0).contains(&found), "{jitter}: {found}");
    }
}

#[test]
fn a_peer_that_is_gone_is_found_and_one_that_is_there_kept() {
    let calls = State { calls: true, ..QUIET };
    let mut gone = Simulation::greeted();
    gone.patience.keep_alive(gone.now, &TIMES);
    over(gone.rest(calls), Over::Dead, 80.0);
    let mut there = Simulation::greeted();
    there.patience.keep_alive(there.now, &TIMES);
    let (_, found) = there.run(10_000.0, calls, |_, patience| {
        if patience.keep_alive.as_ref().is_some_and(KeepAlive::is_asking) {
            patience.heard();
        }
    });
    assert_eq!(found, None);
    // It cannot answer while it still takes what was sent before.
    let mut slow = Simulation::greeted();
    slow.patience.keep_alive(slow.now, &TIMES);
    let (_, found) = slow.run(1000.0, State { unread: true, ..calls }, |state, patience| {
        state.sent += RATE;
        patience.stir();
    });
    assert_eq!(found, None);
}

#[test]
fn all_is_said_and_the_peer_has_a_while() {
    let mut simulation = Simulation::greeted();
    let ending = State { ending: true, ..QUIET };
    let (_, found) = simulation.run(50.0, ending, |_, _| {});
    assert_eq!(found, None);
    let begun = simulation.now;
    simulation.patience.linger(begun, Duration::from_secs(5));
    simulation.patience.linger(begun, Duration::from_secs(60));
    simulation.patience.linger(begun, Duration::from_secs(1));
    over(simulation.rest(ending), Over::Linger, 51.0);
}

#[test]
fn a_busy_connection_looks_twice_a_second_and_a_quiet_one_hardly_ever() {
    let mut simulation = Simulation::greeted();
    let (state, found) = simulation.run(100.0, QUIET, |state, patience| {
        state.requests += 1;
        patience.heard();
    });
    assert_eq!(found, None);
    assert!((150..=210).contains(&simulation.rings), "{}", simulation.rings);
    simulation.rings = 0;
    assert_eq!(simulation.run(200.0, state, |_, _| {}).1, None);
    assert!(simulation.rings <= 3, "{}", simulation.rings);
}

#[test]
fn the_clock_is_read_when_something_happens_for_the_first_time_in_a_while() {
    let mut simulation = Simulation::greeted();
    assert_eq!(simulation.run(20.0, QUIET, |_, _| {}).1, None);
    let reads = std::cell::Cell::new(0);
    for _ in 0..1000 {
        simulation.patience.heard();
        simulation.patience.settle(|| {
            reads.set(reads.get() + 1);
            simulation.now
        });
    }
    assert_eq!(reads.get(), 1);
}

#[test]
fn memory_is_given_back_after_a_quiet_tick() {
    let mut patience = Simulation::greeted().patience;
    let mut at = now();
    let mut look = |patience: &mut Patience| {
        at = patience.settle(|| at).unwrap();
        patience.on_timeout(at, &TIMES, &QUIET)
    };
    assert!(!look(&mut patience).quiet, "it was greeted");
    assert!(look(&mut patience).quiet);
    patience.heard();
    assert!(!look(&mut patience).quiet);
    assert!(look(&mut patience).quiet);
}

#[test]
fn no_time_at_all_ends_at_once_and_for_ever_never() {
    let zero = Times {
        handshake: Duration::ZERO,
        frame: Duration::ZERO,
        write: Duration::ZERO,
        idle: Duration::ZERO,
        age: Duration::ZERO,
        age_grace: Duration::ZERO,
        keep_alive: keep_alive::Times { interval: Duration::MAX, timeout: Duration::ZERO },
    };
    for state in [QUIET, State { mid_frame: true, ..QUIET }, State { unread: true, ..QUIET }] {
        let mut simulation = Simulation::with(zero);
        assert!(simulation.rest(state).is_some_and(|(_, at)| at <= 1.0), "{state:?}");
    }
    let never = Times {
        handshake: TIMES.handshake,
        frame: Duration::MAX,
        write: Duration::MAX,
        idle: Duration::MAX,
        age: Duration::MAX,
        age_grace: Duration::MAX,
        keep_alive: keep_alive::Times { interval: Duration::MAX, timeout: Duration::MAX },
    };
    for state in [QUIET, State { mid_frame: true, ..QUIET }, State { unread: true, ..QUIET }] {
        let mut simulation = Simulation::with(never);
        simulation.patience.greeted();
        simulation.patience.keep_alive(simulation.now, &never);
        assert_eq!(simulation.rest(state), None, "{state:?}");
    }
}
