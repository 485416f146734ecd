//! Services that remember by themselves what their calls have done.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use netrpc::{Completion, CompletionStore, Context, Fault, Server, Xid, service};
use netrpc_core::wire::FaultCode;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::{
    bank::{exactly, ledger},
    common::{soon, tracked::peer},
    disk::{Disk, Random},
};

/// A database of its own, which survives every server here.
#[derive(Clone, Default)]
struct Database {
    /// Each call with its reply, in the order of their commits.
    rows: Arc<Mutex<Vec<(Xid, u64)>>>,
    runs: Arc<AtomicUsize>,
    /// What it says when it is asked, besides what it has.
    says: Arc<Mutex<Option<Completion>>>,
    asked: Arc<AtomicUsize>,
}

struct Shop {
    database: Database,
    begun: Arc<Semaphore>,
}

#[service]
impl Shop {
    /// Commits, if it is told to, and then never ends.
    #[method(exactly_once)]
    async fn order(&self, cx: &Context, commits: bool, number: &mut u64) -> Result<(), Fault> {
        let run = self.database.runs.fetch_add(1, Ordering::SeqCst) as u64 + 1;
        assert!(cx.txn().unwrap_err().to_string().contains("CompletionStore"));
        if commits || run > 1 {
            self.database.rows.lock().push((cx.xid().expect("it is tracked"), run));
        }
        *number = run;
        if run == 1 {
            self.begun.add_permits(1);
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

impl CompletionStore for Database {
    async fn look_up(&self, xid: Xid, method: &str) -> Completion {
        assert_eq!(method, "Shop.Order");
        self.asked.fetch_add(1, Ordering::SeqCst);
        if let Some(said) = self.says.lock().clone() {
            return said;
        }
        match self.rows.lock().iter().find(|(of, _)| *of == xid) {
            Some((_, number)) => Completion::done(number).unwrap(),
            None => Completion::NotDone,
        }
    }

    fn covers(&self, method: &str) -> bool {
        method.starts_with("Shop.")
    }
}

/// A server on `disk`, and what tells that a call has begun.
fn serve(disk: &Disk, database: &Database) -> (Server, Arc<Semaphore>) {
    let ledger = ledger(disk.open()).completions(database.clone());
    let server = Server::builder().ledger(ledger).build();
    let begun = Arc::new(Semaphore::new(0));
    server.register(Shop { database: database.clone(), begun: begun.clone() }).unwrap();
    (server, begun)
}

#[tokio::test]
async fn a_call_whose_effect_was_committed_is_answered_with_its_reply() {
    for (commits, runs) in [(true, 1), (false, 2)] {
        let (database, disk) = (Database::default(), Disk::default());
        let (before, begun) = serve(&disk, &database);
        let mut client = peer(&before).await;
        let grant = client.open().await;
        let asking = exactly(&grant, 1, "Shop.Order", &commits);
        client.send(&asking.frame(1)).await;
        soon(begun.acquire()).await.unwrap().forget();

        let disk = disk.crash(&mut Random::new(3));
        let (after, _) = serve(&disk, &database);
        let mut client = peer(&after).await;
        let answered = soon(client.ask(1, &asking)).await;
        assert_eq!(answered.reply::<u64>(), runs);
        assert!(answered.standing.is_final);
        assert!(soon(client.ask(2, &asking)).await.standing.is_replayed);
        assert_eq!(database.runs.load(Ordering::SeqCst) as u64, runs);
        assert_eq!(database.rows.lock().len(), 1, "one effect");
        assert_eq!(database.asked.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn nobody_is_told_what_is_not_known() {
    let (database, disk) = (Database::default(), Disk::default());
    let (before, begun) = serve(&disk, &database);
    let mut client = peer(&before).await;
    let grant = client.open().await;
    let asking = exactly(&grant, 1, "Shop.Order", &true);
    client.send(&asking.frame(1)).await;
    soon(begun.acquire()).await.unwrap().forget();

    *database.says.lock() = Some(Completion::NotNow);
    let disk = disk.crash(&mut Random::new(4));
    let (after, _) = serve(&disk, &database);
    let mut client = peer(&after).await;
    for wire_seq in [1, 2] {
        let pending = soon(client.ask(wire_seq, &asking)).await;
        assert_eq!(pending.code(), FaultCode::Pending);
        assert!(!pending.standing.is_final && !pending.standing.retry_after.is_zero());
    }
    *database.says.lock() = Some(Completion::failed(Fault::new("sold out")));
    for wire_seq in [3, 4] {
        let failed = soon(client.ask(wire_seq, &asking)).await;
        assert_eq!((failed.code(), failed.text()), (FaultCode::Method, "sold out"));
        assert!(failed.standing.is_final);
    }
    assert_eq!(database.asked.load(Ordering::SeqCst), 3, "until there was an answer");
    assert_eq!(database.runs.load(Ordering::SeqCst), 1);
}
