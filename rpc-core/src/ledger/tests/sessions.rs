//! Sessions come, are resumed, acknowledged, and end.

use super::*;

fn claim(secret: Secret) -> SessionClaim<'static> {
    SessionClaim { domain: DOMAIN, session: SESSION, secret, owner: None }
}

#[test]
fn resuming_shuts_out_the_older_incarnation_at_once() {
    let mut ledger = open(true);
    run(&mut ledger, 1, "one");
    assert_eq!(ledger.resume(start(), &claim(SECRET), 3), Ok(Incarnation(1)));
    assert_eq!(released(&mut ledger), [], "not kept yet");
    let fenced = Decision::Refused(Refusal::Fenced);
    assert_eq!(ask(&mut ledger, &stamp(2)), fenced);
    assert_eq!(
        keep(&mut ledger),
        [Change::Resumed { session: SESSION, incarnation: Incarnation(1) }]
    );
    let [Release::Granted { grant, waiter: 3 }] = &released(&mut ledger)[..] else { panic!() };
    assert_eq!((grant.incarnation, grant.secret), (Incarnation(1), SECRET));
    let one = changed(1, |it| it.incarnation.0 = 1);
    assert_eq!(ask(&mut ledger, &one), Decision::Replay(Outcome::Answer(answer("one"))));
    let future = changed(1, |it| it.incarnation.0 = 2);
    assert_eq!(ask(&mut ledger, &future), fenced, "one that there has not been");
}

#[test]
fn a_session_is_resumed_with_its_secret_by_its_owner() {
    let mut ledger: TestLedger = Ledger::volatile(DOMAIN, EPOCH, limits());
    let (alice, bob): (Owner, Owner) = ("alice".into(), "bob".into());
    ledger.open(start(), SECRET, Some(alice.clone()), 0).unwrap();
    let mut resume = |claim: SessionClaim<'_>| ledger.resume(start(), &claim, 1);
    let ours = SessionClaim { owner: Some(&alice), ..claim(SECRET) };
    let wrong = Secret::new([8; 16]);
    assert_eq!(resume(SessionClaim { secret: wrong, ..ours }), Err(Refusal::NotYours));
    assert_eq!(resume(SessionClaim { owner: Some(&bob), ..ours }), Err(Refusal::NotYours));
    assert_eq!(resume(SessionClaim { owner: None, ..ours }), Err(Refusal::NotYours));
    assert_eq!(resume(SessionClaim { domain: Domain(1), ..ours }), Err(Refusal::WrongDomain));
    let other = SessionClaim { session: SessionId(2), ..ours };
    assert_eq!(resume(other), Err(Refusal::Unknown));
    assert_eq!(resume(ours), Ok(Incarnation(1)));
}

#[test]
fn who_resumes_last_is_granted_the_session() {
    let mut ledger = open(true);
    ledger.resume(start(), &claim(SECRET), 3).unwrap();
    ledger.resume(start(), &claim(SECRET), 4).unwrap();
    assert_eq!(released(&mut ledger), [Release::Superseded { waiter: 3 }]);
    keep(&mut ledger);
    let [Release::Granted { grant, waiter: 4 }] = &released(&mut ledger)[..] else { panic!() };
    assert_eq!(grant.incarnation, Incarnation(2));
}

#[test]
fn there_are_only_so_many_sessions() {
    let mut ledger = open(false);
    ledger.limits.sessions = 1;
    run(&mut ledger, 1, "one");
    let full = Err(Refusal::Later(Later::Sessions));
    assert_eq!(ledger.open(start(), SECRET, None, 1), full);
    ledger.close(&claim(SECRET)).unwrap();
    assert_eq!(ledger.open(start(), SECRET, None, 1), Ok(SessionId(2)));
    ledger.drain();
    let draining = Err(Refusal::Later(Later::Draining));
    assert_eq!(ledger.open(start(), SECRET, None, 1), draining);
    ledger.close(&SessionClaim { session: SessionId(2), ..claim(SECRET) }).unwrap();
    ledger.reopen();
    assert_eq!(ledger.open(start(), SECRET, None, 1), Ok(SessionId(3)));
}

