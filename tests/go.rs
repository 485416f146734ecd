//! Handles of calls: any order, any task, dropped, detached, timed out.

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use common::{dial, pipe, poll_once, soon};
use futures_util::{StreamExt, stream::FuturesUnordered};
use netrpc::{Call, CallOptions, Client, Context, Disconnected, Error, Server, service};
use tokio::sync::{Notify, Semaphore};

/// Handlers that wait until the test lets them go.
struct Gate {
    open: Arc<Notify>,
    begun: Arc<Semaphore>,
    cancelled: Arc<Semaphore>,
    finished: AtomicUsize,
}

impl Gate {
    fn new() -> Arc<Self> {
        let none = || Arc::new(Semaphore::new(0));
        let (begun, cancelled) = (none(), none());
        Arc::new(Gate { open: Arc::default(), begun, cancelled, finished: AtomicUsize::new(0) })
    }
}

/// Tells when it is dropped: a handler that was cancelled.
struct Dropped(Arc<Semaphore>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

#[service]
impl Gate {
    fn echo(&self, n: u64, reply: &mut u64) {
        *reply = n;
    }

    /// Replies when the gate is opened.
    async fn pass(&self, n: u64, reply: &mut u64) {
        let open = self.open.notified();
        self.begun.add_permits(1);
        let cancelled = Dropped(self.cancelled.clone());
        open.await;
        std::mem::forget(cancelled);
        self.finished.fetch_add(1, Ordering::SeqCst);
        *reply = n;
    }

    /// Runs to its end whatever happens, and sees that nobody waits.
    #[method(no_cancel)]
    async fn stay(&self, cx: &Context, (): (), reply: &mut bool) {
        self.begun.add_permits(1);
        cx.cancelled().await;
        self.cancelled.add_permits(1);
        self.finished.fetch_add(1, Ordering::SeqCst);
        *reply = cx.is_cancelled();
    }

    /// Blocks its thread until nobody waits any more.
    #[method(blocking)]
    fn watch(&self, cx: &Context, (): (), _reply: &mut ()) {
        self.begun.add_permits(1);
        while !cx.is_cancelled() {
            std::thread::yield_now();
        }
        self.cancelled.add_permits(1);
    }
}

fn server(gate: &Arc<Gate>) -> Server {
    let server = Server::new();
    server.register(gate.clone()).unwrap();
    server
}

async fn take(semaphore: &Semaphore, n: u32) {
    soon(semaphore.acquire_many(n)).await.unwrap().forget();
}

#[tokio::test]
async fn hundreds_of_calls_finish_in_any_order() {
    let gate = Gate::new();
    let client = dial(&server(&gate)).await;
    let slow: FuturesUnordered<Call<u64>> = (0..100).map(|n| client.go("Gate.Pass", &n)).collect();
    let quick: FuturesUnordered<Call<u64>> = (0..400).map(|n| client.go("Gate.Echo", &n)).collect();
    let mut replies: Vec<u64> = soon(quick.map(Result::unwrap).collect()).await;
    replies.sort_unstable();
    assert_eq!(replies, (0..400).collect::<Vec<_>>(), "while the slow ones still run");
    take(&gate.begun, 100).await;
    gate.open.notify_waiters();
    let mut replies: Vec<u64> = soon(slow.map(Result::unwrap).collect()).await;
    replies.sort_unstable();
    assert_eq!(replies, (0..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_call_is_sent_without_being_polled() {
    let gate = Gate::new();
    let client = dial(&server(&gate)).await;
    let _call = client.go::<_, u64>("Gate.Pass", &1);
    take(&gate.begun, 1).await;
}

#[tokio::test]
async fn a_handle_can_be_awaited_in_another_task() {
    let client = dial(&server(&Gate::new())).await;
    let mut call = client.go::<_, u64>("Gate.Echo", &5);
    let polled = poll_once(&mut call).await;
    assert!(polled.is_pending(), "the connection's task has not had its turn");
    assert_eq!(soon(tokio::spawn(call)).await.unwrap().unwrap(), 5);
}

#[tokio::test]
async fn a_dropped_call_cancels_its_handler() {
    let gate = Gate::new();
    let client = dial(&server(&gate)).await;
    let call = client.go::<_, u64>("Gate.Pass", &1);
    take(&gate.begun, 1).await;
    drop(call);
    take(&gate.cancelled, 1).await;
    assert_eq!(gate.finished.load(Ordering::SeqCst), 0);
    assert_eq!(client.call::<_, u64>("Gate.Echo", &2).await.unwrap(), 2, "the connection lives");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocking_handler_sees_that_nobody_waits() {
    let gate = Gate::new();
    let client = dial(&server(&gate)).await;
    let call = client.go::<_, ()>("Gate.Watch", &());
    take(&gate.begun, 1).await;
    drop(call);
    take(&gate.cancelled, 1).await;
}

#[tokio::test]
async fn a_handler_that_must_not_be_cancelled_is_only_told() {
    let gate = Gate::new();
    let client = dial(&server(&gate)).await;
    let call = client.go::<_, bool>("Gate.Stay", &());
    take(&gate.begun, 1).await;
    drop(call);
    take(&gate.cancelled, 1).await;
    assert_eq!(gate.finished.load(Ordering::SeqCst), 1, "it ran to its end");
}

#[tokio::test]
async fn a_detached_call_runs_to_its_end_also_when_the_client_is_dropped() {
    let gate = Gate::new();
    let client = dial(&server(&gate)).await;
    client.go::<_, u64>("Gate.Pass", &1).detach();
    drop(client);
    take(&gate.begun, 1).await;
    gate.open.notify_waiters();
    soon(async {
        while gate.finished.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(gate.cancelled.available_permits(), 0);
}

/// `[close.eof]`
#[tokio::test]
async fn closing_ends_pending_calls_and_cancels_their_handlers() {
    let gate = Gate::new();
    let client = dial(&server(&gate)).await;
    let call = client.go::<_, u64>("Gate.Pass", &1);
    take(&gate.begun, 1).await;
    client.close().await;
    let error = soon(call).await.unwrap_err();
    assert!(
        matches!(&error, Error::Shutdown { may_have_run: true, cause } if matches!(**cause, Disconnected::Closed)),
        "{error:?}"
    );
    assert_eq!(error.to_string(), "connection is shut down");
    take(&gate.cancelled, 1).await;
}

#[tokio::test]
async fn calls_keep_the_connection_when_the_client_is_dropped() {
    let gate = Gate::new();
    let client = dial(&server(&gate)).await;
    let call = client.go::<_, u64>("Gate.Pass", &3);
    drop(client);
    take(&gate.begun, 1).await;
    gate.open.notify_waiters();
    assert_eq!(soon(call).await.unwrap(), 3);
}

#[tokio::test]
async fn dropping_everything_ends_the_connection() {
    let server = server(&Gate::new());
    let client = dial(&server).await;
    assert_eq!(client.call::<_, u64>("Gate.Echo", &2).await.unwrap(), 2);
    assert_eq!(server.connections(), 1);
    drop(client);
    soon(async {
        while server.connections() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_timeout_ends_the_call_and_its_handler() {
    let gate = Gate::new();
    let client = pipe(&server(&gate));
    let hasty = client.with(CallOptions::new().timeout(Duration::from_secs(2)));
    let begun = tokio::time::Instant::now();
    let error = hasty.call::<_, u64>("Gate.Pass", &1).await.unwrap_err();
    assert!(matches!(error, Error::Deadline { may_have_run: true }), "{error:?}");
    assert_eq!(begun.elapsed().as_secs(), 2);
    take(&gate.begun, 1).await;
    take(&gate.cancelled, 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_must_not_be_cancelled_is_told_of_the_deadline() {
    let gate = Gate::new();
    let client = pipe(&server(&gate));
    let hasty = client.with(CallOptions::new().timeout(Duration::from_secs(2)));
    let mut call = hasty.go::<_, bool>("Gate.Stay", &());
    take(&gate.begun, 1).await;
    // Nobody polls the call, so nobody cancels it: the server's own clock tells.
    take(&gate.cancelled, 1).await;
    assert!(poll_once(&mut call).await.is_ready());
}

#[tokio::test(start_paused = true)]
async fn a_timeout_counts_from_when_the_call_is_made() {
    let client = pipe(&server(&Gate::new()));
    let hasty = client.with(CallOptions::new().timeout(Duration::from_secs(2)));
    let call = hasty.go::<_, u64>("Gate.Pass", &1);
    tokio::time::advance(Duration::from_secs(3)).await;
    assert!(matches!(poll_once(call).await, std::task::Poll::Ready(Err(Error::Deadline { .. }))));
}

#[tokio::test]
async fn what_cannot_be_sent_never_ran_and_disturbs_nobody() {
    struct Unwritable;
    impl serde::Serialize for Unwritable {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("no pen"))
        }
    }
    let client = dial(&server(&Gate::new())).await;
    let error = client.call::<_, u64>("Gate.Echo", &Unwritable).await.unwrap_err();
    assert!(matches!(error, Error::Encode(_)) && !error.may_have_run());
    let large = vec![0u8; 5 << 20];
    let error = client.call::<_, u64>("Gate.Echo", &large).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge(_)) && !error.may_have_run(), "{error:?}");
    let error = client.call::<_, u64>(&"x".repeat(300), &1).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge(_)), "{error:?}");
    let heavy = CallOptions::new().metadata("k", vec![0; 20_000]);
    let error = client.with(heavy).call::<_, u64>("Gate.Echo", &1).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge(_)), "{error:?}");
    assert_eq!(client.call::<_, u64>("Gate.Echo", &2).await.unwrap(), 2);
}

#[tokio::test]
async fn a_full_queue_fails_go_and_holds_call() {
    // A peer that reads nothing.
    let (ours, mut theirs) = tokio::io::duplex(1024);
    let client = Client::builder().max_queued_bytes(10_000).connect(ours);
    let first = client.go::<_, u64>("Gate.Echo", &vec![0u8; 9_000]);
    let second = client.go::<_, u64>("Gate.Echo", &vec![0u8; 9_000]);
    let error = client.go::<_, u64>("Gate.Echo", &1).await.unwrap_err();
    let Error::QueueFull { queued, limit: 10_000 } = error else { panic!("{error:?}") };
    assert!(queued > 18_000 && !error.may_have_run());
    let mut held = std::pin::pin!(client.call::<_, u64>("Gate.Echo", &2));
    for _ in 0..10 {
        assert!(poll_once(held.as_mut()).await.is_pending());
        tokio::task::yield_now().await;
    }
    // Now it reads.
    let mut sink = tokio::io::sink();
    let reading = tokio::spawn(async move { tokio::io::copy(&mut theirs, &mut sink).await });
    soon(async {
        // Held no longer, it is sent and waits for its reply: there is room for others.
        while client.go::<_, u64>("Gate.Echo", &3).now_or_full() {
            assert!(poll_once(held.as_mut()).await.is_pending());
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop((first, second));
    reading.abort();
}

/// Whether a call failed because the queue is full, without waiting for it.
trait NowOrFull {
    fn now_or_full(self) -> bool;
}

impl NowOrFull for Call<u64> {
    fn now_or_full(mut self) -> bool {
        use std::{pin::Pin, task};
        let mut cx = task::Context::from_waker(task::Waker::noop());
        matches!(Pin::new(&mut self).poll(&mut cx), task::Poll::Ready(Err(Error::QueueFull { .. })))
    }
}
