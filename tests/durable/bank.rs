//! A service whose money must not be lost, nor counted twice.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use netrpc::{Context, Fault, Ledger, Server, ServerBuilder, Txn, service};
use netrpc_core::semantics::{Grant, Semantics};
use netrpc_ledger::{DiskStore, OpenOptions, StorageBackend};
use tokio::sync::Semaphore;

use crate::{
    common::{soon, tracked::Asking},
    disk::Disk,
};

pub(crate) struct Bank {
    pub(crate) runs: Arc<AtomicUsize>,
    /// What waits, waits for a permit of it.
    pub(crate) gate: Arc<Semaphore>,
    /// What has begun adds a permit to it.
    pub(crate) begun: Arc<Semaphore>,
}

fn balance(txn: &Txn<'_>, account: &str) -> Result<u64, Fault> {
    let found = txn.get("accounts", account)?;
    Ok(found.map_or(0, |it| u64::from_le_bytes(it.try_into().unwrap())))
}

fn add(txn: &mut Txn<'_>, account: &str, amount: u64) -> Result<u64, Fault> {
    let sum = balance(txn, account)? + amount;
    txn.put("accounts", account, sum.to_le_bytes());
    Ok(sum)
}

#[service]
impl Bank {
    /// An effect that nothing takes back.
    fn count(&self, (): (), reply: &mut usize) {
        *reply = self.runs.fetch_add(1, Ordering::SeqCst) + 1;
    }

    async fn count_later(&self, (): (), reply: &mut usize) {
        *reply = self.runs.fetch_add(1, Ordering::SeqCst) + 1;
        self.begun.add_permits(1);
        self.gate.acquire().await.unwrap().forget();
    }

    #[method(exactly_once)]
    fn deposit(
        &self,
        cx: &Context,
        (who, amount): (String, u64),
        sum: &mut u64,
    ) -> Result<(), Fault> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        *sum = add(&mut cx.txn()?, &who, amount)?;
        Ok(())
    }

    /// The same, which waits between its effect and its end.
    #[method(exactly_once)]
    async fn deposit_later(
        &self,
        cx: &Context,
        (who, amount): (String, u64),
        sum: &mut u64,
    ) -> Result<(), Fault> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        *sum = add(&mut cx.txn()?, &who, amount)?;
        self.begun.add_permits(1);
        self.gate.acquire().await.unwrap().forget();
        Ok(())
    }

    /// Has an effect, and fails; or panics.
    #[method(exactly_once)]
    fn fail(&self, cx: &Context, panics: bool, _sum: &mut u64) -> Result<(), Fault> {
        add(&mut cx.txn()?, "alice", 1000)?;
        assert!(!panics, "as it is told to");
        Err(Fault::new("no"))
    }

    #[method(exactly_once)]
    fn balance(&self, cx: &Context, who: String, sum: &mut u64) -> Result<(), Fault> {
        *sum = balance(&cx.txn()?, &who)?;
        Ok(())
    }

    /// All that a transaction can do, seen by itself.
    #[method(exactly_once)]
    fn everything(&self, cx: &Context, (): (), found: &mut Vec<String>) -> Result<(), Fault> {
        {
            let mut txn = cx.txn()?;
            txn.put("t", "a", "1");
            txn.put("t", "b", "2");
            txn.put("t", "c", "3");
            txn.put("u", "b", "other");
            txn.delete("t", "b");
            let in_use = cx.txn().unwrap_err();
            found.push(in_use.to_string());
        }
        let txn = cx.txn()?;
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        found.extend(txn.range("t", "a", "z")?.into_iter().map(|(k, v)| text(k) + "=" + &text(v)));
        found.push(format!("{:?}", txn.get("t", "b")?));
        found.push(format!("{:?}", cx.xid().map(|xid| xid.seq)));
        Ok(())
    }

    /// Writes so many bytes.
    #[method(exactly_once)]
    fn fill(&self, cx: &Context, bytes: usize, _sum: &mut u64) -> Result<(), Fault> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        cx.txn()?.put("much", self.runs.load(Ordering::SeqCst).to_le_bytes(), vec![1; bytes]);
        Ok(())
    }

    /// What a method sees that is not declared to write.
    fn undeclared(&self, cx: &Context, (): (), seen: &mut (bool, String)) {
        *seen = (cx.xid().is_some(), cx.txn().unwrap_err().to_string());
    }

    /// A transaction that its call leaves behind.
    #[method(exactly_once)]
    async fn leave_behind(&self, cx: &Context, (): (), _: &mut u64) -> Result<(), Fault> {
        let (cx, begun, gate) = (cx.clone(), self.begun.clone(), self.gate.clone());
        let started = Arc::new(Semaphore::new(0));
        let tell = started.clone();
        tokio::spawn(async move {
            let mut txn = cx.txn().unwrap();
            add(&mut txn, "alice", 1000).unwrap();
            tell.add_permits(1);
            gate.acquire().await.unwrap().forget();
            drop(txn);
            begun.add_permits(1);
        });
        started.acquire().await.unwrap().forget();
        Ok(())
    }
}

/// A server, and what its handlers count and wait for, which outlives it.
#[derive(Clone, Default)]
pub(crate) struct Outside {
    pub(crate) runs: Arc<AtomicUsize>,
    pub(crate) gate: Gate,
    pub(crate) begun: Gate,
}

#[derive(Clone)]
pub(crate) struct Gate(pub(crate) Arc<Semaphore>);

impl Default for Gate {
    fn default() -> Self {
        Gate(Arc::new(Semaphore::new(0)))
    }
}

impl Outside {
    pub(crate) fn serve(&self, builder: ServerBuilder) -> Server {
        let server = builder.build();
        let (runs, gate, begun) = (self.runs.clone(), self.gate.0.clone(), self.begun.0.clone());
        server.register(Bank { runs, gate, begun }).unwrap();
        server
    }

    /// A server whose ledger is on this disk.
    pub(crate) fn on(&self, disk: &Disk) -> Server {
        self.serve(Server::builder().ledger(ledger(disk.open())))
    }

    pub(crate) fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }

    pub(crate) async fn has_begun(&self) {
        soon(self.begun.0.acquire()).await.unwrap().forget();
    }

    pub(crate) fn let_go(&self) {
        self.gate.0.add_permits(1);
    }
}

pub(crate) fn ledger(store: DiskStore) -> Ledger {
    Ledger::with_store(Arc::new(store)).unwrap()
}

pub(crate) fn store(backend: impl StorageBackend) -> DiskStore {
    OpenOptions::new().open_backend(backend, "simulated").unwrap()
}

/// Call `seq` of a session, under `ExactlyOnce`.
pub(crate) fn exactly<'a, A: serde::Serialize + ?Sized>(
    grant: &Grant,
    seq: u64,
    method: &'a str,
    args: &A,
) -> Asking<'a> {
    Asking::new(grant, seq, method, args)
        .with(grant, |stamp| stamp.semantics = Semantics::ExactlyOnce)
}
