//! Who may speak for which calls, and for how long.

use std::time::Duration;

use netrpc::{Ledger, Server};
use netrpc_core::{
    semantics::{Secret, SessionId},
    wire::{self, AckFrame, FaultCode, SessionFrame, SessionKey},
};

use crate::{
    calls::Fixture,
    common::{
        soon,
        tracked::{Asking, key, peer},
    },
};

/// `[session.answer]`
#[tokio::test]
async fn a_session_is_opened_resumed_and_closed() {
    let fixture = Fixture::new();
    let mut first = peer(&fixture.server).await;
    let grant = first.open().await;
    assert_eq!((grant.session, grant.floor, grant.window), (SessionId(1), 0, 512));
    assert_eq!(grant.lease, Duration::from_secs(30 * 60));
    assert!(!grant.is_durable);
    let other = first.open().await;
    assert_eq!(other.session, SessionId(2));
    assert_ne!(other.secret, grant.secret);

    let asking = Asking::new(&grant, 1, "Counter.Increment", &());
    soon(first.ask(1, &asking)).await;
    let mut second = peer(&fixture.server).await;
    let resumed = second.resume(&grant).await;
    assert_eq!((resumed.session, resumed.secret), (grant.session, grant.secret));
    assert_eq!(resumed.incarnation.0, grant.incarnation.0 + 1);

    // Whoever spoke for it before is shut out, and its calls are known to the other.
    assert_eq!(soon(first.ask(2, &asking)).await.code(), FaultCode::Fenced);
    let asking = asking.with(&resumed, |stamp| stamp.incarnation = resumed.incarnation);
    assert!(soon(second.ask(1, &asking)).await.standing.is_replayed);

    let closed = second.ask_session(2, &SessionFrame::Close(key(&resumed))).await;
    assert_eq!(closed, Ok(SessionFrame::Closed));
    let gone = soon(second.ask(3, &asking)).await;
    assert_eq!(gone.code(), FaultCode::SessionExpired);
    assert!(gone.standing.is_final);
    assert_eq!(fixture.runs(), 1);
}

/// `[session.resume-again]`
#[tokio::test]
async fn a_resumption_that_comes_twice_shuts_nobody_out_but_others() {
    let fixture = Fixture::new();
    let mut first = peer(&fixture.server).await;
    let grant = first.open().await;
    let mut second = peer(&fixture.server).await;
    let question = SessionFrame::Resume(key(&grant));
    let resumed = soon(second.ask_session(7, &question)).await;
    let Ok(SessionFrame::Granted(resumed)) = resumed else { panic!("{resumed:?}") };
    assert_eq!(soon(second.ask_session(7, &question)).await, Ok(SessionFrame::Granted(resumed)));
    let asking = Asking::new(&resumed, 1, "Counter.Increment", &());
    soon(second.ask(1, &asking)).await;
    assert_eq!(fixture.runs(), 1);

    // Another question is another resumption, and the first is over then.
    let heir = soon(first.ask_session(7, &question)).await;
    let Ok(SessionFrame::Granted(heir)) = heir else { panic!("{heir:?}") };
    assert_eq!(heir.incarnation.0, resumed.incarnation.0 + 1);
    let refused = soon(second.ask_session(7, &question)).await.unwrap_err();
    assert_eq!(refused.0, FaultCode::Fenced);
    assert_eq!(soon(second.ask(2, &asking)).await.code(), FaultCode::Fenced);
}

#[tokio::test]
async fn what_is_acknowledged_is_forgotten_for_good() {
    let fixture = Fixture::new();
    let mut peer = peer(&fixture.server).await;
    let grant = peer.open().await;
    let first = Asking::new(&grant, 1, "Counter.Increment", &());
    soon(peer.ask(1, &first)).await;
    assert_eq!(soon(peer.acknowledge(2, &grant, 1)).await, Ok(1));
    let stale = soon(peer.ask(3, &first)).await;
    assert_eq!(stale.code(), FaultCode::Stale);
    assert!(stale.standing.is_final);
    assert_eq!(stale.standing.floor, 1);
    // One that rides on a call.
    let second = Asking::new(&grant, 2, "Counter.Increment", &());
    soon(peer.ask(4, &second)).await;
    let third = Asking::new(&grant, 3, "Counter.Increment", &()).with(&grant, |it| it.ack = 2);
    assert_eq!(soon(peer.ask(5, &third)).await.standing.floor, 2);
    assert_eq!(soon(peer.ask(6, &second)).await.code(), FaultCode::Stale);
    // A call that is given up before it comes never runs.
    assert_eq!(soon(peer.acknowledge(7, &grant, 5)).await, Ok(5));
    let abandoned = Asking::new(&grant, 4, "Counter.Increment", &());
    assert_eq!(soon(peer.ask(8, &abandoned)).await.code(), FaultCode::Stale);
    assert_eq!(fixture.runs(), 3);
}

