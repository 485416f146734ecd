//! A server that follows a script, to the byte.
#![cfg_attr(not(feature = "durable"), allow(dead_code))] // who has no log resumes nothing

use std::time::Duration;

use netrpc::{CallOptions, Client, Reconnect, Semantics};
use netrpc_core::{
    semantics::{Domain, Epoch, Grant, Incarnation, Secret, SessionId, Stamp, Standing, Xid},
    wire::{self, AckFrame, FaultCode, Frame, Kind, RequestHead, SessionFrame, SessionKey},
};
use tokio::{io::DuplexStream, sync::mpsc::UnboundedReceiver};

use crate::common::{Raw, encoded, network::Network, soon};

pub const SECRET: Secret = Secret::new(*b"sixteen letters!");

/// A network with a server on it whose every word is the test's.
pub struct Script {
    pub network: Network,
    incoming: UnboundedReceiver<DuplexStream>,
}

/// The server's end of a connection.
pub struct Peer {
    raw: Raw<DuplexStream>,
}

/// A call that has come.
#[derive(Debug)]
pub struct Asked {
    /// Its number on the connection.
    pub seq: u64,
    pub method: String,
    pub stamp: Stamp,
    pub deadline: Option<Duration>,
    pub body: Vec<u8>,
}

/// What has come.
#[derive(Debug)]
pub enum Heard {
    Call(Asked),
    /// Its number on the connection, and how far it goes.
    Ack(u64, u64),
}

impl Script {
    pub fn new() -> Self {
        let network = Network::default();
        let incoming = network.listen_raw();
        Script { network, incoming }
    }

    /// A client whose calls run at most once.
    pub async fn client(&self) -> Client {
        let builder = Client::builder().reconnect(Reconnect::new().seed(7));
        let client = builder.connect_with(self.network.clone()).await.unwrap();
        client.with(CallOptions::new().semantics(Semantics::AtMostOnce))
    }

    /// A connection whose preface has another bit in this byte.
    #[cfg(feature = "durable")]
    pub async fn damaged(&mut self, byte: usize) {
        let mut raw = Raw::new(soon(self.incoming.recv()).await.expect("the network is there"));
        let mut preface = wire::Preface::OURS.to_bytes();
        preface[byte] ^= 2;
        raw.send(&preface).await;
        soon(raw.rest()).await;
    }

    pub async fn connection(&mut self) -> Peer {
        let mut raw = Raw::new(soon(self.incoming.recv()).await.expect("the network is there"));
        soon(raw.greet()).await;
        Peer { raw }
    }
}

pub fn grant() -> Grant {
    Grant {
        domain: Domain(1),
        epoch: Epoch(1),
        session: SessionId(5),
        incarnation: Incarnation(0),
        secret: SECRET,
        is_durable: false,
        window: 8,
        lease: Duration::from_secs(1800),
        floor: 0,
    }
}

pub fn standing(xid: Xid) -> Standing {
    Standing {
        xid,
        epoch: Epoch(1),
        floor: 0,
        lease_left: Duration::from_secs(1800),
        retry_after: Duration::ZERO,
        is_final: true,
        is_replayed: false,
    }
}

impl Peer {
    pub fn over(raw: Raw<DuplexStream>) -> Self {
        Peer { raw }
    }

    /// The next frame that is no ping, which has to come.
    pub async fn next(&mut self) -> Frame {
        soon(self.raw.answer()).await.expect("the client is there")
    }

    /// The client is to open a session, and gets this one.
    pub async fn grant(&mut self, grant: &Grant) {
        let asked = self.next().await;
        assert_eq!(asked.kind, Kind::Session);
        assert_eq!(SessionFrame::parse(asked.body_slice()), Ok(SessionFrame::Open));
        self.granted(asked.seq, grant).await;
    }

    pub async fn granted(&mut self, seq: u64, grant: &Grant) {
        let mut out = Vec::new();
        wire::write_session(&mut out, seq, &SessionFrame::Granted(*grant));
        self.raw.send(&out).await;
    }

    /// The client is to resume this session, which goes on as `next`.
    pub async fn resume(&mut self, grant: &Grant, next: &Grant) {
        let seq = self.resuming(grant).await;
        self.granted(seq, next).await;
    }

    /// The client is to resume this session, which is not there.
    pub async fn resume_refused(&mut self, grant: &Grant, code: FaultCode) {
        let seq = self.resuming(grant).await;
        self.plain_fault(seq, code, "it is not there").await;
    }

