//! Calls at most once, with a ledger in memory, over a network that fails.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures_util::future::join_all;
use netrpc::{CallOptions, Client, Error, Ledger, Refusal, Semantics, Server, TypedMethod};
use netrpc_core::{semantics::Demand, wire::Kind};
use tokio::time::Instant;

use crate::{
    bank::{Bank, call, client, server, under, volatile},
    common::{Random, soon},
    net::{Fate, Net, Way},
};

struct Setup {
    bank: Arc<Bank>,
    net: Net,
    client: Client,
}

impl Setup {
    async fn new() -> Self {
        Self::with(Ledger::volatile()).await
    }

    async fn with(ledger: Ledger) -> Self {
        let bank = Bank::new();
        let server = server(&bank, ledger);
        let net = Net::new(&server);
        let client = client(&net).await;
        Setup { bank, net, client }
    }

    /// With a session.
    async fn warm() -> Self {
        let setup = Self::new().await;
        call(&setup.client, "Bank.Debit", 0).await.unwrap();
        setup.bank.begun(1).await;
        setup
    }

    fn go(&self, method: &str, n: u64) -> netrpc::Call<u64> {
        self.client.go(method, &n)
    }
}

fn is_unknown(error: &Error) -> bool {
    matches!(error, Error::OutcomeUnknown(_)) && error.may_have_run()
}

