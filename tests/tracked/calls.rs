//! What becomes of a call.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use netrpc::{Context, Fault, Ledger, Server, ServerBuilder, SyncPolicy, service};
use netrpc_core::{semantics::Semantics, wire::FaultCode};
use tokio::sync::Semaphore;

use crate::common::{
    encoded, poll_once, soon,
    tracked::{Asking, peer},
};

/// Counts, and waits where it is told to.
pub(crate) struct Counter {
    pub(crate) runs: Arc<AtomicUsize>,
    /// Handlers that wait, wait for a permit of it.
    pub(crate) gate: Arc<Semaphore>,
    /// Handlers that have begun add a permit to it.
    pub(crate) begun: Arc<Semaphore>,
}

#[service]
impl Counter {
    /// Adds one, and says how many that makes.
    fn increment(&self, (): (), reply: &mut usize) {
        *reply = self.runs.fetch_add(1, Ordering::SeqCst) + 1;
    }

    /// The same, when the gate is open.
    async fn wait(&self, (): (), reply: &mut usize) {
        *reply = self.runs.fetch_add(1, Ordering::SeqCst) + 1;
        self.begun.add_permits(1);
        self.gate.acquire().await.unwrap().forget();
    }

    /// Blocks its thread until the gate is open.
    #[method(blocking)]
    fn block(&self, (): (), reply: &mut usize) {
        *reply = self.runs.fetch_add(1, Ordering::SeqCst) + 1;
        self.begun.add_permits(1);
        while self.gate.try_acquire().is_err() {
            std::thread::yield_now();
        }
    }

    fn fail(&self, (): (), _reply: &mut usize) -> Result<(), Fault> {
        let run = self.runs.fetch_add(1, Ordering::SeqCst) + 1;
        Err(Fault::new(format!("no, for the {run}. time")))
    }

    fn panic(&self, (): (), _reply: &mut usize) {
        self.runs.fetch_add(1, Ordering::SeqCst);
        panic!("as it is told to");
    }

    /// Refuses the first call, without an effect.
    fn busy_at_first(&self, (): (), reply: &mut usize) -> Result<(), Fault> {
        *reply = self.runs.fetch_add(1, Ordering::SeqCst) + 1;
        if *reply == 1 { Err(Fault::overloaded("not now")) } else { Ok(()) }
    }

    fn large(&self, bytes: usize, reply: &mut String) {
        self.runs.fetch_add(1, Ordering::SeqCst);
        *reply = "x".repeat(bytes);
    }

    fn signed(&self, cx: &Context, (): (), reply: &mut usize) {
        cx.set_reply_metadata("by", "counter");
        *reply = self.runs.fetch_add(1, Ordering::SeqCst) + 1;
    }

    /// Waits until its caller does not any more, and says so.
    async fn until_cancelled(&self, cx: &Context, (): (), reply: &mut String) {
        self.runs.fetch_add(1, Ordering::SeqCst);
        self.begun.add_permits(1);
        cx.cancelled().await;
        *reply = "nobody waited".to_owned();
    }
}

pub(crate) struct Fixture {
    pub(crate) server: Server,
    pub(crate) runs: Arc<AtomicUsize>,
    pub(crate) gate: Arc<Semaphore>,
    pub(crate) begun: Arc<Semaphore>,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::with(Server::builder().ledger(Ledger::volatile()))
    }

    pub(crate) fn with(builder: ServerBuilder) -> Self {
        let (runs, gate, begun) =
            (Arc::default(), Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let server = builder.build();
        let counter = Counter { runs: Arc::clone(&runs), gate: gate.clone(), begun: begun.clone() };
        server.register(counter).unwrap();
        Fixture { server, runs, gate, begun }
    }

    pub(crate) fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }

    /// Waits until one more handler has begun.
    pub(crate) async fn has_begun(&self) {
        soon(self.begun.acquire()).await.unwrap().forget();
    }
}

/// `[stamp.once]` `[standing.final]`
#[tokio::test]
async fn a_call_that_is_sent_again_gets_the_answer_of_the_first() {
    let fixture = Fixture::new();
    let mut peer = peer(&fixture.server).await;
    let grant = peer.open().await;
    let asking = Asking::new(&grant, 1, "Counter.Increment", &());

    let first = soon(peer.ask(1, &asking)).await;
    assert_eq!(first.reply::<usize>(), 1);
    let standing = first.standing;
    assert_eq!((standing.xid, standing.epoch), (asking.stamp.xid, grant.epoch));
    assert!(standing.is_final && !standing.is_replayed);
    assert!(standing.retry_after.is_zero() && standing.lease_left > Duration::from_secs(60));

    let again = asking.with(&grant, |stamp| stamp.attempt = 2);
    let second = soon(peer.ask(2, &again)).await;
    assert_eq!(second.reply::<usize>(), 1);
    assert!(second.standing.is_final && second.standing.is_replayed);
    assert_eq!(fixture.runs(), 1);

    let next = Asking::new(&grant, 2, "Counter.Increment", &());
    assert_eq!(soon(peer.ask(3, &next)).await.reply::<usize>(), 2, "another call is another");
}

