//! Calls that are made together leave together: counted in writes, of which each costs a system call.

mod common;

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    thread,
};

use common::{Raw, encoded};
use netrpc::Client;
use netrpc_core::wire::{self, Kind};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    runtime,
    task::JoinSet,
};

/// A stream that counts what is written to it, by writes.
struct Counted {
    stream: TcpStream,
    writes: Arc<AtomicUsize>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A server that answers when as many calls have come, all of them at once.
async fn answer_together(stream: TcpStream, callers: usize) {
    let mut server = Raw::new(stream);
    server.greet().await;
    loop {
        let mut answers = Vec::new();
        for _ in 0..callers {
            let Some(call) = server.frame().await else { return };
            assert_eq!(call.kind, Kind::Request);
            let start = wire::begin(&mut answers);
            answers.extend(encoded(&7));
            wire::finish(&mut answers, start, Kind::Reply, 0, call.seq, u32::MAX).unwrap();
        }
        server.send(&answers).await;
    }
}

/// How many writes it takes `callers` to make so many calls each, all of which are answered together.
async fn writes(callers: usize, calls: usize) -> usize {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    let accepted = accepted.into_std().unwrap();
    // On a thread of its own: what the client's worker does next is the client's alone.
    let server = thread::spawn(move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            answer_together(TcpStream::from_std(accepted).unwrap(), callers).await;
        });
    });
    let writes = Arc::new(AtomicUsize::new(0));
    let client = Client::new(Counted { stream, writes: writes.clone() });
    let mut running = JoinSet::new();
    for _ in 0..callers {
        let client = client.clone();
        running.spawn(async move {
            for _ in 0..calls {
                let seven: i64 = client.call("Number.Seven", &()).await.unwrap();
                assert_eq!(seven, 7);
            }
        });
    }
    running.join_all().await;
    client.close().await;
    server.join().unwrap();
    writes.load(Ordering::Relaxed)
}

/// The first to make its next call does not leave without the others: not on a runtime with a thread pool
/// either, where the task that it wakes runs next. It would be two writes for each batch.
async fn call_again_together() {
    for callers in [2, 16, 64] {
        let writes = writes(callers, 100).await;
        assert!(writes <= 130, "{writes} writes for 100 batches of {callers}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn callers_who_were_answered_together_call_again_together() {
    call_again_together().await;
}

#[tokio::test]
async fn and_so_they_do_on_one_thread() {
    call_again_together().await;
}