#[test]
fn a_session_that_was_never_used_makes_room_for_another() {
    let mut ledger = open(true);
    ledger.limits.sessions = 2;
    let open = |ledger: &mut TestLedger| ledger.open(start(), SECRET, None, 1);
    assert_eq!(open(&mut ledger), Ok(SessionId(2)));
    // The oldest; but not one that is not granted yet.
    assert_eq!(open(&mut ledger), Ok(SessionId(3)));
    assert!(matches!(ledger.changes.last(), Some(Change::Opened { .. })));
    let gone = refused_by(ask(&mut ledger, &stamp(1)));
    assert_eq!(gone, Refusal::Expired);
    assert_eq!(open(&mut ledger), Err(Refusal::Later(Later::Sessions)));
    keep(&mut ledger);
    assert_eq!(
        open(&mut ledger),
        Err(Refusal::Later(Later::Sessions)),
        "seen once, and passed over"
    );
}

fn refused_by(decision: Decision<u32>) -> Refusal {
    match decision {
        Decision::Refused(refusal) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_session_that_is_closed_begins_nothing_any_more() {
    let mut ledger = open(true);
    run(&mut ledger, 1, "one");
    ask(&mut ledger, &stamp(2));
    ask(&mut ledger, &stamp(3));
    keep(&mut ledger);
    released(&mut ledger);
    assert!(ledger.start(xid(2)));
    assert_eq!(ledger.close(&claim(Secret::new([0; 16]))), Err(Refusal::NotYours));
    assert_eq!(ledger.close(&claim(SECRET)), Ok(()));
    let given_up = |seq| Release::GivenUp { xid: xid(seq), call: None, waiter: 9 };
    assert_eq!(released(&mut ledger), [given_up(2), given_up(3)]);
    assert!(!ledger.start(xid(3)));
    complete(&mut ledger, 2, "two");
    assert_eq!(keep(&mut ledger), [Change::Closed { session: SESSION }]);
    assert_eq!(released(&mut ledger), []);
    assert_eq!((ledger.bytes(), ledger.sessions()), (0, 0));
    assert_eq!(ask(&mut ledger, &stamp(1)), Decision::Refused(Refusal::Expired));
}

#[test]
fn sessions_that_come_and_go_leave_nothing_behind() {
    let mut ledger: TestLedger = Ledger::volatile(DOMAIN, EPOCH, limits());
    for _ in 0..10_000 {
        let session = ledger.open(start(), SECRET, None, 0).unwrap();
        ledger.close(&SessionClaim { session, ..claim(SECRET) }).unwrap();
        released(&mut ledger);
    }
    assert!(ledger.ends.len() <= 64, "{}", ledger.ends.len());
    assert!(ledger.unused.len() <= 65, "{}", ledger.unused.len());
}

#[test]
fn a_session_ends_half_an_hour_after_its_last_traffic() {
    let minute = Duration::from_secs(60);
    let mut ledger = open(true);
    assert_eq!(ledger.next_timeout(), Some(start() + LEASE));
    let heard = start() + 10 * minute;
    assert_eq!(ask_at(&mut ledger, heard, &stamp(1)), Decision::Accepted);
    keep(&mut ledger);
    assert!(ledger.start(xid(1)));
    ledger.expire(start() + 3 * LEASE);
    assert_eq!(ledger.sessions(), 1, "never while one of its calls runs");
    let ended = start() + 4 * LEASE;
    ledger.complete(ended, xid(1), answer("one"), LargeReply::Drop);
    keep(&mut ledger);
    ledger.expire(ended + LEASE - minute);
    assert_eq!(ledger.sessions(), 1, "its time began anew");
    assert_eq!(ledger.standing(ended + LEASE - minute, xid(1)).lease_left, minute);
    let before = ledger.next_timeout().expect("it will end");
    assert!(before >= ended + LEASE - minute);
    ledger.expire(ended + LEASE);
    assert_eq!(ledger.sessions(), 0);
    assert_eq!(keep(&mut ledger), [Change::Closed { session: SESSION }]);
    assert_eq!(ledger.next_timeout(), None);
}

#[test]
fn a_restart_gives_every_session_its_whole_time() {
    let now = start() + 100 * LEASE;
    let sessions = [kept_session(0)];
    let ledger: TestLedger = Ledger::durable(now, DOMAIN, EPOCH, limits(), sessions, SessionId(2));
    assert_eq!(ledger.standing(now, xid(1)).lease_left, LEASE);
    assert_eq!(ledger.next_timeout(), Some(now + LEASE));
}

fn acknowledge(ledger: &mut TestLedger, ack: u64, waiter: u32) -> Result<(), Refusal> {
    let proof = SECRET.prove_ack(DOMAIN, Incarnation(0), ack);
    ledger.acknowledge(start(), (DOMAIN, SESSION, Incarnation(0)), (ack, proof), waiter)
}

fn confirmed(floor: u64, waiter: u32) -> TestRelease {
    Release::Confirmed { session: SESSION, floor, waiter }
}

#[test]
fn an_ack_that_comes_alone_is_confirmed_when_it_is_kept() {
    let mut ledger = open(true);
    run(&mut ledger, 1, "one");
    run(&mut ledger, 2, "two");
    acknowledge(&mut ledger, 1, 5).unwrap();
    assert_eq!(released(&mut ledger), []);
    acknowledge(&mut ledger, 2, 6).unwrap();
    assert_eq!(released(&mut ledger), [confirmed(0, 5)], "who is displaced learns what there is");
    let [one, two] = &ledger.changes()[..] else { panic!("two floors") };
    ledger.kept(std::slice::from_ref(one));
    assert_eq!(released(&mut ledger), [], "6 waits for more");
    ledger.kept(std::slice::from_ref(two));
    assert_eq!(released(&mut ledger), [confirmed(2, 6)]);
    acknowledge(&mut ledger, 1, 7).unwrap();
    assert_eq!((keep(&mut ledger), released(&mut ledger)), (vec![], vec![confirmed(2, 7)]));
}

#[test]
fn a_forged_ack_moves_nothing() {
    let mut ledger = open(false);
    run(&mut ledger, 1, "one");
    let prove = |incarnation, ack| SECRET.prove_ack(DOMAIN, incarnation, ack);
    let mut acknowledge = |incarnation, ack, proof| {
        ledger.acknowledge(start(), (DOMAIN, SESSION, incarnation), (ack, proof), 0)
    };
    let (now, next) = (Incarnation(0), Incarnation(1));
    assert_eq!(acknowledge(now, 1, prove(now, 2)), Err(Refusal::NotYours));
    assert_eq!(acknowledge(next, 1, prove(now, 1)), Err(Refusal::NotYours));
    assert_eq!(acknowledge(next, 1, prove(next, 1)), Err(Refusal::Fenced));
    assert_eq!(acknowledge(now, 5, prove(now, 5)), Err(Refusal::Misuse), "beyond the window");
    assert_eq!(acknowledge(now, u64::MAX, prove(now, u64::MAX)), Err(Refusal::Misuse));
    assert_eq!(ledger.standing(start(), xid(1)).floor, 0);
}

#[test]
fn an_ack_gives_up_calls_that_never_came() {
    let mut ledger = open(false);
    acknowledge(&mut ledger, 3, 1).unwrap();
    assert_eq!(released(&mut ledger), [confirmed(3, 1)]);
    assert_eq!(ask(&mut ledger, &stamp(3)), Decision::Refused(Refusal::Stale));
    assert_eq!(ask(&mut ledger, &stamp(4)), Decision::Accepted);
}