#[tokio::test]
async fn errors_panics_and_metadata_are_replayed_as_they_were() {
    let fixture = Fixture::new();
    let mut peer = peer(&fixture.server).await;
    let grant = peer.open().await;
    for (seq, method, code) in
        [(1, "Counter.Fail", FaultCode::Method), (2, "Counter.Panic", FaultCode::Panicked)]
    {
        let asking = Asking::new(&grant, seq, method, &());
        let first = soon(peer.ask(seq, &asking)).await;
        let again = soon(peer.ask(10 + seq, &asking)).await;
        assert_eq!(first.code(), code);
        assert_eq!(first.outcome, again.outcome);
        assert!(again.standing.is_replayed && again.standing.is_final);
    }
    let asking = Asking::new(&grant, 3, "Counter.Signed", &());
    for wire_seq in [20, 21] {
        peer.send(&asking.frame(wire_seq)).await;
        let frame = soon(peer.answer()).await.unwrap();
        let head = netrpc_core::wire::ReplyHead::parse(frame.head()).unwrap();
        assert_eq!(head.metadata.decode().get("by"), Some("counter"));
    }
    assert_eq!(fixture.runs(), 3);
}

/// `[stamp.pending]`
#[tokio::test]
async fn whoever_asks_again_waits_and_whoever_waited_is_told() {
    let fixture = Fixture::new();
    let mut first = peer(&fixture.server).await;
    let grant = first.open().await;
    let asking = Asking::new(&grant, 1, "Counter.Wait", &());
    first.send(&asking.frame(1)).await;
    fixture.has_begun().await;

    let mut second = peer(&fixture.server).await;
    second.send(&asking.frame(7)).await;
    let displaced = soon(first.answered(1)).await;
    assert_eq!(displaced.code(), FaultCode::Pending);
    assert!(!displaced.standing.is_final);
    assert_eq!(displaced.standing.retry_after, Duration::from_millis(50));

    fixture.gate.add_permits(1);
    let outcome = soon(second.answered(7)).await;
    assert_eq!(outcome.reply::<usize>(), 1);
    assert!(!outcome.standing.is_replayed, "nobody has heard it before");
    assert_eq!(fixture.runs(), 1);
}

/// `[stamp.waiting]`
#[tokio::test]
async fn a_call_outlives_its_connection() {
    let fixture = Fixture::new();
    let mut first = peer(&fixture.server).await;
    let grant = first.open().await;
    for (seq, method) in [(1, "Counter.Wait"), (2, "Counter.Block")] {
        let mut lost = peer(&fixture.server).await;
        let asking = Asking::new(&grant, seq, method, &());
        lost.send(&asking.frame(1)).await;
        fixture.has_begun().await;
        drop(lost);
        while fixture.server.connections() > 1 {
            tokio::task::yield_now().await;
        }
        fixture.gate.add_permits(1);
        let outcome = soon(first.ask(seq, &asking)).await;
        assert_eq!(outcome.reply::<u64>(), seq);
    }
    assert_eq!(fixture.runs(), 2);
}

/// `[stamp.waiting]`
#[tokio::test]
async fn a_cancel_tells_the_handler_and_does_not_stop_it() {
    let fixture = Fixture::new();
    let mut peer = peer(&fixture.server).await;
    let grant = peer.open().await;
    let asking = Asking::new(&grant, 1, "Counter.UntilCancelled", &());
    peer.send(&asking.frame(1)).await;
    fixture.has_begun().await;
    let mut cancel = Vec::new();
    netrpc_core::wire::write_cancel(&mut cancel, 1);
    peer.send(&cancel).await;
    assert_eq!(soon(peer.answered(1)).await.reply::<String>(), "nobody waited");
    let again = soon(peer.ask(2, &asking)).await;
    assert_eq!(again.reply::<String>(), "nobody waited");
    assert_eq!(fixture.runs(), 1);
}

