//! How a client begins a conversation: it asks for a pass until it is given one, or refused.

use std::{
    future::{Future, poll_fn},
    io,
    pin::pin,
    task::Poll,
    time::Duration,
};

use netrpc_core::{
    backoff::Jitter,
    datagram::{Prelude, Rto, RtoLimits, Sort, frames},
    wire::{GoAwayBody, GoAwayCode, HEADER_LEN, Kind},
};
use tokio::io::ReadBuf;

use super::{RECEIVED, socket::DatagramSocket};
use crate::client::now;

/// What a server has given.
#[derive(Debug)]
pub(super) struct Welcome {
    pub(super) pass: u64,
    /// How long the way to the server and back took.
    pub(super) round: Duration,
}

/// Asks for a pass until there is an answer; for ever, if nobody is there and nobody says so.
///
/// # Errors
/// If the server gives none, or the system says that nobody is there.
pub(super) async fn greet<S: DatagramSocket>(
    socket: &S,
    server: &S::Addr,
    conversation: u64,
    limits: RtoLimits,
    jitter: &mut Jitter,
) -> io::Result<Welcome> {
    let rto = Rto::new(limits);
    let mut buffer = vec![0; RECEIVED];
    let mut sent = Vec::new();
    loop {
        let attempt = sent.len() as u32;
        let hello = Prelude { sort: Sort::Hello, number: attempt, conversation, pass: 0 }.alone();
        poll_fn(|cx| socket.poll_send_to(cx, &hello, server)).await?;
        sent.push(now());
        let timeout = rto.timeout(attempt);
        let mut patience =
            pin!(tokio::time::sleep(timeout + timeout * (jitter.next() % 512) as u32 / 1024));
        loop {
            let received = poll_fn(|cx| {
                let mut buffer = ReadBuf::new(&mut buffer);
                match socket.poll_recv_from(cx, &mut buffer) {
                    Poll::Ready(Ok(from)) => Poll::Ready(Some(Ok((from, buffer.filled().len())))),
                    Poll::Ready(Err(error)) => Poll::Ready(Some(Err(error))),
                    Poll::Pending => patience.as_mut().poll(cx).map(|()| None),
                }
            });
            let Some(received) = received.await else { break };
            let (from, length) = received?;
            let Ok((prelude, body)) = Prelude::parse(&buffer[..length]) else { continue };
            if from != *server || prelude.conversation != conversation {
                continue;
            }
            match prelude.sort {
                Sort::Welcome => {
                    // Which of them it answers is said, so the time is right whatever was lost.
                    let Some(asked) = sent.get(prelude.number as usize) else { continue };
                    let round = now().saturating_duration_since(*asked);
                    return Ok(Welcome { pass: prelude.pass, round });
                }
                Sort::Refusal => return Err(refused(body)),
                Sort::Hello | Sort::Frames | Sort::Receipt | Sort::Over => {}
            }
        }
    }
}

/// Why there is no pass.
fn refused(body: &[u8]) -> io::Error {
    let said = frames(body).find(|framed| framed.kind == Some(Kind::GoAway));
    let go_away = said.as_ref().and_then(|framed| {
        let body = &framed.bytes[HEADER_LEN + framed.head().len()..];
        GoAwayBody::parse(body).ok()
    });
    match go_away {
        Some(GoAwayBody { code: GoAwayCode::VersionNotSupported, message }) => {
            io::Error::new(io::ErrorKind::InvalidInput, format!("the server says: {message}"))
        }
        Some(GoAwayBody { message, .. }) => {
            io::Error::new(io::ErrorKind::ConnectionRefused, format!("the server says: {message}"))
        }
        None => io::ErrorKind::ConnectionRefused.into(),
    }
}
