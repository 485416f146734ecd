//! What is decided, in the order in which it is.

use super::*;

fn refused(decision: Decision<u32>) -> Refusal {
    match decision {
        Decision::Refused(refusal) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

fn later(decision: Decision<u32>) -> Later {
    match refused(decision) {
        Refusal::Later(later) => later,
        other => panic!("final: {other:?}"),
    }
}

/// Each line of the procedure, with everything that later lines would object to wrong as well.
#[test]
fn the_first_objection_counts() {
    let mut ledger = open(false);
    run(&mut ledger, 1, "one");
    assert_eq!(ask(&mut ledger, &changed(2, |it| it.ack = 1)), Decision::Accepted);
    let wrong = |keep: usize| {
        let mut stamp = stamp(2);
        let wrongs: [fn(&mut Stamp); 6] = [
            |it| it.xid.domain.0 += 1,
            |it| it.epoch.0 += 1,
            |it| it.xid.session.0 += 5,
            |it| it.incarnation.0 += 1,
            |it| it.xid.seq = 1,
            |it| it.fingerprint.0[0] += 1,
        ];
        wrongs[keep..].iter().for_each(|make_wrong| make_wrong(&mut stamp));
        stamp
    };
    let mut refusals = Vec::new();
    for kept in 0..5 {
        let proved = wrong(kept).proved(&SECRET);
        refusals.push(refused(ask(&mut ledger, &proved)));
        if kept == 3 {
            refusals.push(refused(ask(&mut ledger, &Stamp { proof: 1, ..proved })));
        }
    }
    refusals.push(refused(ask(&mut ledger, &changed(2, |it| it.fingerprint.0[0] += 1))));
    use Refusal::*;
    assert_eq!(refusals, [WrongDomain, WrongEpoch, Unknown, Fenced, NotYours, Stale, Misuse]);
}

#[test]
fn a_durable_ledger_knows_calls_of_its_earlier_lives() {
    let mut ledger = restarted(0, &[(1, Some(Outcome::Answer(answer("one"))))]);
    assert_eq!(stamp(1).epoch, EPOCH);
    assert_ne!(ledger.epoch(), EPOCH);
    assert_eq!(ask(&mut ledger, &stamp(1)), Decision::Replay(Outcome::Answer(answer("one"))));
}

#[test]
fn a_session_that_ended_is_told_from_one_that_never_was() {
    let mut ledger = open(false);
    ledger.expire(start() + LEASE);
    assert_eq!(refused(ask(&mut ledger, &stamp(1))), Refusal::Expired);
    let never = changed(1, |it| it.xid.session.0 = 2);
    assert_eq!(refused(ask(&mut ledger, &never)), Refusal::Unknown);
}

#[test]
fn a_session_is_its_owners_alone() {
    let mut ledger: TestLedger = Ledger::volatile(DOMAIN, EPOCH, limits());
    let (alice, bob): (Owner, Owner) = ("alice".into(), "bob".into());
    ledger.open(start(), SECRET, Some(alice.clone()), 0).unwrap();
    let mut ask = |owner: Option<&Owner>| {
        let class = Some(Class::Recorded);
        let ask = Ask { stamp: &stamp(1), owner, class, is_overloaded: false };
        ledger.admit(start(), &ask, || ("call", 9))
    };
    assert_eq!(refused(ask(None)), Refusal::NotYours);
    assert_eq!(refused(ask(Some(&bob))), Refusal::NotYours);
    assert_eq!(ask(Some(&alice)), Decision::Accepted);
}

/// Rule F: what is final is recorded before it is said, and what is not is not recorded.
#[test]
fn an_outcome_is_kept_before_anyone_hears_of_it() {
    let mut ledger = open(true);
    assert_eq!(ask(&mut ledger, &stamp(1)), Decision::Accepted);
    assert_eq!(released(&mut ledger), [], "its start is not kept yet");
    keep(&mut ledger);
    assert_eq!(released(&mut ledger), [Release::Run { xid: xid(1), call: "call" }]);
    assert!(ledger.start(xid(1)));
    complete(&mut ledger, 1, "one");
    assert_eq!(released(&mut ledger), [], "its outcome is not kept yet");
    assert_eq!(
        ask(&mut ledger, &stamp(1)),
        Decision::Joined { displaced: 9 },
        "nor does another ask get it"
    );
    let changes = keep(&mut ledger);
    assert!(matches!(&changes[..], [Change::Completed { seq: 1, .. }]), "{changes:?}");
    let outcome = Outcome::Answer(answer("one"));
    let released = released(&mut ledger);
    assert_eq!(released, [Release::Answer { xid: xid(1), waiter: 9, outcome: outcome.clone() }]);
    assert_eq!(ask(&mut ledger, &stamp(1)), Decision::Replay(outcome));
}

#[test]
fn a_transactional_call_is_recorded_once() {
    let mut ledger = open(true);
    let class = Some(Class::Transactional);
    let ask = Ask { stamp: &stamp(1), owner: None, class, is_overloaded: false };
    assert_eq!(ledger.admit(start(), &ask, || ("call", 9)), Decision::Accepted);
    assert_eq!(released(&mut ledger), [Release::Run { xid: xid(1), call: "call" }]);
    assert_eq!(keep(&mut ledger), []);
    assert!(ledger.start(xid(1)));
    complete(&mut ledger, 1, "one");
    assert_eq!(keep(&mut ledger).len(), 1);
}

#[test]
fn a_call_to_a_method_that_is_not_there_is_not_recorded() {
    let mut ledger = open(true);
    let ask = Ask { stamp: &stamp(1), owner: None, class: None, is_overloaded: false };
    let mut admit = || ledger.admit(start(), &ask, || unreachable!("nothing is kept of it"));
    assert_eq!(admit(), Decision::NoMethod);
    assert_eq!(keep(&mut ledger), []);
    assert_eq!(super::ask(&mut ledger, &stamp(1)), Decision::Accepted);
}

#[test]
fn what_is_refused_for_now_is_not_recorded() {
    let mut ledger = open(true);
    let late = start() + LEASE;
    assert_eq!(later(ask_at(&mut ledger, late, &stamp(1))), Later::LeaseOver);
    assert_eq!(later(ask(&mut ledger, &stamp(5))), Later::Window);
    let ask_busy = Ask { stamp: &stamp(1), owner: None, class: None, is_overloaded: true };
    let overloaded = ledger.admit(start(), &ask_busy, || unreachable!("nothing is kept of it"));
    assert_eq!(later(overloaded), Later::Overloaded);
    ledger.limits.bytes = ENTRY_BYTES - 1;
    assert_eq!(later(ask(&mut ledger, &stamp(1))), Later::Full);
    ledger.drain();
    assert_eq!(later(ask(&mut ledger, &stamp(1))), Later::Draining);
    assert_eq!((keep(&mut ledger), ledger.bytes()), (vec![], 0));
    assert!(!ledger.start(xid(1)));
}

/// Rule B: pressure refuses what is new, and what has been accepted stays.
#[test]
fn under_pressure_accepted_calls_are_still_answered() {
    let mut ledger = open(false);
    run(&mut ledger, 1, "one");
    ledger.limits.bytes = 0;
    ledger.drain();
    let replay = Decision::Replay(Outcome::Answer(answer("one")));
    assert_eq!(ask_at(&mut ledger, start() + LEASE, &stamp(1)), replay);
    assert_eq!(later(ask(&mut ledger, &stamp(2))), Later::Draining);
}

/// Rule B: a large answer is answered once, and kept only if its method says so.
#[test]
fn an_answer_over_the_limit_is_dropped_or_kept_as_its_method_says() {
    for (large, kept) in [
        (LargeReply::Drop, Outcome::Dropped),
        (LargeReply::Keep, Outcome::Answer(answer("nine bytes"))),
    ] {
        let mut ledger = open(true);
        ask(&mut ledger, &stamp(1));
        keep(&mut ledger);
        assert!(ledger.start(xid(1)));
        released(&mut ledger);
        ledger.complete(start(), xid(1), answer("nine bytes"), large);
        let changes = keep(&mut ledger);
        let [Change::Completed { outcome, .. }] = &changes[..] else { panic!("{changes:?}") };
        assert_eq!(outcome, &kept);
        let outcome = Outcome::Answer(answer("nine bytes"));
        assert_eq!(released(&mut ledger), [Release::Answer { xid: xid(1), waiter: 9, outcome }]);
        assert_eq!(ledger.bytes(), ENTRY_BYTES + kept.len());
        assert_eq!(ask(&mut ledger, &stamp(1)), Decision::Replay(kept));
    }
}

/// Rule A: an acknowledgement rides on a call, and never covers that call.
#[test]
fn a_floor_rises_with_the_acks_that_calls_carry() {
    let mut ledger = open(false);
    run(&mut ledger, 1, "one");
    run(&mut ledger, 2, "two");
    assert_eq!(ask(&mut ledger, &changed(3, |it| it.ack = 99)), Decision::Accepted);
    assert_eq!(ledger.standing(start(), xid(3)).floor, 2);
    assert_eq!(refused(ask(&mut ledger, &stamp(2))), Refusal::Stale);
    let bytes = ledger.bytes();
    ask(&mut ledger, &changed(4, |it| it.ack = 1));
    assert_eq!(ledger.standing(start(), xid(4)).floor, 2, "it never falls");
    assert_eq!(ledger.bytes(), bytes + ENTRY_BYTES);
}

#[test]
fn those_who_do_not_speak_for_a_session_acknowledge_nothing() {
    let mut ledger = open(false);
    run(&mut ledger, 1, "one");
    run(&mut ledger, 2, "two");
    let forgeries: [fn(&mut Stamp); 3] =
        [|it| it.incarnation.0 += 1, |it| it.fingerprint.0[0] += 1, |it| it.epoch.0 += 1];
    for forge in forgeries {
        let forged = changed(2, |it| {
            it.ack = 1;
            forge(it);
        });
        assert!(refused(ask(&mut ledger, &forged)).is_final());
    }
    let unproved = Stamp { ack: 1, ..stamp(2) };
    assert_eq!(refused(ask(&mut ledger, &unproved)), Refusal::NotYours);
    assert_eq!(ledger.standing(start(), xid(1)).floor, 0);
}

/// Rule K: giving a call up is definitive once the floor is confirmed.
#[test]
fn a_call_that_was_given_up_never_begins() {
    for is_durable in [false, true] {
        let mut ledger = open(is_durable);
        assert_eq!(ask(&mut ledger, &stamp(1)), Decision::Accepted);
        keep(&mut ledger);
        assert_eq!(released(&mut ledger).len(), 1, "released to run, and not started");
        ask(&mut ledger, &changed(2, |it| it.ack = 1));
        assert!(!ledger.start(xid(1)));
        if is_durable {
            assert_eq!(later(ask(&mut ledger, &stamp(1))), Later::Settling, "not kept");
            assert_eq!(ledger.standing(start(), xid(1)).floor, 0, "and not confirmed");
        }
        keep(&mut ledger);
        assert_eq!(refused(ask(&mut ledger, &stamp(1))), Refusal::Stale);
        assert_eq!(ledger.standing(start(), xid(1)).floor, 1);
    }
}

/// Rule C: what is given up while it runs keeps its place until it has ended.
#[test]
fn a_call_that_is_given_up_while_it_runs_takes_its_place_until_it_ends() {
    let mut ledger = open(false);
    for seq in 1..=4 {
        assert_eq!(ask(&mut ledger, &stamp(seq)), Decision::Accepted);
        assert!(ledger.start(xid(seq)));
    }
    // All four are given up: by a call that there is no place for.
    let fifth = changed(5, |it| it.ack = 4);
    assert_eq!(later(ask(&mut ledger, &fifth)), Later::Window);
    assert_eq!(ledger.standing(start(), xid(5)).floor, 4);
    assert_eq!(later(ask(&mut ledger, &fifth)), Later::Window, "their handlers still run");
    released(&mut ledger);
    complete(&mut ledger, 2, "two");
    assert_eq!(released(&mut ledger), [], "nobody waits for it");
    assert_eq!(ask(&mut ledger, &fifth), Decision::Accepted);
    assert_eq!(later(ask(&mut ledger, &stamp(6))), Later::Window);
}

#[test]
fn who_asks_last_gets_the_answer() {
    let mut ledger = open(false);
    ask(&mut ledger, &stamp(1));
    assert!(ledger.start(xid(1)));
    let again = stamp(1);
    let ask = Ask { stamp: &again, owner: None, class: None, is_overloaded: true };
    let joined = ledger.admit(start(), &ask, || ("again", 10));
    assert_eq!(joined, Decision::Joined { displaced: 9 });
    released(&mut ledger);
    complete(&mut ledger, 1, "one");
    let outcome = Outcome::Answer(answer("one"));
    assert_eq!(released(&mut ledger), [Release::Answer { xid: xid(1), waiter: 10, outcome }]);
}

#[test]
fn a_session_is_recalled_from_its_store_once() {
    let sessions = [kept_session(1)];
    let mut ledger: TestLedger =
        Ledger::durable(start(), DOMAIN, EPOCH, limits(), sessions, SessionId(9));
    assert_eq!(ask(&mut ledger, &stamp(2)), Decision::Recall);
    assert_eq!(refused(ask(&mut ledger, &stamp(1))), Refusal::Stale, "that needs no calls");
    let call = |seq, text| KeptCall {
        seq,
        fingerprint: PRINT,
        outcome: Some(Outcome::Answer(answer(text))),
    };
    ledger.recalled(SESSION, vec![call(1, "stale"), call(2, "two")]);
    ledger.recalled(SESSION, vec![call(2, "late"), call(3, "late")]);
    assert_eq!(ask(&mut ledger, &stamp(2)), Decision::Replay(Outcome::Answer(answer("two"))));
    assert_eq!(ask(&mut ledger, &stamp(3)), Decision::Accepted);
    assert_eq!(ledger.bytes(), 2 * ENTRY_BYTES + 3);
    assert_eq!(ledger.open(start(), SECRET, None, 0), Ok(SessionId(9)), "no number comes again");
}

#[test]
fn every_refusal_has_a_fault_of_its_own() {
    let finals = [
        Refusal::WrongDomain,
        Refusal::WrongEpoch,
        Refusal::Expired,
        Refusal::Unknown,
        Refusal::NotYours,
        Refusal::Fenced,
        Refusal::Stale,
        Refusal::Misuse,
    ];
    let mut codes: Vec<u16> = finals.iter().map(|it| it.fault_code().to_u16()).collect();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), finals.len());
    let laters = [
        Later::LeaseOver,
        Later::Draining,
        Later::Overloaded,
        Later::Window,
        Later::Full,
        Later::Sessions,
        Later::Settling,
    ];
    for refusal in finals.into_iter().chain(laters.map(Refusal::Later)) {
        assert!(!refusal.fault_code().may_have_run(), "{refusal:?}");
        assert_eq!(refusal.is_final(), !matches!(refusal, Refusal::Later(_)));
        assert!(!refusal.fault().message().is_empty());
    }
}
