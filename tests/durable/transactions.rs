//! What handlers write into the ledger's own store.

use netrpc::{Ledger, Server};
use netrpc_core::{semantics::Semantics, wire::FaultCode};

use crate::{
    bank::{Outside, exactly},
    common::{
        poll_once, soon,
        tracked::{Asking, peer},
    },
    disk::{Disk, Random},
};

#[tokio::test]
async fn an_effect_is_there_with_its_outcome_and_once() {
    let (outside, disk) = (Outside::default(), Disk::default());
    let server = outside.on(&disk);
    let mut client = peer(&server).await;
    let grant = client.open().await;
    let asking = exactly(&grant, 1, "Bank.Deposit", &("alice", 5));
    assert_eq!(soon(client.ask(1, &asking)).await.reply::<u64>(), 5);
    let again = soon(client.ask(2, &asking)).await;
    assert_eq!((again.reply::<u64>(), again.standing.is_replayed), (5, true));
    let sum = exactly(&grant, 2, "Bank.Balance", "alice");
    assert_eq!(soon(client.ask(3, &sum)).await.reply::<u64>(), 5);
    assert_eq!(outside.runs(), 1);
    // All of it costs a sync for the session, and one for each call.
    let before = disk.syncs();
    let asking = exactly(&grant, 3, "Bank.Deposit", &("alice", 5));
    soon(client.ask(4, &asking)).await;
    let syncs_of_one = disk.syncs() - before;
    let before = disk.syncs();
    soon(client.ask(5, &Asking::new(&grant, 4, "Bank.Count", &()))).await;
    assert_eq!(disk.syncs() - before, 2 * syncs_of_one, "its start is recorded, too");
}

#[tokio::test]
async fn what_fails_or_panics_leaves_nothing_behind() {
    let (outside, disk) = (Outside::default(), Disk::default());
    let server = outside.on(&disk);
    let mut client = peer(&server).await;
    let grant = client.open().await;
    soon(client.ask(1, &exactly(&grant, 1, "Bank.Deposit", &("alice", 5)))).await;
    for (seq, panics, code) in [(2, false, FaultCode::Method), (3, true, FaultCode::Panicked)] {
        let asking = exactly(&grant, seq, "Bank.Fail", &panics);
        let first = soon(client.ask(seq, &asking)).await;
        let again = soon(client.ask(10 + seq, &asking)).await;
        assert_eq!(first.code(), code);
        assert_eq!(first.outcome, again.outcome, "its error is remembered");
        assert!(again.standing.is_replayed);
    }
    let sum = exactly(&grant, 4, "Bank.Balance", "alice");
    assert_eq!(soon(client.ask(4, &sum)).await.reply::<u64>(), 5);
}

#[tokio::test]
async fn a_transaction_sees_its_own_writes() {
    let (outside, disk) = (Outside::default(), Disk::default());
    let server = outside.on(&disk);
    let mut client = peer(&server).await;
    let grant = client.open().await;
    let seen = soon(client.ask(1, &exactly(&grant, 1, "Bank.Everything", &()))).await;
    let seen = seen.reply::<Vec<String>>();
    let in_use = "the call's transaction is in use: drop the other guard first";
    assert_eq!(seen, [in_use, "a=1", "c=3", "None", "Some(1)"]);
}

#[tokio::test]
async fn one_handler_writes_at_a_time_and_others_go_on() {
    let (outside, disk) = (Outside::default(), Disk::default());
    let server = outside.on(&disk);
    let mut client = peer(&server).await;
    let grant = client.open().await;
    let mut out = exactly(&grant, 1, "Bank.DepositLater", &("alice", 1)).frame(1);
    out.extend(exactly(&grant, 2, "Bank.DepositLater", &("alice", 2)).frame(2));
    client.send(&out).await;
    outside.has_begun().await;
    // This runtime has one thread: if the second blocked it, nothing would be answered.
    let other = Asking::new(&grant, 3, "Bank.Count", &());
    soon(client.ask(3, &other)).await;
    assert_eq!(outside.begun.0.available_permits(), 0, "the second has not begun");
    assert!(poll_once(Box::pin(client.answer())).await.is_pending());
    outside.let_go();
    assert_eq!(soon(client.answered(1)).await.reply::<u64>(), 1);
    outside.has_begun().await;
    outside.let_go();
    assert_eq!(soon(client.answered(2)).await.reply::<u64>(), 3);
}

