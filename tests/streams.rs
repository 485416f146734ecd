//! Streams of any kind: what they keep back until they are flushed is flushed.

mod common;

use std::{future::pending, time::Duration};

use common::soon;
use netrpc::{CallOptions, Client, Server, service};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufWriter, duplex};

struct Echo;

#[service]
impl Echo {
    fn bytes(&self, bytes: &[u8], reply: &mut Vec<u8>) {
        reply.extend_from_slice(bytes);
    }

    async fn wait(&self, (): (), _: &mut ()) {
        pending::<()>().await;
    }
}

fn server() -> Server {
    let server = Server::new();
    server.register(Echo).unwrap();
    server
}

/// Keeps more than any test sends.
const ROOMY: usize = 1 << 20;

#[tokio::test(start_paused = true)]
async fn a_stream_that_keeps_bytes_until_it_is_flushed_is_flushed() {
    // What it would be otherwise: nothing arrives.
    let (ours, mut theirs) = duplex(1024);
    let mut held = BufWriter::with_capacity(ROOMY, ours);
    held.write_all(b"hello").await.unwrap();
    let read = theirs.read_u8();
    assert!(tokio::time::timeout(Duration::from_secs(60), read).await.is_err());

    for pipe in [64, 1 << 20] {
        let (ours, theirs) = duplex(pipe);
        let server = server();
        let serving = tokio::spawn(async move {
            server.serve_conn(BufWriter::with_capacity(ROOMY, theirs)).await
        });
        let client = Client::new(BufWriter::with_capacity(ROOMY, ours));
        for len in [0, 1, 1000, 100_000] {
            let sent = vec![7; len];
            let got: Vec<u8> = soon(client.call("Echo.Bytes", &sent[..])).await.unwrap();
            assert_eq!(got, sent, "a pipe of {pipe}");
        }
        // A cancellation crosses it, too: it is a frame without a call that would wait for it.
        let brief = client.with(CallOptions::new().timeout(Duration::from_millis(1)));
        brief.call::<_, ()>("Echo.Wait", &()).await.unwrap_err();
        drop((client, brief));
        soon(serving).await.unwrap().unwrap();
    }
}

#[cfg(feature = "go")]
#[tokio::test(start_paused = true)]
async fn go_programs_get_what_such_a_stream_keeps() {
    use netrpc::Wire;
    for wire in [Wire::Gob, Wire::JsonRpc, Wire::MsgpackRpc] {
        let (ours, theirs) = duplex(64);
        let server = server();
        tokio::spawn(
            async move { server.serve_conn(BufWriter::with_capacity(ROOMY, theirs)).await },
        );
        let client = Client::builder().wire(wire).connect(BufWriter::with_capacity(ROOMY, ours));
        for len in [1, 10_000] {
            let sent = vec![7; len];
            let got: Vec<u8> = soon(client.call("Echo.Bytes", &sent[..])).await.unwrap();
            assert_eq!(got, sent, "{wire:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_the_stream_keeps_is_not_lost_in_a_shutdown() {
    let (ours, theirs) = duplex(64);
    let server = server();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let listener = One(Some(BufWriter::with_capacity(ROOMY, theirs)));
    let serving = tokio::spawn(server.serve(listener).with_graceful_shutdown(async {
        let _ = stopped.await;
    }));
    let mut peer = common::Raw::new(ours);
    peer.greet().await;
    let sent = vec![7u8; 100_000];
    peer.request(1, "Echo.Bytes", &common::encoded(&sent)).await;
    // It is all in the stream now, and the pipe is full. The server has no more to do.
    tokio::time::sleep(Duration::from_millis(10)).await;
    stop.send(()).unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(!serving.is_finished(), "it waits until the peer has read");
    assert_eq!(peer.reply::<Vec<u8>>(1).await, sent);
    drop(peer);
    soon(serving).await.unwrap();
}

/// A listener for one connection.
struct One<IO>(Option<IO>);

impl<IO: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static> netrpc::Listener
    for One<IO>
{
    type Stream = IO;

    async fn accept(&mut self) -> std::io::Result<(IO, netrpc::Peer)> {
        match self.0.take() {
            Some(io) => Ok((io, netrpc::Peer::Stream)),
            None => pending().await,
        }
    }
}