/// `[stamp.waiting]`
#[tokio::test(start_paused = true)]
async fn a_deadline_keeps_a_call_from_beginning_and_does_not_end_it() {
    let fixture = Fixture::new();
    let mut peer = peer(&fixture.server).await;
    let grant = peer.open().await;
    let late = Asking::new(&grant, 1, "Counter.Increment", &()).deadline(Duration::ZERO);
    let refused = soon(peer.ask(1, &late)).await;
    assert_eq!(refused.code(), FaultCode::Expired);
    assert!(!refused.standing.is_final, "nothing is remembered of it");
    assert_eq!(fixture.runs(), 0);
    let in_time = Asking::new(&grant, 1, "Counter.Increment", &());
    assert_eq!(soon(peer.ask(2, &in_time)).await.reply::<usize>(), 1);
    let late = in_time.deadline(Duration::ZERO);
    assert_eq!(soon(peer.ask(3, &late)).await.reply::<usize>(), 1, "what is known can be asked");

    let short = Asking::new(&grant, 2, "Counter.Wait", &()).deadline(Duration::from_secs(1));
    peer.send(&short.frame(4)).await;
    fixture.has_begun().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(poll_once(Box::pin(peer.answer())).await.is_pending(), "it runs on");
    fixture.gate.add_permits(1);
    assert_eq!(soon(peer.answered(4)).await.reply::<usize>(), 2);
}

/// `[standing.final]`
#[tokio::test]
async fn a_refusal_that_promises_no_effect_is_not_remembered() {
    let fixture = Fixture::new();
    let mut peer = peer(&fixture.server).await;
    let grant = peer.open().await;
    let asking = Asking::new(&grant, 1, "Counter.BusyAtFirst", &());
    let refused = soon(peer.ask(1, &asking)).await;
    assert_eq!(refused.code(), FaultCode::Overloaded);
    assert!(!refused.standing.is_final);
    let answered = soon(peer.ask(2, &asking)).await;
    assert_eq!(answered.reply::<usize>(), 2);
    assert!(answered.standing.is_final && !answered.standing.is_replayed);
    assert_eq!(soon(peer.ask(3, &asking)).await.reply::<usize>(), 2);
}

#[tokio::test]
async fn a_method_that_is_not_there_is_refused_and_not_remembered() {
    let fixture = Fixture::new();
    let mut peer = peer(&fixture.server).await;
    let grant = peer.open().await;
    let asking = Asking::new(&grant, 1, "Counter.Later", &());
    let refused = soon(peer.ask(1, &asking)).await;
    assert_eq!(refused.code(), FaultCode::UnknownMethod);
    assert!(!refused.standing.is_final);
    let other = Asking::new(&grant, 1, "Counter.Increment", &());
    assert_eq!(soon(peer.ask(2, &other)).await.reply::<usize>(), 1, "its number is free");
}

#[tokio::test]
async fn a_check_is_asked_before_a_call_begins() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counting = asked.clone();
    let builder =
        Server::builder().ledger(Ledger::volatile()).authorize(move |call: netrpc::CallInfo| {
            let first = counting.fetch_add(1, Ordering::SeqCst) == 0;
            let denied = first || !call.exists();
            async move { if denied { Err(Fault::denied("not yet")) } else { Ok(()) } }
        });
    let fixture = Fixture::with(builder);
    let mut peer = peer(&fixture.server).await;
    let grant = peer.open().await;
    let asking = Asking::new(&grant, 1, "Counter.Increment", &());
    let refused = soon(peer.ask(1, &asking)).await;
    assert_eq!((refused.code(), refused.text()), (FaultCode::Denied, "not yet"));
    assert!(!refused.standing.is_final, "nothing is remembered of it");
    assert_eq!(fixture.runs(), 0);
    assert_eq!(soon(peer.ask(2, &asking)).await.reply::<usize>(), 1);
    assert_eq!(soon(peer.ask(3, &asking)).await.reply::<usize>(), 1);
    assert_eq!(asked.load(Ordering::SeqCst), 2, "a replay passes no check");
    // `[fault.secret]`
    let unknown = Asking::new(&grant, 2, "Counter.Nothing", &());
    assert_eq!(soon(peer.ask(4, &unknown)).await.code(), FaultCode::Denied);
}

#[tokio::test]
async fn a_large_reply_is_answered_once() {
    let builder = Server::builder().ledger(Ledger::volatile().max_kept_reply(100));
    let fixture = Fixture::with(builder.max_frame(100_000));
    let mut peer = peer(&fixture.server).await;
    let grant = peer.open().await;
    let asking = Asking::new(&grant, 1, "Counter.Large", &1000);
    assert_eq!(soon(peer.ask(1, &asking)).await.reply::<String>().len(), 1000);
    let again = soon(peer.ask(2, &asking)).await;
    assert_eq!(again.code(), FaultCode::ReplyDropped);
    assert!(again.text().contains("Ledger::max_kept_reply"), "{}", again.text());
    assert!(again.standing.is_final);
    // One that no frame could carry is an error of the call, now and later.
    let asking = Asking::new(&grant, 2, "Counter.Large", &100_000);
    for wire_seq in [3, 4] {
        let refused = soon(peer.ask(wire_seq, &asking)).await;
        assert_eq!(refused.code(), FaultCode::ReplyTooLarge);
    }
    assert_eq!(fixture.runs(), 2);
}

