//! What the client says to the byte, and what it makes of each word of its server.

use std::time::Duration;

use netrpc::{CallOptions, Client, Error, Refusal, Semantics};
use netrpc_core::{
    semantics::{Domain, Epoch, Grant, SessionId, Standing},
    wire::{FaultCode, Kind, SessionFrame},
};
use tokio::{task::JoinHandle, time::Instant};

use crate::{
    common::soon,
    script::{Heard, Peer, Script, grant, standing},
};

const HOUR: Duration = Duration::from_secs(3600);

fn call(client: &Client, n: u64) -> JoinHandle<Result<u64, Error>> {
    let client = client.clone();
    tokio::spawn(async move { client.call::<_, u64>("Bank.Debit", &n).await })
}

/// A client with a session, and its server.
async fn opened(script: &mut Script, grant: &Grant) -> (Client, Peer) {
    let client = script.client().await;
    let first = call(&client, 0);
    let mut peer = script.connection().await;
    peer.grant(grant).await;
    let asked = peer.call().await;
    let told = Standing { epoch: grant.epoch, ..standing(asked.stamp.xid) };
    peer.reply(asked.seq, &0u64, &told).await;
    assert_eq!(soon(first).await.unwrap().unwrap(), 0);
    (client, peer)
}

#[tokio::test(start_paused = true)]
async fn a_session_is_opened_once_for_all_who_wait() {
    let mut script = Script::new();
    let client = script.client().await;
    let calling: Vec<_> = (0..3).map(|n| call(&client, n)).collect();
    let going = client.go::<_, u64>("Bank.Debit", &3);
    let mut peer = script.connection().await;
    peer.grant(&grant()).await;
    let mut seqs = Vec::new();
    for _ in 0..4 {
        let asked = peer.call().await;
        assert_eq!((asked.stamp.attempt, asked.stamp.ack), (1, 0));
        assert_eq!((asked.stamp.xid.domain, asked.stamp.xid.session), (Domain(1), SessionId(5)));
        assert_eq!(asked.stamp.semantics, Semantics::AtMostOnce);
        assert_eq!((&*asked.method, asked.deadline), ("Bank.Debit", None));
        let n: u64 = netrpc_core::codec::decode(&asked.body).unwrap();
        seqs.push(asked.stamp.xid.seq);
        peer.reply(asked.seq, &(n + 10), &standing(asked.stamp.xid)).await;
    }
    seqs.sort_unstable();
    assert_eq!(seqs, [1, 2, 3, 4], "numbered without gaps");
    for (n, calling) in (10..).zip(calling) {
        assert_eq!(soon(calling).await.unwrap().unwrap(), n);
    }
    assert_eq!(soon(going).await.unwrap(), 13);
}

/// Request or reply lost, and duplicated by being sent again.
#[tokio::test(start_paused = true)]
async fn what_is_sent_again_is_the_same_call() {
    let mut script = Script::new();
    let (client, mut peer) = opened(&mut script, &grant()).await;
    let exactly = CallOptions::new().semantics(Semantics::ExactlyOnce);
    let calling = call(&client.with(exactly), 7);
    let first = peer.call().await;
    assert_eq!((first.stamp.attempt, first.stamp.semantics), (1, Semantics::ExactlyOnce));
    for attempt in 2..5 {
        drop(peer);
        peer = script.connection().await;
        // No other session: the next frame is the call.
        let again = peer.call().await;
        assert_eq!(again.stamp.attempt, attempt);
        assert_eq!(again.stamp.xid, first.stamp.xid);
        assert_eq!(again.stamp.fingerprint, first.stamp.fingerprint);
        assert_eq!(again.body, first.body);
        if attempt == 4 {
            peer.reply(again.seq, &8u64, &standing(again.stamp.xid)).await;
        }
    }
    assert_eq!(soon(calling).await.unwrap().unwrap(), 8);
}

