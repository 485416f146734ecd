//! No call waits behind a slow one, on any runtime.

mod common;

use std::sync::{
    Arc, Condvar, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use common::{Raw, dial, encoded, listen, soon};
use netrpc::{Client, Error, Server, SyncPolicy, service};
use tokio::sync::Semaphore;

/// Handlers that block their thread until the test lets them go.
struct Slow {
    open: Mutex<bool>,
    opened: Condvar,
    begun: Semaphore,
    inline: AtomicUsize,
}

impl Slow {
    fn new() -> Arc<Self> {
        Arc::new(Slow {
            open: Mutex::new(false),
            opened: Condvar::new(),
            begun: Semaphore::new(0),
            inline: AtomicUsize::new(0),
        })
    }

    #[allow(clippy::unused_self)]
    fn wait(&self) {
        self.begun.add_permits(1);
        let open = self.open.lock().unwrap();
        drop(self.opened.wait_while(open, |open| !*open).unwrap());
    }

    fn let_go(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    async fn begun(&self, n: u32) {
        soon(self.begun.acquire_many(n)).await.unwrap().forget();
    }
}

/// The service: its methods share the gate.
struct Work(Arc<Slow>);

#[service]
impl Work {
    fn block(&self, n: u64, reply: &mut u64) {
        self.0.wait();
        *reply = n;
    }

    #[method(blocking)]
    fn block_openly(&self, n: u64, reply: &mut u64) {
        self.0.wait();
        *reply = n;
    }

    /// Wrong, and still nobody else's problem where another worker is left.
    async fn block_asynchronously(&self, n: u64, reply: &mut u64) {
        self.0.wait();
        tokio::task::yield_now().await;
        *reply = n;
    }

    fn quick(&self, n: u64, reply: &mut u64) {
        let name = std::thread::current().name().map(str::to_owned);
        if name.as_deref() == Some("inline-worker") {
            self.0.inline.fetch_add(1, Ordering::SeqCst);
        }
        *reply = n;
    }

    fn panics(&self, n: u64, _reply: &mut u64) {
        assert!(n == 0, "no luck with {n}");
    }

    async fn panics_late(&self, n: u64, _reply: &mut u64) {
        tokio::task::yield_now().await;
        panic!("no luck with {n} either");
    }

    /// Waits for a future as only a thread outside the runtime may.
    fn block_on(&self, n: u64, reply: &mut u64) {
        *reply = tokio::runtime::Handle::current().block_on(async { n + 1 });
    }
}

fn server(slow: &Arc<Slow>) -> Server {
    let server = Server::new();
    server.register(Work(slow.clone())).unwrap();
    server
}

/// Quick calls go on beside `n` calls of a method that blocks.
async fn quick_beside(n: u64, method: &'static str) {
    let slow = Slow::new();
    let client = dial(&server(&slow)).await;
    let blocked: Vec<_> = (0..n).map(|n| client.go::<_, u64>(method, &n)).collect();
    slow.begun(1).await;
    for n in 0..100 {
        assert_eq!(soon(client.call::<_, u64>("Work.Quick", &n)).await.unwrap(), n);
    }
    slow.let_go();
    for (n, call) in (0..).zip(blocked) {
        assert_eq!(soon(call).await.unwrap(), n);
    }
    // And the connection is as good as before.
    for n in 0..100 {
        assert_eq!(soon(client.call::<_, u64>("Work.Quick", &n)).await.unwrap(), n);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers() {
    quick_beside(1, "Work.Block").await;
    quick_beside(8, "Work.Block").await;
    quick_beside(8, "Work.BlockOpenly").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn four_workers() {
    quick_beside(1, "Work.Block").await;
    quick_beside(16, "Work.Block").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn one_worker() {
    quick_beside(1, "Work.Block").await;
    quick_beside(8, "Work.Block").await;
}

#[tokio::test]
async fn the_current_thread() {
    quick_beside(1, "Work.Block").await;
    quick_beside(8, "Work.Block").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn an_asynchronous_handler_that_blocks() {
    quick_beside(1, "Work.BlockAsynchronously").await;
}

/// Several connections block at the same time: there is always a worker left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_connections_block() {
    let slow = Slow::new();
    let addr = listen(&server(&slow)).await;
    let mut blocked = Vec::new();
    for n in 0..8u64 {
        let client = Client::dial(addr).await.unwrap();
        blocked.push((n, client.go::<_, u64>("Work.Block", &n), client));
    }
    slow.begun(8).await;
    for (_, _, client) in &blocked {
        assert_eq!(soon(client.call::<_, u64>("Work.Quick", &1)).await.unwrap(), 1);
    }
    slow.let_go();
    for (n, call, _) in blocked {
        assert_eq!(soon(call).await.unwrap(), n);
    }
}

/// What stands before a call that blocks in the same batch is answered at once, and so is what
/// stands behind it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_batch_with_a_call_that_blocks_in_the_middle() {
    let slow = Slow::new();
    let mut raw = Raw::dial(listen(&server(&slow)).await).await;
    let mut batch = Vec::new();
    for (seq, method) in [(1, "Work.Quick"), (2, "Work.Block"), (3, "Work.Quick")] {
        batch.extend(common::request(seq, method, &encoded(&seq)));
    }
    raw.send(&batch).await;
    assert_eq!(soon(raw.reply::<u64>(1)).await, 1);
    assert_eq!(soon(raw.reply::<u64>(3)).await, 3);
    slow.begun(1).await;
    slow.let_go();
    assert_eq!(soon(raw.reply::<u64>(2)).await, 2);
}

/// The negative control: with the watchdog switched off, the connection does stand still.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_watchdog_a_call_that_blocks_holds_up_its_connection() {
    let slow = Slow::new();
    let server = Server::builder().sync_policy(SyncPolicy::Inline).build();
    server.register(Work(slow.clone())).unwrap();
    let client = dial(&server).await;
    let blocked = client.go::<_, u64>("Work.Block", &1);
    slow.begun(1).await;
    let mut quick = client.go::<_, u64>("Work.Quick", &2);
    let waited = tokio::time::timeout(std::time::Duration::from_millis(50), &mut quick).await;
    assert!(waited.is_err(), "it should have had to wait");
    slow.let_go();
    assert_eq!(soon(blocked).await.unwrap(), 1);
    assert_eq!(soon(quick).await.unwrap(), 2);
}

#[test]
fn quick_handlers_run_on_the_connections_own_task() {
    let slow = Slow::new();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("inline-worker")
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let client = dial(&server(&slow)).await;
        for n in 0..200 {
            assert_eq!(client.call::<_, u64>("Work.Quick", &n).await.unwrap(), n);
        }
    });
    // The pool's threads have the same name, so this counts those only if the policy is the pool.
    assert_eq!(slow.inline.load(Ordering::SeqCst), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_is_an_error_of_its_caller_alone() {
    let client = dial(&server(&Slow::new())).await;
    let sync = client.go::<_, u64>("Work.Panics", &3);
    let late = client.go::<_, u64>("Work.PanicsLate", &4);
    let quick = client.go::<_, u64>("Work.Quick", &5);
    let error = soon(sync).await.unwrap_err();
    assert!(matches!(&error, Error::Panicked(text) if text == "no luck with 3"), "{error:?}");
    assert!(error.may_have_run());
    let error = soon(late).await.unwrap_err();
    assert!(
        matches!(&error, Error::Panicked(text) if text == "no luck with 4 either"),
        "{error:?}"
    );
    assert_eq!(soon(quick).await.unwrap(), 5);
    assert_eq!(client.call::<_, u64>("Work.Quick", &6).await.unwrap(), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_waits_for_a_future_is_told_how_and_then_can() {
    let client = dial(&server(&Slow::new())).await;
    let error = client.call::<_, u64>("Work.BlockOn", &1).await.unwrap_err();
    assert!(error.to_string().contains("mark BlockOn with #[method(blocking)]"), "{error}");
    assert_eq!(soon(client.call::<_, u64>("Work.BlockOn", &1)).await.unwrap(), 2);
}