#[tokio::test]
async fn a_ledger_that_is_full_takes_no_new_calls_and_answers_the_old() {
    let fixture = Fixture::with(Server::builder().ledger(Ledger::volatile().max_bytes(2000)));
    let mut peer = peer(&fixture.server).await;
    let grant = peer.open().await;
    let asking = Asking::new(&grant, 1, "Counter.Large", &1800);
    assert_eq!(soon(peer.ask(1, &asking)).await.reply::<String>().len(), 1800);
    let next = Asking::new(&grant, 2, "Counter.Increment", &());
    let refused = soon(peer.ask(2, &next)).await;
    assert_eq!(refused.code(), FaultCode::AskAgain);
    assert!(!refused.standing.is_final && !refused.standing.retry_after.is_zero());
    assert!(soon(peer.ask(3, &asking)).await.standing.is_replayed);
    assert_eq!(soon(peer.acknowledge(4, &grant, 1)).await, Ok(1));
    assert_eq!(soon(peer.ask(5, &next)).await.reply::<usize>(), 2, "there is room again");
}

#[tokio::test]
async fn exactly_once_is_more_than_a_volatile_ledger_can_promise() {
    let fixture = Fixture::new();
    let mut peer = peer(&fixture.server).await;
    let grant = peer.open().await;
    let asking = Asking::new(&grant, 1, "Counter.Increment", &())
        .with(&grant, |stamp| stamp.semantics = Semantics::ExactlyOnce);
    let refused = soon(peer.ask(1, &asking)).await;
    assert_eq!(refused.code(), FaultCode::Unsupported);
    assert!(refused.text().contains("ledger is volatile"), "{}", refused.text());
    assert_eq!(fixture.runs(), 0);
}

#[tokio::test]
async fn calls_over_a_connections_limit_wait_for_their_turn() {
    for policy in [SyncPolicy::Auto, SyncPolicy::Pool, SyncPolicy::Inline] {
        let builder = Server::builder().ledger(Ledger::volatile()).max_calls(1).sync_policy(policy);
        let fixture = Fixture::with(builder);
        let mut peer = peer(&fixture.server).await;
        let grant = peer.open().await;
        let mut out = Asking::new(&grant, 1, "Counter.Wait", &()).frame(1);
        out.extend(Asking::new(&grant, 2, "Counter.Increment", &()).frame(2));
        out.extend(Asking::new(&grant, 2, "Counter.Increment", &()).frame(3));
        peer.send(&out).await;
        fixture.has_begun().await;
        peer.request(4, "Counter.Increment", &encoded(&())).await;
        assert!(poll_once(Box::pin(peer.answer())).await.is_pending());
        fixture.gate.add_permits(1);
        assert_eq!(soon(peer.answered(1)).await.reply::<usize>(), 1);
        assert_eq!(soon(peer.answered(2)).await.reply::<usize>(), 2);
        assert!(soon(peer.answered(3)).await.standing.is_replayed);
        assert_eq!(soon(peer.reply::<usize>(4)).await, 3);
    }
}

#[tokio::test]
async fn calls_without_a_connection_count_among_the_servers() {
    let builder = Server::builder().ledger(Ledger::volatile()).max_server_calls(1);
    let fixture = Fixture::with(builder);
    let mut first = peer(&fixture.server).await;
    let grant = first.open().await;
    let mut lost = peer(&fixture.server).await;
    let running = Asking::new(&grant, 1, "Counter.Wait", &());
    lost.send(&running.frame(1)).await;
    fixture.has_begun().await;
    drop(lost);
    while fixture.server.connections() > 1 {
        tokio::task::yield_now().await;
    }
    let asking = Asking::new(&grant, 2, "Counter.Increment", &());
    let refused = soon(first.ask(2, &asking)).await;
    assert_eq!(refused.code(), FaultCode::AskAgain);
    assert_eq!(refused.standing.retry_after, Duration::from_millis(50));
    assert!(!refused.standing.is_final);
    fixture.gate.add_permits(1);
    assert_eq!(soon(first.ask(3, &running)).await.reply::<usize>(), 1);
    let mut wire_seq = 4;
    // The place is free a moment after the answer.
    while soon(first.ask(wire_seq, &asking)).await.outcome.is_err() {
        wire_seq += 1;
    }
    assert_eq!(fixture.runs(), 2);
}