#[tokio::test]
async fn whoever_waits_for_its_turn_until_its_time_is_over_does_not_begin() {
    let (outside, disk) = (Outside::default(), Disk::default());
    let server = outside.on(&disk);
    let mut client = peer(&server).await;
    let grant = client.open().await;
    client.send(&exactly(&grant, 1, "Bank.DepositLater", &("alice", 1)).frame(1)).await;
    outside.has_begun().await;
    let short = exactly(&grant, 2, "Bank.Deposit", &("alice", 2));
    let short = short.deadline(std::time::Duration::from_millis(1));
    let late = soon(client.ask(2, &short)).await;
    assert_eq!(late.code(), FaultCode::Expired);
    assert!(!late.standing.is_final);
    outside.let_go();
    assert_eq!(soon(client.answered(1)).await.reply::<u64>(), 1);
    let asking = exactly(&grant, 2, "Bank.Deposit", &("alice", 2));
    assert_eq!(soon(client.ask(3, &asking)).await.reply::<u64>(), 3);
}

#[tokio::test]
async fn a_transaction_that_its_call_left_behind_is_not_kept() {
    let (outside, disk) = (Outside::default(), Disk::default());
    let server = outside.on(&disk);
    let mut client = peer(&server).await;
    let grant = client.open().await;
    let failed = soon(client.ask(1, &exactly(&grant, 1, "Bank.LeaveBehind", &()))).await;
    assert!(failed.text().contains("in use"), "{}", failed.text());
    // The next has its turn when that has ended.
    client.send(&exactly(&grant, 2, "Bank.Balance", "alice").frame(2)).await;
    assert!(poll_once(Box::pin(client.answer())).await.is_pending());
    outside.let_go();
    assert_eq!(soon(client.answered(2)).await.reply::<u64>(), 0);
    outside.has_begun().await;
}

#[tokio::test]
async fn what_is_not_declared_writes_nothing_and_is_not_called_exactly_once() {
    let (outside, disk) = (Outside::default(), Disk::default());
    let server = outside.on(&disk);
    let mut client = peer(&server).await;
    let grant = client.open().await;
    let asking = Asking::new(&grant, 1, "Bank.Undeclared", &());
    let (has_xid, text) = soon(client.ask(1, &asking)).await.reply::<(bool, String)>();
    assert!(has_xid && text.contains("not #[method(exactly_once)]"), "{text}");
    let refused = soon(client.ask(2, &exactly(&grant, 2, "Bank.Count", &()))).await;
    assert_eq!(refused.code(), FaultCode::Unsupported);
    assert!(refused.text().contains("it is not #[method(exactly_once)]"), "{}", refused.text());
    let less = exactly(&grant, 2, "Bank.Deposit", &("alice", 1))
        .with(&grant, |stamp| stamp.semantics = Semantics::AtMostOnce);
    let refused = soon(client.ask(3, &less)).await;
    assert!(refused.text().contains("under Semantics::ExactlyOnce only"), "{}", refused.text());
    let volatile = outside.serve(Server::builder().ledger(Ledger::volatile()));
    let mut client = peer(&volatile).await;
    let grant = client.open().await;
    let refused = soon(client.ask(1, &exactly(&grant, 1, "Bank.Deposit", &("alice", 1)))).await;
    assert!(refused.text().contains("ledger is volatile (Ledger::open)"), "{}", refused.text());
    assert_eq!(outside.runs(), 0);
}

#[tokio::test]
async fn sums_are_right_whenever_the_power_fails() {
    let mut torn = 0;
    for seed in 0..30 {
        let (outside, mut disk) = (Outside::default(), Disk::default());
        let mut random = Random::new(seed);
        let (mut grant, mut acknowledged, mut next) = (None, 0, 1);
        for _ in 0..4 {
            let server = outside.on(&disk);
            let mut client = peer(&server).await;
            let granted = match &grant {
                Some(grant) => client.resume(grant).await,
                None => client.open().await,
            };
            // Whatever is not known to have been answered, is asked again.
            let calls = random.below(8) as u64 + 1;
            let asking = |seq| exactly(&granted, seq, "Bank.Deposit", &("alice", 1));
            let mut out = Vec::new();
            (next..next + calls).for_each(|seq| out.extend(asking(seq).frame(seq)));
            client.send(&out).await;
            let heard = random.below(calls as usize + 1) as u64;
            for _ in 0..heard {
                let frame = soon(client.answer()).await.unwrap();
                assert_eq!(frame.kind, netrpc_core::wire::Kind::Reply);
            }
            torn += usize::from(heard < calls);
            disk = disk.crash(&mut random);
            let server = outside.on(&disk);
            let mut client = peer(&server).await;
            let granted = client.resume(&granted).await;
            grant = Some(granted);
            for seq in next..next + calls {
                let asking = exactly(&granted, seq, "Bank.Deposit", &("alice", 1));
                soon(client.ask(seq, &asking)).await.reply::<u64>();
            }
            next += calls;
            acknowledged += calls;
            let sum = exactly(&granted, next, "Bank.Balance", "alice");
            assert_eq!(soon(client.ask(next, &sum)).await.reply::<u64>(), acknowledged);
            next += 1;
            disk = disk.crash(&mut random);
        }
    }
    assert!(torn > 30, "the power failed in the midst of calls: {torn} times");
}