#[tokio::test]
async fn nobody_speaks_for_the_session_of_another() {
    let fixture = Fixture::new();
    let mut peer = peer(&fixture.server).await;
    let grant = peer.open().await;
    let secret = Secret::new([0; 16]);
    let SessionKey { domain, session, .. } = key(&grant);
    let forged = SessionKey { domain, session, secret };
    for frame in [SessionFrame::Resume(forged), SessionFrame::Close(forged)] {
        let refused = soon(peer.ask_session(1, &frame)).await.unwrap_err();
        assert_eq!(refused.0, FaultCode::NotYours);
    }
    // `[session.ack-proof]`
    let incarnation = grant.incarnation;
    let proof = secret.prove_ack(domain, incarnation, 1);
    let forged = AckFrame::Acknowledge { domain, session, ack: 1, incarnation, proof };
    assert_eq!(soon(peer.ask_ack(2, &forged)).await.unwrap_err().0, FaultCode::NotYours);
    // `[stamp.proof]`
    let mut asking = Asking::new(&grant, 1, "Counter.Increment", &());
    asking.stamp.proof ^= 1;
    let refused = soon(peer.ask(3, &asking)).await;
    assert_eq!(refused.code(), FaultCode::NotYours);
    assert!(refused.standing.is_final);
    assert_eq!(fixture.runs(), 0);
    asking.stamp.proof ^= 1;
    assert_eq!(soon(peer.ask(4, &asking)).await.reply::<usize>(), 1, "and the session lives on");
}

/// `[stamp.fingerprint]`
#[tokio::test]
async fn a_number_belongs_to_one_call() {
    let fixture = Fixture::new();
    let mut peer = peer(&fixture.server).await;
    let grant = peer.open().await;
    soon(peer.ask(1, &Asking::new(&grant, 1, "Counter.Large", &1))).await;
    for other in [
        Asking::new(&grant, 1, "Counter.Large", &2),
        Asking::new(&grant, 1, "Counter.Increment", &()),
    ] {
        let refused = soon(peer.ask(2, &other)).await;
        assert_eq!(refused.code(), FaultCode::XidMisuse);
        assert!(refused.standing.is_final);
    }
    assert_eq!(fixture.runs(), 1);
}