#[tokio::test(start_paused = true)]
async fn a_lost_request_is_sent_again_and_runs_once() {
    for fate in [Fate::Lose, Fate::Cut] {
        let setup = Setup::warm().await;
        setup.net.once(Way::FromClient, Kind::Request, fate);
        let calling = setup.go("Bank.Debit", 1);
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(setup.bank.runs(1), 0, "it did not arrive");
        if fate == Fate::Lose {
            assert_eq!(setup.net.counts().lost, 1);
            setup.net.cut();
        }
        assert_eq!(soon(calling).await.unwrap(), 1);
        assert_eq!(setup.bank.runs(1), 1);
        assert_eq!(setup.net.counts().connections, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_is_replayed_and_the_method_runs_once() {
    for (method, end) in
        [("Bank.Debit", "1"), ("Bank.Refuse", "overdrawn"), ("Bank.Panic", "panicked")]
    {
        let setup = Setup::warm().await;
        let answer = if method == "Bank.Debit" { Kind::Reply } else { Kind::Fault };
        setup.net.once(Way::FromServer, answer, Fate::Cut);
        let told = match call(&setup.client, method, 1).await {
            Ok(n) => n.to_string(),
            Err(error) => {
                assert!(error.may_have_run());
                error.to_string()
            }
        };
        assert!(told.contains(end), "{told}");
        assert_eq!(setup.bank.runs(1), 1, "{method}");
        assert_eq!(setup.net.counts().connections, 2, "the reply was lost");
    }
}

/// Copies while the call is under way, which end the connection, and some when it was answered.
#[tokio::test(start_paused = true)]
async fn a_frame_that_comes_twice_runs_once() {
    for fate in [Fate::Twice, Fate::Copy] {
        let setup = Setup::warm().await;
        setup.net.fates(move |way, kind| match (way, kind) {
            (Way::FromClient, Kind::Request) => fate,
            _ => Fate::Pass,
        });
        for n in 1..=20 {
            assert_eq!(call(&setup.client, "Bank.Debit", n).await.unwrap(), n);
            setup.net.release();
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        let counts = setup.net.counts();
        assert!(counts.doubled + counts.held >= 20, "{counts:?}");
        assert_eq!((1..=20).map(|n| setup.bank.runs(n)).collect::<Vec<_>>(), [1; 20]);
        if fate == Fate::Copy {
            // The copies did arrive: what does not carry a number runs once each.
            let maybe = under(&setup.client, Semantics::Maybe);
            call(&maybe, "Bank.Debit", 21).await.unwrap();
            setup.net.release();
            tokio::time::sleep(Duration::from_millis(1)).await;
            assert_eq!(setup.bank.runs(21), 2);
        }
    }
}

/// A copy that comes late, after the call was answered and acknowledged.
#[tokio::test(start_paused = true)]
async fn a_copy_that_comes_late_does_not_run() {
    let setup = Setup::warm().await;
    setup.net.once(Way::FromClient, Kind::Request, Fate::Hold);
    let calling = setup.go("Bank.Debit", 1);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(setup.net.counts().held, 1);
    drop(calling); // given up, as soon as its task hears of that
    tokio::time::sleep(Duration::from_millis(1)).await;
    call(&setup.client, "Bank.Debit", 2).await.unwrap(); // which this acknowledges
    setup.net.release();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!([1, 2].map(|n| setup.bank.runs(n)), [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_call_goes_on_without_its_connection() {
    let setup = Setup::new().await;
    let going = setup.go("Bank.Pass", 1);
    let called = tokio::spawn({
        let client = setup.client.clone();
        async move { call(&client, "Bank.Pass", 2).await }
    });
    setup.bank.begun(2).await;
    for _ in 0..3 {
        setup.net.cut();
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    setup.bank.open.add_permits(2);
    assert_eq!(soon(going).await.unwrap(), 1);
    assert_eq!(soon(called).await.unwrap().unwrap(), 2);
    assert_eq!([1, 2].map(|n| setup.bank.runs(n)), [1, 1]);
    assert_eq!(setup.net.counts().connections, 4);
}

#[tokio::test(start_paused = true)]
async fn a_detached_call_goes_on_without_its_connection_too() {
    let setup = Setup::warm().await;
    setup.net.once(Way::FromClient, Kind::Request, Fate::Lose);
    setup.go("Bank.Debit", 1).detach();
    tokio::time::sleep(Duration::from_millis(1)).await;
    setup.net.cut();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(setup.bank.runs(1), 1);
}

/// Server crash while it runs, or after the effect: its memory is gone, and the call does not run again.
#[tokio::test(start_paused = true)]
async fn a_server_that_has_lost_its_memory_does_not_run_it_again() {
    for has_ended in [false, true] {
        let setup = Setup::warm().await;
        let calling = setup.go("Bank.Pass", 1);
        setup.bank.begun(1).await;
        if has_ended {
            setup.net.fates(|way, _| match way {
                Way::FromServer => Fate::Lose,
                Way::FromClient => Fate::Pass,
            });
            setup.bank.open.add_permits(1);
            tokio::time::sleep(Duration::from_millis(1)).await;
            assert_eq!(setup.net.counts().lost, 1, "the reply");
            setup.net.heal();
        }
        let next = volatile(&setup.bank);
        setup.net.server(Some(&next));
        let error = soon(calling).await.unwrap_err();
        assert!(is_unknown(&error), "{error:?}");
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(setup.bank.runs(1), 1, "never again");
        // The next call finds a session of its own.
        assert_eq!(call(&setup.client, "Bank.Debit", 2).await.unwrap(), 2);
    }
}

/// Server crash before it ran: whoever has sent it cannot know that, and is told so.
#[tokio::test(start_paused = true)]
async fn what_was_sent_to_a_server_that_is_gone_is_unknown_and_what_was_not_moves() {
    let setup = Setup::warm().await;
    setup.net.once(Way::FromClient, Kind::Request, Fate::Lose);
    let sent = setup.go("Bank.Debit", 1);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(setup.net.counts().lost, 1);
    setup.net.server(None);
    tokio::time::sleep(Duration::from_millis(1)).await;
    // There is nobody, and it waits.
    let parked = setup.go("Bank.Debit", 2);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let next = volatile(&setup.bank);
    setup.net.server(Some(&next));
    let error = soon(sent).await.unwrap_err();
    assert!(is_unknown(&error), "{error:?}");
    assert_eq!(soon(parked).await.unwrap(), 2);
    assert_eq!([1, 2].map(|n| setup.bank.runs(n)), [0, 1]);
}

/// Partition past the deadline: unknown, and what has not begun by then never does.
#[tokio::test(start_paused = true)]
async fn a_call_whose_time_is_over_is_unknown_and_never_begins_afterwards() {
    let setup = Setup::warm().await;
    let hurried = setup.client.with(CallOptions::new().timeout(Duration::from_secs(5)));
    // A request that the network keeps for longer, without its deadline's knowledge.
    setup.net.once(Way::FromClient, Kind::Request, Fate::Hold);
    let begun = Instant::now();
    let error = call(&hurried, "Bank.Debit", 1).await.unwrap_err();
    assert!(matches!(error, Error::Deadline { may_have_run: true }), "{error:?}");
    assert_eq!(begun.elapsed().as_secs(), 5);
    // The acknowledgement travels alone, a second later.
    tokio::time::sleep(Duration::from_secs(2)).await;
    setup.net.release();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(setup.bank.runs(1), 0);
}

/// The handle was kept, so the call can be asked for again.
#[tokio::test(start_paused = true)]
async fn whoever_keeps_the_handle_learns_the_outcome_after_a_partition() {
    let setup = Setup::warm().await;
    let mut calling = setup.go("Bank.Pass", 1);
    setup.bank.begun(1).await;
    setup.net.fates(|_, _| Fate::Lose);
    let waited = tokio::time::timeout(Duration::from_secs(60), &mut calling).await;
    assert!(waited.is_err());
    setup.bank.open.add_permits(1);
    tokio::time::sleep(Duration::from_secs(1)).await;
    setup.net.heal();
    setup.net.cut();
    assert_eq!(soon(calling).await.unwrap(), 1);
    assert_eq!(setup.bank.runs(1), 1);
}

#[tokio::test(start_paused = true)]
async fn many_calls_pass_a_small_window() {
    let setup = Setup::with(Ledger::volatile().window(3)).await;
    let all = join_all((0..100).map(|n| call(&setup.client, "Bank.Debit", n))).await;
    for (n, outcome) in (0..).zip(all) {
        assert_eq!(outcome.unwrap(), n);
        assert_eq!(setup.bank.runs(n), 1);
    }
}

/// A session that is over takes no call, and another is opened.
#[tokio::test(start_paused = true)]
async fn a_session_that_has_ended_is_replaced() {
    let lease = Duration::from_secs(60);
    let setup = Setup::with(Ledger::volatile().lease(lease)).await;
    for n in 0..5 {
        assert_eq!(call(&setup.client, "Bank.Debit", n).await.unwrap(), n);
        tokio::time::sleep(lease * u32::try_from(n).unwrap()).await;
        assert_eq!(setup.bank.runs(n), 1);
    }
    // One that is away while its session ends, with a call that may have run, does not know.
    setup.net.once(Way::FromClient, Kind::Request, Fate::Lose);
    let calling = setup.go("Bank.Debit", 9);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(setup.net.counts().lost, 1);
    tokio::time::sleep(3 * lease).await;
    setup.net.cut();
    let error = soon(calling).await.unwrap_err();
    assert!(is_unknown(&error), "{error:?}");
    assert_eq!(setup.bank.runs(9), 0);
}

#[tokio::test(start_paused = true)]
async fn a_server_without_a_ledger_runs_nothing() {
    let bank = Bank::new();
    let plain = Server::new();
    plain.register(bank.clone()).unwrap();
    let net = Net::new(&plain);
    let client = client(&net).await;
    let error = call(&client, "Bank.Debit", 1).await.unwrap_err();
    assert!(matches!(error, Error::Refused { refusal: Refusal::Unsupported, .. }), "{error:?}");
    assert!(error.to_string().starts_with("no session for calls that run once: "), "{error}");
    // One that had a ledger, and was replaced by one that has not.
    let with = volatile(&bank);
    net.server(Some(&with));
    call(&client, "Bank.Debit", 2).await.unwrap();
    net.once(Way::FromServer, Kind::Reply, Fate::Lose);
    let calling = client.go::<_, u64>("Bank.Debit", &3);
    tokio::time::sleep(Duration::from_millis(1)).await;
    net.server(Some(&plain));
    let error = soon(calling).await.unwrap_err();
    assert!(is_unknown(&error), "{error:?}");
    assert_eq!([1, 2, 3].map(|n| bank.runs(n)), [0, 1, 1]);
}

/// A storm of losses, copies and cuts: no call runs twice, every answer is of a call that ran, and what is
/// said not to have run has not. Without numbers, some do run twice.
#[tokio::test(start_paused = true)]
async fn in_a_storm_no_call_runs_twice() {
    let mut twice = [0, 0];
    let mut happened = [0; 4];
    for seed in 0..20 {
        for (twice, semantics) in
            twice.iter_mut().zip([Semantics::AtMostOnce, Semantics::AtLeastOnce])
        {
            let setup = Setup::with(Ledger::volatile().window(16)).await;
            let client = under(&setup.client, semantics);
            let client = client.with(CallOptions::new().timeout(Duration::from_secs(300)));
            let mut random = Random::new(seed);
            setup.net.fates(move |_, kind| match (kind, random.below(100)) {
                (Kind::Request | Kind::Reply | Kind::Fault | Kind::Acknowledgement, 0..4) => {
                    Fate::Twice
                }
                (_, 4..8) => Fate::PassAndCut,
                (_, 8..12) => Fate::Cut,
                _ => Fate::Pass,
            });
            // Copies of what has no number would break the connection.
            let calls = (0..60).map(|n| {
                let client = client.clone();
                let method = if n % 3 == 0 { "Bank.Refuse" } else { "Bank.Debit" };
                async move {
                    tokio::time::sleep(Duration::from_millis(n * 7 % 50)).await;
                    (n, client.call::<_, u64>(method, &n).await)
                }
            });
            let told =
                tokio::time::timeout(Duration::from_secs(400), join_all(calls)).await.unwrap();
            let mut answered = BTreeSet::new();
            for (n, outcome) in told {
                let runs = setup.bank.runs(n);
                match outcome {
                    Ok(_) | Err(Error::Method(_)) => {
                        assert!(runs >= 1, "{n} was answered");
                        answered.insert(n);
                    }
                    Err(error) if !error.may_have_run() => assert_eq!(runs, 0, "{n}: {error:?}"),
                    Err(_) => {}
                }
                *twice += usize::from(runs > 1);
            }
            if semantics == Semantics::AtMostOnce {
                assert_eq!(answered.len(), 60, "all are answered in the end");
                let counts = setup.net.counts();
                let all = [counts.connections - 1, counts.doubled, counts.cut, 60];
                happened.iter_mut().zip(all).for_each(|(sum, n)| *sum += n);
            }
        }
    }
    assert_eq!(twice[0], 0);
    assert!(twice[1] > 10, "without numbers: {twice:?}");
    assert!(happened.iter().all(|count| *count > 20), "{happened:?}");
}

/// What a method insists on is known before anything is sent.
#[tokio::test(start_paused = true)]
async fn a_call_that_asks_for_too_little_is_not_sent() {
    let setup = Setup::warm().await;
    setup.net.fates(|_, kind| panic!("a frame of {kind:?}"));
    let once = TypedMethod::<u64, u64>::new("Bank.Debit").demanding(Demand::AtMostOnce);
    let exactly = TypedMethod::<u64, u64>::new("Bank.Debit").demanding(Demand::ExactlyOnce);
    let table = [
        (once, Semantics::Maybe, "AtMostOnce"),
        (once, Semantics::AtLeastOnce, "AtMostOnce"),
        (exactly, Semantics::AtMostOnce, "ExactlyOnce"),
    ];
    for (method, semantics, wanted) in table {
        let client = under(&setup.client, semantics);
        for error in [client.call(method, &1).await, client.go(method, &1).await] {
            let error = error.unwrap_err();
            let unsupported = matches!(error, Error::Refused { refusal: Refusal::Unsupported, .. });
            assert!(unsupported && !error.may_have_run(), "{error:?}");
            let hint = format!("CallOptions::semantics(Semantics::{wanted})");
            assert!(error.to_string().ends_with(&hint), "{error}");
        }
    }
    setup.net.heal();
    assert_eq!(setup.client.call(once, &1).await.unwrap(), 1);
    assert_eq!(setup.bank.runs(1), 1);
}
