//! Methods that insist on how often they run.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use netrpc::{
    Client, Context, Demand, Error, Ledger, MethodName, Refusal, Server, ServerBuilder, Wire,
    service,
};
use netrpc_core::{semantics::Semantics, wire::FaultCode};

use crate::common::{
    encoded, listen, pipe, soon,
    tracked::{Asking, peer},
};

struct Bank(Arc<AtomicUsize>);

#[service]
impl Bank {
    #[method(at_most_once)]
    fn debit(&self, (): (), reply: &mut usize) {
        *reply = self.0.fetch_add(1, Ordering::SeqCst) + 1;
    }

    #[method(at_most_once)]
    async fn debit_later(&self, (): (), reply: &mut usize) {
        tokio::task::yield_now().await;
        *reply = self.0.fetch_add(1, Ordering::SeqCst) + 1;
    }

    #[method(exactly_once)]
    fn transfer(&self, _cx: &Context, (): (), reply: &mut usize) {
        *reply = self.0.fetch_add(1, Ordering::SeqCst) + 1;
    }

    #[method(idempotent)]
    fn balance(&self, (): (), reply: &mut usize) {
        *reply = self.0.load(Ordering::SeqCst);
    }
}

fn bank(builder: ServerBuilder) -> (Server, Arc<AtomicUsize>) {
    let server = builder.build();
    let runs = Arc::new(AtomicUsize::new(0));
    server.register(Bank(runs.clone())).unwrap();
    (server, runs)
}

fn with_a_check() -> ServerBuilder {
    Server::builder().authorize(|_: netrpc::CallInfo| async { Ok(()) })
}

/// `[stamp.demand]`
#[tokio::test]
async fn a_call_that_asks_for_less_does_not_run() {
    for builder in [Server::builder(), Server::builder().ledger(Ledger::volatile()), with_a_check()]
    {
        let (server, runs) = bank(builder);
        let mut peer = peer(&server).await;
        for (seq, method) in [(1, "Bank.Debit"), (2, "Bank.DebitLater"), (3, "Bank.Transfer")] {
            peer.request(seq, method, &encoded(&())).await;
            let (code, text) = soon(peer.fault(seq)).await;
            assert_eq!(code, FaultCode::Unsupported, "{method}");
            assert!(text.contains("CallOptions::semantics"), "{text}");
        }
        peer.request(4, "Bank.Balance", &encoded(&())).await;
        assert_eq!(soon(peer.reply::<usize>(4)).await, 0);
        assert_eq!(runs.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test]
async fn a_client_by_name_is_told_what_to_set_and_that_nothing_ran() {
    let (server, runs) = bank(Server::builder());
    let client = pipe(&server);
    let error = soon(client.call::<_, usize>("Bank.Debit", &())).await.unwrap_err();
    assert!(matches!(&error, Error::Refused { refusal: Refusal::Unsupported, .. }), "{error:?}");
    assert!(error.to_string().contains("under Semantics::AtMostOnce"), "{error}");
    assert!(!error.may_have_run());
    assert_eq!(runs.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_go_program_cannot_ask_for_enough_and_is_told_so() {
    let (server, runs) = bank(Server::builder().ledger(Ledger::volatile()));
    let addr = listen(&server).await;
    for wire in [Wire::Gob, Wire::JsonRpc] {
        let client = Client::builder().wire(wire).dial(addr).await.unwrap();
        let error = soon(client.call::<_, usize>("Bank.Debit", &())).await.unwrap_err();
        assert!(error.to_string().contains("must not run twice"), "{error}");
        assert_eq!(soon(client.call::<_, usize>("Bank.Balance", &())).await.unwrap(), 0);
    }
    assert_eq!(runs.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_call_that_asks_for_enough_runs() {
    let (server, runs) = bank(with_a_check().ledger(Ledger::volatile()));
    let mut peer = peer(&server).await;
    let grant = peer.open().await;
    for (seq, method) in [(1, "Bank.Debit"), (2, "Bank.DebitLater")] {
        let asking = Asking::new(&grant, seq, method, &());
        assert_eq!(soon(peer.ask(seq, &asking)).await.reply::<u64>(), seq);
    }
    let asking = Asking::new(&grant, 3, "Bank.Transfer", &());
    let refused = soon(peer.ask(3, &asking)).await;
    assert_eq!(refused.code(), FaultCode::Unsupported);
    assert!(refused.text().contains("under Semantics::ExactlyOnce"), "{}", refused.text());
    let asking = asking.with(&grant, |stamp| stamp.semantics = Semantics::ExactlyOnce);
    let refused = soon(peer.ask(4, &asking)).await;
    assert!(refused.text().contains("ledger is volatile"), "{}", refused.text());
    assert_eq!(runs.load(Ordering::SeqCst), 2);
}

#[test]
fn a_stub_knows_what_its_methods_insist_on() {
    fn demands<A: ?Sized, R>(method: impl MethodName<A, R>) -> Demand {
        method.demands()
    }
    assert_eq!(demands(BankClient::DEBIT), Demand::AtMostOnce);
    assert_eq!(demands(BankClient::DEBIT_LATER), Demand::AtMostOnce);
    assert_eq!(demands(BankClient::TRANSFER), Demand::ExactlyOnce);
    assert_eq!(demands(BankClient::BALANCE), Demand::Idempotent);
    assert_eq!(demands::<(), usize>("Bank.Debit"), Demand::None, "a name alone says nothing");
}
