//! Calls that must not run twice, where no ledger is kept: refused, and nothing else is lost.

mod common;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use common::{Raw, encoded, listen, soon};
use netrpc::{Server, service};
use netrpc_core::{
    semantics::{Domain, Epoch, Incarnation, Secret, Semantics, SessionId, Stamp, Xid},
    wire::{self, AckFrame, FaultCode, Kind, RequestFields, SessionFrame, SessionKey},
};

struct Counter(Arc<AtomicUsize>);

#[service]
impl Counter {
    fn increment(&self, (): (), reply: &mut usize) {
        *reply = self.0.fetch_add(1, Ordering::SeqCst) + 1;
    }
}

/// `[stamp.none]` `[session.none]`
#[tokio::test]
async fn a_server_without_a_ledger_says_so_and_runs_nothing() {
    let runs = Arc::new(AtomicUsize::new(0));
    let server = Server::new();
    server.register(Counter(runs.clone())).unwrap();
    let mut peer = Raw::dial(listen(&server).await).await;

    let (domain, session, incarnation) = (Domain(1), SessionId(1), Incarnation(0));
    let stamp = Stamp {
        xid: Xid { domain, session, seq: 1 },
        epoch: Epoch(1),
        incarnation,
        ack: 0,
        attempt: 1,
        semantics: Semantics::AtMostOnce,
        fingerprint: Secret::new([0; 16]).fingerprint("Counter.Increment", &encoded(&())),
        proof: 0,
    };
    let mut out = Vec::new();
    let start = wire::begin(&mut out);
    let name = "Counter.Increment";
    let head_len = wire::write_request_head(&mut out, name, &RequestFields::default()).unwrap()
        + wire::write_stamp(&mut out, &stamp);
    out.extend_from_slice(&encoded(&()));
    wire::finish(&mut out, start, Kind::Request, head_len, 1, u32::MAX).unwrap();

    let key = SessionKey { domain, session, secret: Secret::new([0; 16]) };
    wire::write_session(&mut out, 2, &SessionFrame::Open);
    wire::write_session(&mut out, 3, &SessionFrame::Resume(key));
    wire::write_session(&mut out, 4, &SessionFrame::Close(key));
    let ack = AckFrame::Acknowledge { domain, session, ack: 1, incarnation, proof: 0 };
    wire::write_ack(&mut out, 5, &ack);
    peer.send(&out).await;
    for seq in 1..=5 {
        let (code, text) = soon(peer.fault(seq)).await;
        assert_eq!(code, FaultCode::Unsupported);
        assert_eq!(
            text,
            "this server keeps no ledger of calls: it has no sessions (ServerBuilder::ledger)"
        );
    }
    // What was not asked is not answered, and what is malformed is.
    let mut out = Vec::new();
    wire::write_session(&mut out, 6, &SessionFrame::Closed);
    for (kind, body) in [(Kind::Session, &b"\x02"[..]), (Kind::Acknowledgement, b"")] {
        let start = wire::begin(&mut out);
        out.extend_from_slice(body);
        wire::finish(&mut out, start, kind, 0, 7, u32::MAX).unwrap();
    }
    peer.send(&out).await;
    for _ in 0..2 {
        assert_eq!(soon(peer.fault(7)).await.0, FaultCode::IllFormed);
    }

    assert_eq!(runs.load(Ordering::SeqCst), 0, "nothing ran");
    peer.request(8, name, &encoded(&())).await;
    assert_eq!(soon(peer.reply::<usize>(8)).await, 1, "the connection goes on");
}
