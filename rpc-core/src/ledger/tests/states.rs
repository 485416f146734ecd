//! Every state of a call under every event.

use std::fmt::Write;

use super::{super::lease::State, *};

const STATES: [&str; 9] = [
    "none",
    "accepted",
    "ready",
    "running",
    "ending",
    "ended",
    "interrupted",
    "resolving",
    "below the floor",
];

/// A ledger whose call 1 is in this state. Its changes have been kept, but for the last of an accepted or
/// ending one.
fn in_state(state: &str) -> TestLedger {
    let mut ledger = if state == "interrupted" || state == "resolving" {
        restarted(0, &[(1, None)])
    } else {
        open(true)
    };
    let steps = match state {
        "none" | "interrupted" => 0,
        "accepted" => 1,
        "ready" => 2,
        "running" => 3,
        "ending" => 4,
        "ended" => 5,
        "resolving" => {
            assert_eq!(ask(&mut ledger, &stamp(1)), Decision::Resolve);
            0
        }
        "below the floor" => {
            ledger.raise_floor(SESSION, 1);
            keep(&mut ledger);
            0
        }
        other => unreachable!("{other}"),
    };
    if steps > 0 {
        assert_eq!(ask(&mut ledger, &stamp(1)), Decision::Accepted);
    }
    if steps > 1 {
        keep(&mut ledger);
    }
    if steps > 2 {
        assert!(ledger.start(xid(1)));
    }
    if steps > 3 {
        complete(&mut ledger, 1, "one");
    }
    if steps > 4 {
        keep(&mut ledger);
    }
    released(&mut ledger);
    assert_eq!(name(&mut ledger), state);
    ledger
}

fn name(ledger: &mut TestLedger) -> &'static str {
    let lease = ledger.leases.get_mut(&SESSION).expect("the session");
    if lease.calls.floor() >= 1 {
        return "below the floor";
    }
    match lease.calls.get_mut(1).map(|entry| &entry.state) {
        None => "none",
        Some(State::Accepted { .. }) => "accepted",
        Some(State::Ready { .. }) => "ready",
        Some(State::Running { .. }) => "running",
        Some(State::Ending { .. }) => "ending",
        Some(State::Ended(_)) => "ended",
        Some(State::Interrupted) => "interrupted",
        Some(State::Resolving { .. }) => "resolving",
    }
}

type Event = fn(&mut TestLedger) -> String;

const EVENTS: [(&str, Event); 13] = [
    ("ask", |ledger| format!("{:?}", ask(ledger, &stamp(1)))),
    ("ask otherwise", |ledger| {
        format!("{:?}", ask(ledger, &changed(1, |it| it.fingerprint = Fingerprint([2; 16]))))
    }),
    ("start", |ledger| ledger.start(xid(1)).to_string()),
    ("withdraw", |ledger| format!("{:?}", ledger.withdraw(xid(1)))),
    ("undone", |ledger| format!("{:?}", ledger.undone(start(), xid(1)))),
    ("interrupted", |ledger| format!("{:?}", ledger.interrupted(start(), xid(1)))),
    ("complete", |ledger| {
        complete(ledger, 1, "two");
        String::new()
    }),
    ("resolve done", |ledger| {
        ledger.resolved(start(), xid(1), Resolution::Done(answer("two")));
        String::new()
    }),
    ("resolve not done", |ledger| {
        ledger.resolved(start(), xid(1), Resolution::NotDone);
        String::new()
    }),
    ("resolve unknown", |ledger| {
        ledger.resolved(start(), xid(1), Resolution::Unknown);
        String::new()
    }),
    ("resolve not now", |ledger| {
        ledger.resolved(start(), xid(1), Resolution::NotNow);
        String::new()
    }),
    ("kept", |ledger| {
        keep(ledger);
        String::new()
    }),
    ("floor", |ledger| {
        ledger.raise_floor(SESSION, 1);
        String::new()
    }),
];

/// What is kept, in a word.
fn changes(ledger: &mut TestLedger) -> String {
    let words = ledger.changes().into_iter().map(|change| match change {
        Change::Started { .. } => "started",
        Change::Completed { .. } => "completed",
        Change::Withdrawn { .. } => "withdrawn",
        Change::Floor { .. } => "floor",
        Change::Opened { .. } | Change::Resumed { .. } | Change::Closed { .. } => "session",
    });
    words.collect::<Vec<_>>().join("+")
}

fn releases(ledger: &mut TestLedger) -> String {
    let words = released(ledger).into_iter().map(|release| match release {
        Release::Run { .. } => "run",
        Release::Answer { .. } => "answer",
        Release::GivenUp { call: Some(_), .. } => "given up unrun",
        Release::GivenUp { call: None, .. } => "given up",
        Release::Unresolved { .. } => "unresolved",
        Release::Granted { .. } | Release::Confirmed { .. } | Release::Superseded { .. } => {
            "session"
        }
    });
    words.collect::<Vec<_>>().join("+")
}

#[test]
fn every_state_answers_every_event() {
    let mut table = String::new();
    for state in STATES {
        for (event, apply) in EVENTS {
            let mut ledger = in_state(state);
            let before = ledger.changes.len();
            let said = apply(&mut ledger);
            let mut line = format!("{state} | {event}: {} ", name(&mut ledger));
            let _ = write!(line, "| {said} | {}", releases(&mut ledger));
            ledger.changes.drain(..before.min(ledger.changes.len()));
            let _ = writeln!(table, "{line} | {}", changes(&mut ledger));
            check_counts(&mut ledger);
        }
    }
    let expected = include_str!("states.txt");
    for (found, expected) in table.lines().zip(expected.lines()) {
        assert_eq!(found.trim_end(), expected.trim_end());
    }
    assert_eq!(table.lines().count(), expected.lines().count());
}

/// What is counted is what is there.
pub(super) fn check_counts<C, W>(ledger: &mut Ledger<C, W>) {
    let window = u64::from(ledger.limits.window);
    let mut bytes = 0;
    for lease in ledger.leases.values_mut() {
        let (mut busy, floor) = (0, lease.calls.floor());
        for seq in floor + 1..=floor + window {
            let Some(entry) = lease.calls.get_mut(seq) else { continue };
            bytes += ENTRY_BYTES + entry.state.len();
            busy += usize::from(!matches!(entry.state, State::Ended(_) | State::Interrupted));
        }
        assert_eq!(lease.busy, busy + lease.orphans as usize);
    }
    assert_eq!(ledger.bytes, bytes);
}
