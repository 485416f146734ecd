//! The floors: an echo on bare tokio TCP, with frames of a 4-byte length and a body.
//!
//! [`Pipelined`] does what cannot be left out if calls of many tasks share a connection, as cheaply
//! as tokio allows: one task per side reads what is there, and a batch of frames leaves in one
//! write. There are no names, no encoding, no cancellation, no limits, and replies come in the
//! order of the requests. [`Naive`] is the same with a write for every message.

use std::{collections::VecDeque, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail};
use bytes::{Buf, Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Notify, oneshot},
    task::yield_now,
};

use super::{Caller, Peer, tcp};

/// The length in front of every body.
const HEADER: usize = 4;

/// Room for a read, at first, and how far it is doubled; memory that nothing is read into is not resident.
const ROOM: (usize, usize) = (64 * 1024, 256 * 1024);

/// One write per batch.
pub enum Pipelined {}

/// One write per message.
pub enum Naive {}

impl Peer for Pipelined {
    type Client = PipelinedClient;

    async fn serve(listener: TcpListener) -> Result<()> {
        loop {
            let stream = tcp::accept(&listener).await?;
            // A connection ends when its client does.
            tokio::spawn(async move { answer_batches(stream).await.ok() });
        }
    }

    async fn connect(addr: SocketAddr) -> Result<PipelinedClient> {
        let (read, write) = tcp::dial(addr).await?.into_split();
        let shared = Arc::new(Shared::default());
        tokio::spawn(write_batches(shared.clone(), write));
        tokio::spawn(read_replies(shared.clone(), read));
        Ok(PipelinedClient { shared })
    }
}

impl Peer for Naive {
    type Client = NaiveClient;

    async fn serve(listener: TcpListener) -> Result<()> {
        loop {
            let stream = tcp::accept(&listener).await?;
            tokio::spawn(async move { answer_each(stream).await.ok() });
        }
    }

    async fn connect(addr: SocketAddr) -> Result<NaiveClient> {
        let (read, write) = tcp::dial(addr).await?.into_split();
        let shared = Arc::new(Shared::default());
        tokio::spawn(read_replies(shared.clone(), read));
        Ok(NaiveClient { shared, write: Arc::new(tokio::sync::Mutex::new(write)) })
    }
}

async fn answer_batches(mut stream: TcpStream) -> Result<()> {
    let mut input = Input::new();
    loop {
        if !input.fill(&mut stream).await? {
            return Ok(());
        }
        let mut whole = 0;
        while let Some(frame) = frame_len(&input.bytes[whole..]) {
            whole += frame;
        }
        if whole > 0 {
            stream.write_all(&input.bytes[..whole]).await?;
            input.bytes.advance(whole);
        }
    }
}

async fn answer_each(mut stream: TcpStream) -> Result<()> {
    let mut input = Input::new();
    loop {
        if !input.fill(&mut stream).await? {
            return Ok(());
        }
        while let Some(frame) = frame_len(&input.bytes) {
            stream.write_all(&input.bytes[..frame]).await?;
            input.bytes.advance(frame);
        }
    }
}

/// Bytes that have been read and are not handled yet.
struct Input {
    bytes: BytesMut,
    /// How much room a read finds, at least half of it: doubled by a read that fills it all, and
    /// enough for the longest frame so far.
    room: usize,
}

impl Input {
    fn new() -> Self {
        Input { bytes: BytesMut::new(), room: ROOM.0 }
    }

    /// Reads what there is; `false` at the end of the stream.
    async fn fill(&mut self, stream: &mut (impl AsyncReadExt + Unpin)) -> Result<bool> {
        let bytes = &mut self.bytes;
        let frame = body_len(bytes).map_or(0, |body| HEADER + body);
        let rest = frame.saturating_sub(bytes.len());
        let spare = bytes.capacity() - bytes.len();
        if spare < rest.max(self.room / 2) {
            bytes.reserve(rest.max(self.room));
        }
        let offered = bytes.capacity() - bytes.len();
        let read = stream.read_buf(bytes).await?;
        if read == offered && self.room < ROOM.1 {
            self.room *= 2;
        }
        self.room = self.room.max(frame);
        Ok(read > 0)
    }
}

/// The length of the body whose frame `input` begins with.
fn body_len(input: &[u8]) -> Option<usize> {
    let header = input.first_chunk::<HEADER>()?;
    Some(u32::from_le_bytes(*header) as usize)
}

/// The length of the frame that `input` begins with, if it is whole.
fn frame_len(input: &[u8]) -> Option<usize> {
    let frame = HEADER + body_len(input)?;
    (frame <= input.len()).then_some(frame)
}

fn push_frame(out: &mut Vec<u8>, body: &[u8]) -> Result<()> {
    let length = u32::try_from(body.len()).context("a frame of 4 GiB")?;
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(body);
    Ok(())
}

