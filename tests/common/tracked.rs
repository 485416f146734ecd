//! A peer that makes calls which must not run twice, by hand.

use std::time::Duration;

use netrpc::Server;
use netrpc_core::{
    semantics::{Fingerprint, Grant, Semantics, Stamp, Standing, Xid},
    wire::{
        self, AckFrame, FaultBody, FaultCode, Frame, Kind, ReplyHead, RequestFields, SessionFrame,
        SessionKey,
    },
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};

use super::{Raw, encoded};

/// A call as it is sent: what its stamp says can be changed.
pub struct Asking<'a> {
    pub method: &'a str,
    pub body: Vec<u8>,
    pub stamp: Stamp,
    pub deadline: Option<Duration>,
}

impl<'a> Asking<'a> {
    /// Call `seq` of a session.
    pub fn new<A: Serialize + ?Sized>(grant: &Grant, seq: u64, method: &'a str, args: &A) -> Self {
        let body = encoded(args);
        let fingerprint = grant.secret.fingerprint(method, &body);
        Asking { method, stamp: stamp(grant, seq, fingerprint), body, deadline: None }
    }

    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// With something changed in its stamp, which is proved again.
    pub fn with(mut self, grant: &Grant, change: impl FnOnce(&mut Stamp)) -> Self {
        change(&mut self.stamp);
        self.stamp = self.stamp.proved(&grant.secret);
        self
    }

    /// The frame, with this number on its connection.
    pub fn frame(&self, wire_seq: u64) -> Vec<u8> {
        let mut out = Vec::new();
        let start = wire::begin(&mut out);
        let fields = RequestFields { deadline: self.deadline, metadata: None };
        let head_len = wire::write_request_head(&mut out, self.method, &fields).unwrap()
            + wire::write_stamp(&mut out, &self.stamp);
        out.extend_from_slice(&self.body);
        wire::finish(&mut out, start, Kind::Request, head_len, wire_seq, u32::MAX).unwrap();
        out
    }
}

fn stamp(grant: &Grant, seq: u64, fingerprint: Fingerprint) -> Stamp {
    let stamp = Stamp {
        xid: Xid { domain: grant.domain, session: grant.session, seq },
        epoch: grant.epoch,
        incarnation: grant.incarnation,
        ack: 0,
        attempt: 1,
        semantics: Semantics::AtMostOnce,
        fingerprint,
        proof: 0,
    };
    stamp.proved(&grant.secret)
}

/// What was answered to a stamped call.
#[derive(Debug)]
pub struct Answered {
    pub standing: Standing,
    /// The encoded reply, or a fault.
    pub outcome: Result<Vec<u8>, (FaultCode, String)>,
}

impl Answered {
    /// From the frame that answers `wire_seq`.
    pub fn read(frame: &Frame, wire_seq: u64) -> Self {
        assert_eq!(frame.seq, wire_seq, "{frame:?}");
        let head = ReplyHead::parse(frame.head()).expect("a head");
        let standing = head.standing.expect("every answer says how its session stands").decode();
        let body = frame.body_slice();
        let outcome = match frame.kind {
            Kind::Reply => Ok(body.to_vec()),
            Kind::Fault => {
                let fault = FaultBody::parse(body).expect("a fault's body");
                Err((fault.code, fault.message.to_owned()))
            }
            other => panic!("no answer: {other:?}"),
        };
        Answered { standing, outcome }
    }

    /// The reply.
    pub fn reply<R: DeserializeOwned>(&self) -> R {
        match &self.outcome {
            Ok(body) => netrpc_core::codec::decode(body).expect("the reply's type"),
            Err(fault) => panic!("no reply: {fault:?}"),
        }
    }

    /// The fault's code.
    pub fn code(&self) -> FaultCode {
        match &self.outcome {
            Ok(_) => panic!("a reply"),
            Err((code, _)) => *code,
        }
    }

    /// The fault's text.
    pub fn text(&self) -> &str {
        match &self.outcome {
            Ok(_) => panic!("a reply"),
            Err((_, text)) => text,
        }
    }
}