#[tokio::test]
async fn numbers_far_ahead_are_not_taken() {
    let fixture = Fixture::with(Server::builder().ledger(Ledger::volatile().window(4)));
    let mut peer = peer(&fixture.server).await;
    let grant = peer.open().await;
    assert_eq!(grant.window, 4);
    for (wire_seq, seq) in [(1, 5), (2, u64::MAX)] {
        let far =
            soon(peer.ask(wire_seq, &Asking::new(&grant, seq, "Counter.Increment", &()))).await;
        assert_eq!(far.code(), FaultCode::AskAgain);
        assert!(!far.standing.is_final && !far.standing.retry_after.is_zero());
    }
    assert_eq!(soon(peer.acknowledge(3, &grant, 5)).await.unwrap_err().0, FaultCode::XidMisuse);
    let last = Asking::new(&grant, 4, "Counter.Increment", &());
    assert_eq!(soon(peer.ask(4, &last)).await.reply::<usize>(), 1);
    assert_eq!(fixture.runs(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_when_nobody_was_heard_for_its_lease() {
    let lease = Duration::from_secs(10);
    let fixture = Fixture::with(Server::builder().ledger(Ledger::volatile().lease(lease)));
    let mut peer = peer(&fixture.server).await;
    let grant = peer.open().await;
    let asking = Asking::new(&grant, 1, "Counter.Increment", &());
    soon(peer.ask(1, &asking)).await;
    tokio::time::sleep(lease * 9 / 10).await;
    let again = soon(peer.ask(2, &asking)).await;
    assert!(again.standing.is_replayed);
    assert_eq!(again.standing.lease_left, lease, "it was heard of");
    tokio::time::sleep(lease * 2).await;
    let gone = soon(peer.ask(3, &asking)).await;
    assert_eq!(gone.code(), FaultCode::SessionExpired);
    assert!(gone.standing.is_final);
    let never = asking.with(&grant, |stamp| stamp.xid.session = SessionId(9));
    assert_eq!(soon(peer.ask(4, &never)).await.code(), FaultCode::SessionUnknown);
    assert_eq!(fixture.runs(), 1);
}

#[tokio::test(start_paused = true)]
async fn no_session_ends_while_one_of_its_calls_runs() {
    let lease = Duration::from_secs(10);
    let fixture = Fixture::with(Server::builder().ledger(Ledger::volatile().lease(lease)));
    let mut peer = peer(&fixture.server).await;
    let grant = peer.open().await;
    let asking = Asking::new(&grant, 1, "Counter.Wait", &());
    peer.send(&asking.frame(1)).await;
    fixture.has_begun().await;
    tokio::time::sleep(lease * 3).await;
    fixture.gate.add_permits(1);
    assert_eq!(soon(peer.answered(1)).await.reply::<usize>(), 1);
    assert!(soon(peer.ask(2, &asking)).await.standing.is_replayed);
}

#[tokio::test]
async fn sessions_of_another_server_or_life_are_told_so() {
    let fixture = Fixture::new();
    let mut peer = peer(&fixture.server).await;
    let grant = peer.open().await;
    let mut elsewhere = Asking::new(&grant, 1, "Counter.Increment", &());
    elsewhere = elsewhere.with(&grant, |stamp| stamp.xid.domain.0 ^= 1);
    let refused = soon(peer.ask(1, &elsewhere)).await;
    assert_eq!(refused.code(), FaultCode::WrongDomain);
    let before = Asking::new(&grant, 1, "Counter.Increment", &());
    let before = before.with(&grant, |stamp| stamp.epoch.0 ^= 1);
    let refused = soon(peer.ask(2, &before)).await;
    assert_eq!(refused.code(), FaultCode::WrongEpoch);
    assert!(refused.standing.is_final);
    assert_eq!(fixture.runs(), 0);
}

#[tokio::test]
async fn no_more_sessions_are_opened_than_there_may_be() {
    let fixture = Fixture::with(Server::builder().ledger(Ledger::volatile().max_sessions(1)));
    let mut peer = peer(&fixture.server).await;
    let never_used = peer.open().await;
    // One that was never used makes room.
    let grant = peer.open().await;
    let gone = soon(peer.ask_session(1, &SessionFrame::Resume(key(&never_used)))).await;
    assert_eq!(gone.unwrap_err().0, FaultCode::SessionExpired);
    let asking = Asking::new(&grant, 1, "Counter.Increment", &());
    soon(peer.ask(1, &asking)).await;
    let refused = soon(peer.ask_session(1, &SessionFrame::Open)).await.unwrap_err();
    assert_eq!(refused.0, FaultCode::AskAgain);
    assert!(soon(peer.ask(1, &asking)).await.standing.is_replayed);
    soon(peer.ask_session(2, &SessionFrame::Close(key(&grant)))).await.unwrap();
    peer.open().await;
}

/// `[session.layout]` `[session.unknown]`
#[tokio::test]
async fn a_malformed_question_is_answered_and_nothing_is_lost() {
    let fixture = Fixture::new();
    let mut peer = peer(&fixture.server).await;
    let grant = peer.open().await;
    for (kind, body, code) in [
        (wire::Kind::Session, &b"\x02"[..], FaultCode::IllFormed),
        (wire::Kind::Acknowledgement, b"", FaultCode::IllFormed),
        (wire::Kind::Session, b"\x09", FaultCode::Unsupported),
    ] {
        let mut out = Vec::new();
        let start = wire::begin(&mut out);
        out.extend_from_slice(body);
        wire::finish(&mut out, start, kind, 0, 3, u32::MAX).unwrap();
        peer.send(&out).await;
        assert_eq!(soon(peer.fault(3)).await.0, code);
    }
    // An answer was not asked for.
    let mut out = Vec::new();
    wire::write_session(&mut out, 4, &SessionFrame::Closed);
    peer.send(&out).await;
    let asking = Asking::new(&grant, 1, "Counter.Increment", &());
    assert_eq!(soon(peer.ask(5, &asking)).await.reply::<usize>(), 1);
}

/// `[frame.seq-in-use]`
#[tokio::test]
async fn a_question_with_the_number_of_a_call_that_runs_ends_the_connection() {
    let fixture = Fixture::new();
    let mut peer = peer(&fixture.server).await;
    let grant = peer.open().await;
    peer.send(&Asking::new(&grant, 1, "Counter.Wait", &()).frame(1)).await;
    fixture.has_begun().await;
    let mut out = Vec::new();
    wire::write_session(&mut out, 1, &SessionFrame::Open);
    peer.send(&out).await;
    let frame = soon(peer.answer()).await.unwrap();
    assert_eq!(frame.kind, wire::Kind::GoAway);
    assert!(soon(peer.answer()).await.is_none(), "and it has ended");
}

/// `[rate.excess]`
#[tokio::test]
async fn a_flood_of_questions_ends_its_connection() {
    let fixture = Fixture::with(Server::builder().ledger(Ledger::volatile()).max_ping_rate(1));
    let mut peer = peer(&fixture.server).await;
    let mut out = Vec::new();
    for seq in 0..100 {
        wire::write_session(&mut out, seq, &SessionFrame::Open);
    }
    peer.send(&out).await;
    let mut last = None;
    while let Some(frame) = soon(peer.answer()).await {
        last = Some(frame);
    }
    let last = last.expect("a go-away");
    let said = wire::GoAwayBody::parse(last.body_slice()).unwrap();
    assert_eq!(said.code, wire::GoAwayCode::TooFast);
}

#[test]
fn a_seed_makes_sessions_the_same() {
    let grants = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let fixture = Fixture::with(Server::builder().ledger(Ledger::volatile().seed(7)));
            let mut peer = peer(&fixture.server).await;
            (peer.open().await, peer.open().await)
        })
    };
    let (first, second) = grants();
    assert_eq!((first, second), grants());
    assert_ne!(first.secret, second.secret);
}

#[tokio::test]
#[should_panic(expected = "a ledger belongs to one server")]
async fn a_ledger_belongs_to_one_server() {
    let builder = Server::builder().ledger(Ledger::volatile());
    let _first = builder.clone().build();
    let _second = builder.build();
}