/// What the callers of a connection and its tasks share.
#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Told when the outbox is not empty any more.
    filled: Notify,
}

#[derive(Default)]
struct Queue {
    /// Frames to be written; the naive floor has none.
    outbox: Vec<u8>,
    /// Who waits for the replies, in their order.
    waiting: VecDeque<oneshot::Sender<Reply>>,
}

/// The body of a reply.
enum Reply {
    /// Of a multiplication: copied, which costs less than sharing the buffer.
    Small([u8; 16]),
    /// A share of the buffer it was read into.
    Large(Bytes),
}

/// The client of [`Pipelined`].
#[derive(Clone)]
pub struct PipelinedClient {
    shared: Arc<Shared>,
}

impl PipelinedClient {
    async fn call(&self, body: &[u8]) -> Result<Reply> {
        let (sender, receiver) = oneshot::channel();
        let first = {
            let mut queue = self.shared.queue.lock();
            let first = queue.outbox.is_empty();
            push_frame(&mut queue.outbox, body)?;
            queue.waiting.push_back(sender);
            first
        };
        if first {
            self.shared.filled.notify_one();
        }
        receiver.await.context("the connection has ended")
    }
}

/// The client of [`Naive`].
#[derive(Clone)]
pub struct NaiveClient {
    shared: Arc<Shared>,
    write: Arc<tokio::sync::Mutex<OwnedWriteHalf>>,
}

impl NaiveClient {
    async fn call(&self, body: &[u8]) -> Result<Reply> {
        let (sender, receiver) = oneshot::channel();
        let mut frame = Vec::with_capacity(HEADER + body.len());
        push_frame(&mut frame, body)?;
        let mut write = self.write.lock().await;
        self.shared.queue.lock().waiting.push_back(sender);
        write.write_all(&frame).await?;
        drop(write);
        receiver.await.context("the connection has ended")
    }
}

async fn write_batches(shared: Arc<Shared>, mut write: OwnedWriteHalf) -> Result<()> {
    let mut batch = Vec::new();
    loop {
        shared.filled.notified().await;
        // All callers that can run append their requests before this task runs again.
        yield_now().await;
        std::mem::swap(&mut batch, &mut shared.queue.lock().outbox);
        write.write_all(&batch).await?;
        batch.clear();
    }
}

async fn read_replies(shared: Arc<Shared>, mut read: OwnedReadHalf) -> Result<()> {
    let mut input = Input::new();
    let mut replies = Vec::new();
    loop {
        if !input.fill(&mut read).await? {
            shared.queue.lock().waiting.clear();
            return Ok(());
        }
        let bytes = &mut input.bytes;
        while let Some(frame) = frame_len(bytes) {
            replies.push(match bytes[HEADER..frame].try_into() {
                Ok(small) => {
                    bytes.advance(frame);
                    Reply::Small(small)
                }
                Err(_) => {
                    bytes.advance(HEADER);
                    Reply::Large(bytes.split_to(frame - HEADER).freeze())
                }
            });
        }
        let mut senders = Vec::with_capacity(replies.len());
        senders.extend(shared.queue.lock().waiting.drain(..replies.len()));
        for (sender, reply) in senders.into_iter().zip(replies.drain(..)) {
            sender.send(reply).ok(); // a caller that has left
        }
    }
}

impl Caller for PipelinedClient {
    async fn multiply(&mut self, a: i64, b: i64) -> Result<i64> {
        product(&self.call(&factors(a, b)).await?)
    }

    async fn echo(&mut self, payload: &Bytes) -> Result<usize> {
        length(self.call(payload).await?)
    }

    async fn block(&mut self, _: Duration) -> Result<()> {
        bail!("the floors have no handlers")
    }
}

impl Caller for NaiveClient {
    async fn multiply(&mut self, a: i64, b: i64) -> Result<i64> {
        product(&self.call(&factors(a, b)).await?)
    }

    async fn echo(&mut self, payload: &Bytes) -> Result<usize> {
        length(self.call(payload).await?)
    }

    async fn block(&mut self, _: Duration) -> Result<()> {
        bail!("the floors have no handlers")
    }
}

/// An echo does not multiply; the caller does, so that every system's results can be checked.
fn factors(a: i64, b: i64) -> [u8; 16] {
    let mut body = [0; 16];
    body[..8].copy_from_slice(&a.to_le_bytes());
    body[8..].copy_from_slice(&b.to_le_bytes());
    body
}

fn product(reply: &Reply) -> Result<i64> {
    let Reply::Small(body) = reply else { bail!("16 bytes were sent") };
    let factor = |bytes: &[u8]| anyhow::Ok(i64::from_le_bytes(bytes.try_into()?));
    Ok(factor(&body[..8])?.wrapping_mul(factor(&body[8..])?))
}

fn length(reply: Reply) -> Result<usize> {
    match reply {
        Reply::Large(body) => Ok(body.len()),
        Reply::Small(body) => Ok(body.len()),
    }
}