#[tokio::test(start_paused = true)]
async fn an_acknowledgement_rides_on_the_next_call_and_alone_after_a_second() {
    let mut script = Script::new();
    let (client, mut peer) = opened(&mut script, &grant()).await;
    let calling = call(&client, 1);
    let asked = peer.call().await;
    assert_eq!((asked.stamp.xid.seq, asked.stamp.ack), (2, 1));
    let told = Standing { floor: 1, ..standing(asked.stamp.xid) };
    peer.reply(asked.seq, &1u64, &told).await;
    soon(calling).await.unwrap().unwrap();
    let settled = Instant::now();
    let (seq, ack) = peer.ack().await;
    assert_eq!((ack, settled.elapsed().as_millis() / 10), (2, 100));
    peer.confirm(seq, &grant(), 2, grant().lease).await;
    assert!(peer.is_quiet(HOUR).await, "an idle client sends nothing");
}

/// An acknowledgement that was lost with its connection goes to the next, which is not made for it.
#[tokio::test(start_paused = true)]
async fn no_connection_is_made_for_an_acknowledgement() {
    let mut script = Script::new();
    let (client, peer) = opened(&mut script, &grant()).await;
    drop(peer);
    tokio::time::sleep(HOUR / 4).await;
    assert_eq!(script.network.connected(), 1);
    // Calls of other kinds do not carry it.
    let maybe = client.with(CallOptions::new().semantics(Semantics::Maybe).wait_for_ready(true));
    let calling = call(&maybe, 1);
    let mut peer = script.connection().await;
    let request = peer.next().await;
    peer.plain_fault(request.seq, FaultCode::Method, "no").await;
    soon(calling).await.unwrap().unwrap_err();
    assert_eq!(peer.ack().await.1, 1);
}

