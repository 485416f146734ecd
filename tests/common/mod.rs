//! What several test files need: servers on loopback, and peers that speak raw bytes.
#![allow(dead_code, unreachable_pub)] // each test file uses its own part

pub mod lossy;
pub mod network;
pub mod tracked;

use std::{future::poll_fn, net::SocketAddr, pin::Pin, task::Poll, time::Duration};

use bytes::BytesMut;
use netrpc::{Client, Server};
use netrpc_core::wire::{self, Frame, FrameDecoder, Incoming, Kind, Preface, RequestFields};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Serves on a loopback port until the runtime ends.
pub async fn listen(server: &Server) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
    let addr = listener.local_addr().expect("it is bound");
    tokio::spawn(server.serve(listener));
    addr
}

/// A client of `server` over TCP.
pub async fn dial(server: &Server) -> Client {
    Client::dial(listen(server).await).await.expect("it listens")
}

/// A client of `server` over a pipe in memory, for tests that pause time.
pub fn pipe(server: &Server) -> Client {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let server = server.clone();
    tokio::spawn(async move {
        let _ = server.serve_conn(theirs).await;
    });
    Client::new(ours)
}

/// A peer that writes and reads frames by hand.
pub struct Raw<IO> {
    pub io: IO,
    decoder: FrameDecoder,
    input: BytesMut,
}

impl Raw<TcpStream> {
    /// Connected, with prefaces exchanged.
    pub async fn dial(addr: SocketAddr) -> Self {
        let mut raw = Raw::new(TcpStream::connect(addr).await.expect("it listens"));
        raw.greet().await;
        raw
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Raw<IO> {
    pub fn new(io: IO) -> Self {
        Raw { io, decoder: FrameDecoder::new(u32::MAX), input: BytesMut::new() }
    }

    /// Exchanges prefaces.
    pub async fn greet(&mut self) {
        self.send(&Preface::OURS.to_bytes()).await;
        self.expect_preface().await;
    }

    pub async fn expect_preface(&mut self) {
        while self.input.len() < wire::PREFACE_LEN {
            assert!(self.fill().await > 0, "the stream ended before the preface");
        }
        let preface = self.input.split_to(wire::PREFACE_LEN);
        assert_eq!(Preface::parse(&preface), Ok(Some(Preface::OURS)));
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.io.write_all(bytes).await.expect("the peer reads");
    }

    /// Sends a request with an encoded body.
    pub async fn request(&mut self, seq: u64, method: &str, body: &[u8]) {
        self.send(&request(seq, method, body)).await;
    }

    /// The next frame; `None` at the end of the stream.
    pub async fn frame(&mut self) -> Option<Frame> {
        loop {
            match self.decoder.next(&mut self.input).expect("whole frames") {
                Some(Incoming::Frame(frame)) => return Some(frame),
                Some(Incoming::Oversized { .. }) => unreachable!("there is no limit"),
                None => {}
            }
            if self.fill().await == 0 {
                return None;
            }
        }
    }

    /// The next frame that is no ping.
    pub async fn answer(&mut self) -> Option<Frame> {
        loop {
            match self.frame().await {
                Some(frame) if frame.kind == Kind::Ping => {}
                frame => return frame,
            }
        }
    }

    /// The next frame, which is a fault of this call: its code and text.
    pub async fn fault(&mut self, seq: u64) -> (wire::FaultCode, String) {
        let frame = self.answer().await.expect("a fault");
        assert_eq!((frame.kind, frame.seq), (Kind::Fault, seq));
        let body = frame.body();
        let fault = wire::FaultBody::parse(&body).expect("a fault's body");
        (fault.code, fault.message.to_owned())
    }

    /// The next frame, which is the reply to this call.
    pub async fn reply<R: serde::de::DeserializeOwned>(&mut self, seq: u64) -> R {
        let frame = self.answer().await.expect("a reply");
        assert_eq!((frame.kind, frame.seq), (Kind::Reply, seq));
        netrpc_core::codec::decode(frame.body_slice()).expect("the reply's type")
    }

    /// Everything until the stream ends; a reset counts as its end.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.fill().await > 0 {}
        self.input.split().to_vec()
    }

    /// Everything that comes within this time.
    pub async fn rest_within(&mut self, time: Duration) -> Vec<u8> {
        let _ = tokio::time::timeout(time, async { while self.fill().await > 0 {} }).await;
        self.input.split().to_vec()
    }

    async fn fill(&mut self) -> usize {
        self.io.read_buf(&mut self.input).await.unwrap_or(0)
    }
}

/// The bytes of a request.
pub fn request(seq: u64, method: &str, body: &[u8]) -> Vec<u8> {
    request_with(seq, method, &RequestFields::default(), body)
}

/// The bytes of a request with fields.
pub fn request_with(seq: u64, method: &str, fields: &RequestFields<'_>, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let start = wire::begin(&mut out);
    let head_len = wire::write_request_head(&mut out, method, fields).expect("a proper head");
    out.extend_from_slice(body);
    wire::finish(&mut out, start, Kind::Request, head_len, seq, u32::MAX).expect("no limit");
    out
}

/// A value as it crosses the wire.
pub fn encoded<T: serde::Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    netrpc_core::codec::encode(&mut out, value).expect("it can be encoded");
    out
}

/// Fails a test that would hang.
pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it took too long")
}

/// Polls a future once.
pub async fn poll_once<F: Future + Unpin>(mut future: F) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(Pin::new(&mut future).poll(cx))).await
}

/// A small generator of numbers, the same for the same seed: xorshift64*, by Marsaglia and Vigna.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        // Near seeds have far states, and none has 0.
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| (self.next() >> 32) as u8).collect()
    }
}