    async fn resuming(&mut self, grant: &Grant) -> u64 {
        let asked = self.next().await;
        assert_eq!(asked.kind, Kind::Session, "{asked:?}");
        let Grant { domain, session, secret, .. } = *grant;
        let key = SessionKey { domain, session, secret };
        assert_eq!(SessionFrame::parse(asked.body_slice()), Ok(SessionFrame::Resume(key)));
        asked.seq
    }

    /// The client is to open a session, and does not get one.
    pub async fn refuse(&mut self, code: FaultCode, text: &str) {
        let asked = self.next().await;
        assert_eq!(SessionFrame::parse(asked.body_slice()), Ok(SessionFrame::Open));
        self.plain_fault(asked.seq, code, text).await;
    }

    /// The next frame is to be a stamped call, proved and with the right fingerprint.
    pub async fn call(&mut self) -> Asked {
        match self.heard().await {
            Heard::Call(asked) => asked,
            Heard::Ack(_, ack) => panic!("up to {ack} is acknowledged"),
        }
    }

    /// The next frame is to be an acknowledgement; gives its number and how far it goes.
    pub async fn ack(&mut self) -> (u64, u64) {
        match self.heard().await {
            Heard::Ack(seq, ack) => (seq, ack),
            Heard::Call(asked) => panic!("{asked:?}"),
        }
    }

    /// The next frame is to be a call or an acknowledgement.
    pub async fn heard(&mut self) -> Heard {
        let frame = self.next().await;
        match frame.kind {
            Kind::Request => Heard::Call(Self::asked(&frame)),
            Kind::Acknowledgement => {
                let said = AckFrame::parse(frame.body_slice()).unwrap();
                let AckFrame::Acknowledge { domain, incarnation, ack, proof, .. } = said else {
                    panic!("no answer: {said:?}")
                };
                assert_eq!(proof, SECRET.prove_ack(domain, incarnation, ack));
                Heard::Ack(frame.seq, ack)
            }
            _ => panic!("{frame:?}"),
        }
    }

    pub fn asked(frame: &Frame) -> Asked {
        let head = RequestHead::parse(frame.head()).unwrap();
        let stamp = head.stamp.expect("it is tracked").decode();
        assert!(stamp.is_proved(&SECRET));
        assert_eq!(stamp.fingerprint, SECRET.fingerprint(head.method, frame.body_slice()));
        Asked {
            seq: frame.seq,
            method: head.method.to_owned(),
            stamp,
            deadline: head.deadline,
            body: frame.body_slice().to_vec(),
        }
    }

    pub async fn reply<R: serde::Serialize>(&mut self, seq: u64, reply: &R, standing: &Standing) {
        let mut out = Vec::new();
        let start = wire::begin(&mut out);
        let head_len = wire::write_standing(&mut out, standing);
        out.extend_from_slice(&encoded(reply));
        wire::finish(&mut out, start, Kind::Reply, head_len, seq, u32::MAX).unwrap();
        self.raw.send(&out).await;
    }

    pub async fn fault(&mut self, seq: u64, code: FaultCode, text: &str, standing: &Standing) {
        let mut out = Vec::new();
        wire::write_fault_standing(&mut out, seq, (code, text, b""), 1 << 20, standing);
        self.raw.send(&out).await;
    }

    pub async fn plain_fault(&mut self, seq: u64, code: FaultCode, text: &str) {
        let mut out = Vec::new();
        wire::write_fault(&mut out, seq, code, text, b"", 1 << 20);
        self.raw.send(&out).await;
    }

    pub async fn confirm(&mut self, seq: u64, grant: &Grant, floor: u64, lease_left: Duration) {
        let Grant { domain, session, epoch, .. } = *grant;
        let mut out = Vec::new();
        wire::write_ack(
            &mut out,
            seq,
            &AckFrame::Confirmed { domain, session, epoch, floor, lease_left },
        );
        self.raw.send(&out).await;
    }

    /// The next frame is to close this session.
    pub async fn closing(&mut self, grant: &Grant) {
        let frame = self.next().await;
        let Grant { domain, session, secret, .. } = *grant;
        let key = SessionKey { domain, session, secret };
        assert_eq!(SessionFrame::parse(frame.body_slice()), Ok(SessionFrame::Close(key)));
    }

    /// Whether nothing at all comes within this time.
    pub async fn is_quiet(&mut self, time: Duration) -> bool {
        self.raw.rest_within(time).await.is_empty()
    }

    /// The next frame; `None` at the end of the stream.
    pub async fn frame(&mut self) -> Option<Frame> {
        soon(self.raw.answer()).await
    }
}