#[tokio::test(start_paused = true)]
async fn half_a_window_is_acknowledged_at_once() {
    let mut script = Script::new();
    let (client, mut peer) = opened(&mut script, &grant()).await;
    let calling: Vec<_> = (0..4).map(|n| call(&client, n)).collect();
    let mut asked = Vec::new();
    for _ in 0..4 {
        asked.push(peer.call().await);
    }
    for asked in asked {
        peer.reply(asked.seq, &0u64, &standing(asked.stamp.xid)).await;
    }
    for calling in calling {
        soon(calling).await.unwrap().unwrap();
    }
    let settled = Instant::now();
    let (_, ack) = peer.ack().await;
    assert_eq!((ack, settled.elapsed()), (5, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn where_the_window_is_full_calls_wait_and_go_fails() {
    let mut script = Script::new();
    let grant = Grant { window: 4, ..grant() };
    let (client, mut peer) = opened(&mut script, &grant).await;
    // The first call is not confirmed: there is room for three.
    let calling: Vec<_> = (0..3).map(|n| call(&client, n)).collect();
    let mut asked = Vec::new();
    for _ in 0..3 {
        asked.push(peer.call().await);
    }
    let error = client.go::<_, u64>("Bank.Debit", &9).await.unwrap_err();
    assert!(matches!(error, Error::TooManyCalls { in_flight: 4, limit: 4 }), "{error:?}");
    assert!(!error.may_have_run());
    let hurried = client.with(CallOptions::new().timeout(Duration::from_secs(1)));
    let error = soon(call(&hurried, 9)).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Deadline { may_have_run: false }), "{error:?}");
    let waiting: Vec<_> = (10..12).map(|n| call(&client, n)).collect();
    // The last is answered first: nothing can be acknowledged.
    let last = asked.pop().unwrap();
    peer.reply(last.seq, &0u64, &standing(last.stamp.xid)).await;
    assert!(peer.is_quiet(Duration::from_millis(1)).await, "they wait");
    // What they wait for is acknowledged at once, not after a second.
    let then = Instant::now();
    for asked in &asked {
        peer.reply(asked.seq, &0u64, &standing(asked.stamp.xid)).await;
    }
    let (mut confirmed, mut late) = (0, Vec::new());
    while late.len() < 2 {
        match peer.heard().await {
            Heard::Call(asked) => {
                peer.reply(asked.seq, &0u64, &standing(asked.stamp.xid)).await;
                late.push(asked.stamp.xid.seq);
                assert!(late.len() as u64 <= confirmed, "no more than there is room for");
            }
            Heard::Ack(seq, ack) => {
                confirmed = ack;
                peer.confirm(seq, &grant, ack, grant.lease).await;
            }
        }
    }
    assert_eq!(late, [5, 6]);
    assert_eq!(then.elapsed(), Duration::ZERO);
    for calling in calling.into_iter().chain(waiting) {
        soon(calling).await.unwrap().unwrap();
    }
}

/// What becomes of a call after each answer, as the first and as a later one.
#[tokio::test(start_paused = true)]
async fn each_refusal_is_told_for_what_it_is() {
    #[derive(Debug, PartialEq, Clone, Copy)]
    enum Told {
        Unknown,
        ReplyLost,
        Refused(Refusal),
        Method,
        /// Another call, in another session.
        Anew,
        /// The same call.
        Again,
    }
    use Told::{Again, Anew, ReplyLost, Unknown};
    // Final answers: the first attempt's, and that of one after a loss.
    let table = [
        (FaultCode::WrongDomain, Anew, Unknown),
        (FaultCode::WrongEpoch, Anew, Unknown),
        (FaultCode::SessionExpired, Anew, Unknown),
        (FaultCode::SessionUnknown, Anew, Unknown),
        (FaultCode::Fenced, Told::Refused(Refusal::Fenced), Unknown),
        (FaultCode::Stale, Unknown, Unknown),
        (FaultCode::XidMisuse, Told::Refused(Refusal::NotYours), Unknown),
        (FaultCode::NotYours, Told::Refused(Refusal::NotYours), Unknown),
        (FaultCode::OutcomeUnknown, Unknown, Unknown),
        (FaultCode::ReplyDropped, ReplyLost, ReplyLost),
        (FaultCode::Pending, Again, Again),
        (FaultCode::AskAgain, Again, Again),
        (FaultCode::Method, Told::Method, Told::Method),
        // The ledger says so, and it would know of an earlier attempt.
        (
            FaultCode::BadArguments,
            Told::Refused(Refusal::BadArguments),
            Told::Refused(Refusal::BadArguments),
        ),
    ];
    for (code, first, later) in table {
        for (is_later, expected) in [(false, first), (true, later)] {
            let mut script = Script::new();
            let (client, mut peer) = opened(&mut script, &grant()).await;
            let calling = call(&client, 1);
            let mut asked = peer.call().await;
            if is_later {
                drop(peer);
                peer = script.connection().await;
                asked = peer.call().await;
            }
            let is_final = !matches!(code, FaultCode::Pending | FaultCode::AskAgain);
            let told = Standing { is_final, ..standing(asked.stamp.xid) };
            peer.fault(asked.seq, code, "why", &told).await;
            let what = format!("{code:?}, later: {is_later}");
            match expected {
                Anew => {
                    let other = Grant { session: SessionId(6), ..grant() };
                    peer.grant(&other).await;
                    let anew = peer.call().await;
                    assert_eq!((anew.stamp.xid.session, anew.stamp.xid.seq), (SessionId(6), 1));
                    assert_eq!(anew.stamp.attempt, 1, "{what}");
                    peer.reply(anew.seq, &1u64, &standing(anew.stamp.xid)).await;
                    assert_eq!(soon(calling).await.unwrap().unwrap(), 1, "{what}");
                    continue;
                }
                Again => {
                    let again = peer.call().await;
                    assert_eq!(again.stamp.xid, asked.stamp.xid, "{what}");
                    assert_eq!(again.stamp.attempt, asked.stamp.attempt + 1, "{what}");
                    continue;
                }
                Unknown | ReplyLost | Told::Refused(_) | Told::Method => {}
            }
            let error = soon(calling).await.unwrap().unwrap_err();
            assert!(error.to_string().contains("why"), "{error}");
            let (told, may_have_run) = match &error {
                Error::OutcomeUnknown(_) => (Unknown, true),
                Error::ReplyLost(_) => (ReplyLost, true),
                Error::Refused { refusal, .. } => (Told::Refused(*refusal), false),
                Error::Method(_) => (Told::Method, true),
                error => panic!("{what}: {error:?}"),
            };
            assert_eq!(told, expected, "{what}");
            assert_eq!(error.may_have_run(), may_have_run, "{what}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_server_says_when_to_ask_again() {
    let mut script = Script::new();
    let (client, mut peer) = opened(&mut script, &grant()).await;
    let calling = call(&client, 1);
    let first = peer.call().await;
    let retry_after = Duration::from_secs(3);
    let mut seq = first.seq;
    for code in [FaultCode::AskAgain, FaultCode::Pending, FaultCode::Overloaded] {
        let told = Standing { is_final: false, retry_after, ..standing(first.stamp.xid) };
        let then = Instant::now();
        peer.fault(seq, code, "not now", &told).await;
        let again = peer.call().await;
        assert_eq!(again.stamp.xid, first.stamp.xid);
        let waited = then.elapsed();
        assert!(waited >= retry_after && waited < 2 * retry_after, "{code:?}: {waited:?}");
        seq = again.seq;
    }
    peer.reply(seq, &1u64, &standing(first.stamp.xid)).await;
    assert_eq!(soon(calling).await.unwrap().unwrap(), 1);
}

/// A method's own word that it has too much to do is what it has come to.
#[tokio::test(start_paused = true)]
async fn a_recorded_outcome_is_an_outcome() {
    let mut script = Script::new();
    let (client, mut peer) = opened(&mut script, &grant()).await;
    let calling = call(&client, 1);
    let asked = peer.call().await;
    peer.fault(asked.seq, FaultCode::Overloaded, "no", &standing(asked.stamp.xid)).await;
    let error = soon(calling).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Refused { refusal: Refusal::Overloaded, .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_lives_again_is_believed() {
    let mut script = Script::new();
    let (client, mut peer) = opened(&mut script, &grant()).await;
    let calling = call(&client, 1);
    let asked = peer.call().await;
    assert_eq!(asked.stamp.epoch, Epoch(1));
    let told = Standing { epoch: Epoch(2), ..standing(asked.stamp.xid) };
    peer.reply(asked.seq, &1u64, &told).await;
    soon(calling).await.unwrap().unwrap();
    let _calling = call(&client, 2);
    assert_eq!(peer.call().await.stamp.epoch, Epoch(2));
}

#[tokio::test(start_paused = true)]
async fn a_session_is_renewed_before_it_ends() {
    let mut script = Script::new();
    let (client, mut peer) = opened(&mut script, &grant()).await;
    let (seq, _) = peer.ack().await;
    peer.confirm(seq, &grant(), 1, grant().lease).await;
    tokio::time::sleep(grant().lease - Duration::from_secs(59)).await;
    let calling = call(&client, 1);
    // No call begins in what may be its last minute.
    let (seq, ack) = peer.ack().await;
    assert_eq!(ack, 1);
    peer.confirm(seq, &grant(), 1, grant().lease).await;
    let asked = peer.call().await;
    assert_eq!((asked.stamp.xid.session, asked.stamp.xid.seq), (SessionId(5), 2));
    peer.reply(asked.seq, &1u64, &standing(asked.stamp.xid)).await;
    soon(calling).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn after_the_end_of_a_session_there_is_another() {
    for code in [Some(FaultCode::SessionExpired), None] {
        let mut script = Script::new();
        let (client, mut peer) = opened(&mut script, &grant()).await;
        let (seq, _) = peer.ack().await;
        peer.confirm(seq, &grant(), 1, grant().lease).await;
        tokio::time::sleep(2 * grant().lease).await;
        let calling = call(&client, 1);
        let (seq, _) = peer.ack().await;
        match code {
            Some(code) => peer.plain_fault(seq, code, "it has ended").await,
            // It has not ended yet, and will not live longer.
            None => peer.confirm(seq, &grant(), 1, Duration::ZERO).await,
        }
        let other = Grant { session: SessionId(6), ..grant() };
        peer.grant(&other).await;
        let mut frame = peer.next().await;
        if code.is_none() {
            assert_eq!(frame.kind, Kind::Session, "the old one is let go of");
            frame = peer.next().await;
        }
        assert_eq!(frame.kind, Kind::Request);
        drop(calling);
    }
}

/// A call that was given up is acknowledged, and then it never begins.
#[tokio::test(start_paused = true)]
async fn a_call_that_is_given_up_is_settled_and_one_that_is_detached_is_not() {
    for how in ["dropped", "too late", "detached", "awaited later"] {
        let mut script = Script::new();
        let (client, mut peer) = opened(&mut script, &grant()).await;
        let hurried = client.with(CallOptions::new().timeout(Duration::from_secs(5)));
        let mut going = match how {
            "too late" => hurried.go::<_, u64>("Bank.Debit", &1),
            _ => client.go::<_, u64>("Bank.Debit", &1),
        };
        let asked = peer.call().await;
        assert_eq!(asked.stamp.xid.seq, 2);
        let mut kept = None;
        match how {
            "dropped" => drop(going),
            "detached" => going.detach(),
            "too late" => {
                let error = soon(going).await.unwrap_err();
                assert!(matches!(error, Error::Deadline { may_have_run: true }), "{error:?}");
            }
            _ => {
                tokio::time::timeout(Duration::from_secs(5), &mut going).await.unwrap_err();
                kept = Some(going);
            }
        }
        let is_given_up = matches!(how, "dropped" | "too late");
        if is_given_up {
            let cancel = peer.next().await;
            assert_eq!((cancel.kind, cancel.seq), (Kind::Cancel, asked.seq), "{how}");
            assert_eq!(peer.ack().await.1, 2, "{how}");
        } else {
            assert!(peer.is_quiet(Duration::from_secs(20)).await, "{how}");
            peer.reply(asked.seq, &7u64, &standing(asked.stamp.xid)).await;
            assert_eq!(peer.ack().await.1, 2, "{how}");
        }
        if let Some(going) = kept {
            assert_eq!(soon(going).await.unwrap(), 7);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_closed_closes_its_session() {
    let mut script = Script::new();
    let (client, mut peer) = opened(&mut script, &grant()).await;
    let pending = call(&client, 1);
    peer.call().await;
    soon(client.close()).await;
    peer.closing(&grant()).await;
    assert!(peer.frame().await.is_none(), "that was the last word");
    let error = soon(pending).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Shutdown { may_have_run: true, .. }), "{error:?}");
    let error = soon(call(&client, 2)).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Shutdown { may_have_run: false, .. }), "{error:?}");
    assert_eq!(script.network.connected(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_without_a_ledger_is_an_error_and_one_that_is_busy_is_waited_for() {
    let mut script = Script::new();
    let client = script.client().await;
    let calling = call(&client, 1);
    let mut peer = script.connection().await;
    peer.refuse(FaultCode::Unsupported, "this server keeps no ledger").await;
    let error = soon(calling).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Refused { refusal: Refusal::Unsupported, .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        "no session for calls that run once: this server keeps no ledger"
    );
    // It is asked anew for the next call.
    let calling = call(&client, 1);
    for _ in 0..5 {
        peer.refuse(FaultCode::AskAgain, "too many sessions").await;
    }
    peer.grant(&grant()).await;
    let asked = peer.call().await;
    peer.reply(asked.seq, &1u64, &standing(asked.stamp.xid)).await;
    assert_eq!(soon(calling).await.unwrap().unwrap(), 1);
}

/// Who waits for a session waits within its own time, and nobody asks when nobody waits.
#[tokio::test(start_paused = true)]
async fn a_session_is_waited_for_no_longer_than_a_call_may_take() {
    let mut script = Script::new();
    let client = script.client().await;
    let hurried = client.with(CallOptions::new().timeout(Duration::from_secs(1)));
    let calling = call(&hurried, 1);
    let mut peer = script.connection().await;
    let asked = peer.next().await;
    assert_eq!(SessionFrame::parse(asked.body_slice()), Ok(SessionFrame::Open));
    let error = soon(calling).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Deadline { may_have_run: false }), "{error:?}");
    drop(peer);
    tokio::time::sleep(HOUR).await;
    assert_eq!(script.network.connected(), 1, "nobody needs a session any more");
    let calling = call(&client, 2);
    let mut peer = script.connection().await;
    peer.grant(&grant()).await;
    let asked = peer.call().await;
    assert_eq!(asked.stamp.xid.seq, 1);
    peer.reply(asked.seq, &1u64, &standing(asked.stamp.xid)).await;
    soon(calling).await.unwrap().unwrap();
}

/// On one connection a call ends with it.
#[tokio::test(start_paused = true)]
async fn a_client_of_one_connection_has_a_session_for_its_life() {
    let (ours, theirs) = tokio::io::duplex(64 << 10);
    let client = Client::new(ours).with(CallOptions::new().semantics(Semantics::AtMostOnce));
    let mut raw = crate::common::Raw::new(theirs);
    raw.greet().await;
    let mut peer = Peer::over(raw);
    let calling = call(&client, 1);
    peer.grant(&grant()).await;
    let first = peer.call().await;
    let told = Standing { is_final: false, ..standing(first.stamp.xid) };
    peer.fault(first.seq, FaultCode::AskAgain, "not now", &told).await;
    let again = peer.call().await;
    assert_eq!((again.stamp.xid, again.stamp.attempt), (first.stamp.xid, 2));
    peer.reply(again.seq, &1u64, &standing(first.stamp.xid)).await;
    assert_eq!(soon(calling).await.unwrap().unwrap(), 1);
    let calling = call(&client, 2);
    peer.call().await;
    drop(peer);
    let error = soon(calling).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Shutdown { may_have_run: true, .. }), "{error:?}");
    let error = soon(call(&client, 3)).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Shutdown { may_have_run: false, .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
#[cfg(feature = "go")]
async fn gos_protocols_cannot_carry_it() {
    let (ours, _theirs) = tokio::io::duplex(64 << 10);
    let client = Client::builder().wire(netrpc::Wire::Gob).connect(ours);
    let client = client.with(CallOptions::new().semantics(Semantics::AtMostOnce));
    let error = soon(call(&client, 1)).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Refused { refusal: Refusal::Unsupported, .. }), "{error:?}");
    let error = client.go::<_, u64>("Bank.Debit", &1).await.unwrap_err();
    assert!(error.to_string().starts_with("Go's protocols cannot carry"), "{error}");
}

/// A session that is over when it is granted is not asked for again and again.
#[tokio::test(start_paused = true)]
async fn a_server_whose_sessions_end_at_once_is_not_flooded() {
    let mut script = Script::new();
    let client = script.client().await;
    let hurried = client.with(CallOptions::new().timeout(Duration::from_secs(20)));
    let calling = call(&hurried, 1);
    let mut peer = script.connection().await;
    let over = Grant { lease: Duration::ZERO, ..grant() };
    let mut opened = 0;
    let error = loop {
        let answering = async {
            let frame = peer.next().await;
            match frame.kind {
                Kind::Session => match SessionFrame::parse(frame.body_slice()).unwrap() {
                    SessionFrame::Open => {
                        opened += 1;
                        peer.granted(frame.seq, &over).await;
                    }
                    SessionFrame::Close(_) => {}
                    other => panic!("{other:?}"),
                },
                Kind::Acknowledgement => {
                    peer.confirm(frame.seq, &over, 0, Duration::ZERO).await;
                }
                kind => panic!("{kind:?}"),
            }
        };
        tokio::select! {
            biased;
            () = answering => {}
            () = tokio::time::sleep(Duration::from_secs(15)) => {
                break soon(calling).await.unwrap().unwrap_err();
            }
        }
    };
    assert!(matches!(error, Error::Deadline { may_have_run: false }), "{error:?}");
    assert!((3..30).contains(&opened), "{opened}");
}

/// Nobody holds the client or a call any more: the session is closed, and then the connection.
#[tokio::test(start_paused = true)]
async fn a_client_that_is_dropped_closes_its_session() {
    let mut script = Script::new();
    let (client, mut peer) = opened(&mut script, &grant()).await;
    // What is detached goes on, and holds the session.
    client.go::<_, u64>("Bank.Debit", &1).detach();
    let asked = peer.call().await;
    drop(client);
    assert!(peer.is_quiet(Duration::from_secs(10)).await);
    peer.reply(asked.seq, &1u64, &standing(asked.stamp.xid)).await;
    peer.closing(&grant()).await;
    assert_eq!(peer.next().await.kind, Kind::GoAway);
    assert!(peer.frame().await.is_none());

    let (ours, theirs) = tokio::io::duplex(64 << 10);
    let client = Client::new(ours).with(CallOptions::new().semantics(Semantics::AtMostOnce));
    let mut raw = crate::common::Raw::new(theirs);
    raw.greet().await;
    let mut peer = Peer::over(raw);
    let calling = call(&client, 1);
    drop(client);
    peer.grant(&grant()).await;
    let asked = peer.call().await;
    peer.reply(asked.seq, &1u64, &standing(asked.stamp.xid)).await;
    assert_eq!(soon(calling).await.unwrap().unwrap(), 1);
    peer.closing(&grant()).await;
    assert_eq!(peer.next().await.kind, Kind::GoAway);
}