/// A peer of `server`, over a pipe in memory, with prefaces exchanged.
pub async fn peer(server: &Server) -> Raw<DuplexStream> {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let server = server.clone();
    tokio::spawn(async move {
        let _ = server.serve_conn(theirs).await;
    });
    let mut peer = Raw::new(ours);
    peer.greet().await;
    peer
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Raw<IO> {
    /// What is answered to a frame about a session.
    pub async fn ask_session(
        &mut self,
        wire_seq: u64,
        frame: &SessionFrame,
    ) -> Result<SessionFrame, (FaultCode, String)> {
        let mut out = Vec::new();
        wire::write_session(&mut out, wire_seq, frame);
        self.send(&out).await;
        self.session_answer(wire_seq).await
    }

    /// The next frame, which answers a question about a session.
    pub async fn session_answer(
        &mut self,
        wire_seq: u64,
    ) -> Result<SessionFrame, (FaultCode, String)> {
        let frame = self.answer().await.expect("an answer");
        assert_eq!(frame.seq, wire_seq);
        let body = frame.body_slice();
        match frame.kind {
            Kind::Session => Ok(SessionFrame::parse(body).expect("its form")),
            Kind::Fault => {
                let fault = FaultBody::parse(body).expect("a fault's body");
                Err((fault.code, fault.message.to_owned()))
            }
            other => panic!("no answer: {other:?}"),
        }
    }

    /// Opens a session.
    pub async fn open(&mut self) -> Grant {
        match self.ask_session(1 << 40, &SessionFrame::Open).await {
            Ok(SessionFrame::Granted(grant)) => grant,
            other => panic!("not granted: {other:?}"),
        }
    }

    /// Resumes a session.
    pub async fn resume(&mut self, grant: &Grant) -> Grant {
        match self.ask_session(1 << 40, &SessionFrame::Resume(key(grant))).await {
            Ok(SessionFrame::Granted(grant)) => grant,
            other => panic!("not granted: {other:?}"),
        }
    }

    /// Acknowledges calls, and gives the floor that is confirmed.
    pub async fn acknowledge(
        &mut self,
        wire_seq: u64,
        grant: &Grant,
        ack: u64,
    ) -> Result<u64, (FaultCode, String)> {
        let Grant { domain, session, incarnation, .. } = *grant;
        let proof = grant.secret.prove_ack(domain, incarnation, ack);
        let frame = AckFrame::Acknowledge { domain, session, ack, incarnation, proof };
        self.ask_ack(wire_seq, &frame).await
    }

    /// What is answered to a frame that acknowledges.
    pub async fn ask_ack(
        &mut self,
        wire_seq: u64,
        frame: &AckFrame,
    ) -> Result<u64, (FaultCode, String)> {
        let mut out = Vec::new();
        wire::write_ack(&mut out, wire_seq, frame);
        self.send(&out).await;
        let frame = self.answer().await.expect("an answer");
        assert_eq!(frame.seq, wire_seq);
        match frame.kind {
            Kind::Acknowledgement => match AckFrame::parse(frame.body_slice()) {
                Ok(AckFrame::Confirmed { floor, .. }) => Ok(floor),
                other => panic!("{other:?}"),
            },
            Kind::Fault => {
                let fault = FaultBody::parse(frame.body_slice()).expect("a fault's body");
                Err((fault.code, fault.message.to_owned()))
            }
            other => panic!("no answer: {other:?}"),
        }
    }

    /// The next frame, which answers a stamped call.
    pub async fn answered(&mut self, wire_seq: u64) -> Answered {
        Answered::read(&self.answer().await.expect("an answer"), wire_seq)
    }

    /// Sends a stamped call, and waits for its answer.
    pub async fn ask(&mut self, wire_seq: u64, asking: &Asking<'_>) -> Answered {
        self.send(&asking.frame(wire_seq)).await;
        self.answered(wire_seq).await
    }
}

/// What speaks for a session.
pub fn key(grant: &Grant) -> SessionKey {
    SessionKey { domain: grant.domain, session: grant.session, secret: grant.secret }
}
