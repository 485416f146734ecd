//! What a server knows that comes after one whose power has failed.

use netrpc::{Server, SyncPolicy};
use netrpc_core::wire::FaultCode;

use crate::{
    bank::{Outside, exactly, ledger},
    common::{
        soon,
        tracked::{Asking, peer},
    },
    disk::{Disk, Random},
};

#[tokio::test]
async fn what_was_answered_before_a_crash_is_answered_after_it() {
    for seed in 0..20 {
        let (outside, disk) = (Outside::default(), Disk::default());
        let before = outside.on(&disk);
        let mut client = peer(&before).await;
        let grant = client.open().await;
        assert!(grant.is_durable);
        let asking = Asking::new(&grant, 1, "Bank.Count", &());
        assert_eq!(soon(client.ask(1, &asking)).await.reply::<usize>(), 1);

        let disk = disk.crash(&mut Random::new(seed));
        // Where a session's calls are read: on the pool, or on the spot.
        let policy = if seed % 2 == 0 { SyncPolicy::Auto } else { SyncPolicy::Inline };
        let builder = Server::builder().sync_policy(policy);
        let after = outside.serve(builder.ledger(ledger(disk.open())));
        let mut client = peer(&after).await;
        let again = soon(client.ask(1, &asking)).await;
        assert_eq!(again.reply::<usize>(), 1);
        assert!(again.standing.is_replayed && again.standing.is_final);
        assert_ne!(again.standing.epoch, grant.epoch, "it is another life");
        assert_eq!(outside.runs(), 1);
        // The session goes on.
        let next = Asking::new(&grant, 2, "Bank.Count", &());
        assert_eq!(soon(client.ask(2, &next)).await.reply::<usize>(), 2);
        let resumed = client.resume(&grant).await;
        assert_eq!(resumed.incarnation.0, 1);
        assert_eq!(soon(client.acknowledge(3, &resumed, 2)).await, Ok(2));

        let disk = disk.crash(&mut Random::new(seed + 1000));
        let last = outside.on(&disk);
        let mut client = peer(&last).await;
        let stale = asking.with(&grant, |stamp| stamp.incarnation = resumed.incarnation);
        let stale = soon(client.ask(1, &stale)).await;
        assert_eq!((stale.code(), stale.standing.floor), (FaultCode::Stale, 2));
        assert_eq!(soon(client.ask(2, &next)).await.code(), FaultCode::Fenced);
    }
}

#[tokio::test]
async fn a_call_that_ran_when_the_power_failed_is_not_run_again() {
    let (outside, disk) = (Outside::default(), Disk::default());
    let before = outside.on(&disk);
    let mut client = peer(&before).await;
    let grant = client.open().await;
    let asking = Asking::new(&grant, 1, "Bank.CountLater", &());
    client.send(&asking.frame(1)).await;
    outside.has_begun().await;

    let disk = disk.crash(&mut Random::new(1));
    let after = outside.on(&disk);
    for wire_seq in [1, 2] {
        let mut client = peer(&after).await;
        let unknown = soon(client.ask(wire_seq, &asking)).await;
        assert_eq!(unknown.code(), FaultCode::OutcomeUnknown);
        assert!(unknown.standing.is_final);
        assert_eq!(unknown.standing.is_replayed, wire_seq == 2);
    }
    assert_eq!(outside.runs(), 1);
    // The handler of before comes to its end, and nobody is told.
    outside.let_go();
    assert!(
        soon(client.answer()).await.is_none(),
        "its connection has ended, and it was not answered"
    );
}

#[tokio::test]
async fn a_transaction_that_was_under_way_has_not_been() {
    for seed in 0..20 {
        let (outside, disk) = (Outside::default(), Disk::default());
        let before = outside.on(&disk);
        let mut client = peer(&before).await;
        let grant = client.open().await;
        let first = exactly(&grant, 1, "Bank.Deposit", &("alice", 5));
        assert_eq!(soon(client.ask(1, &first)).await.reply::<u64>(), 5);
        let second = exactly(&grant, 2, "Bank.DepositLater", &("alice", 7));
        client.send(&second.frame(2)).await;
        outside.has_begun().await;

        let disk = disk.crash(&mut Random::new(seed));
        let after = outside.on(&disk);
        let mut client = peer(&after).await;
        let replayed = soon(client.ask(1, &first)).await;
        assert_eq!((replayed.reply::<u64>(), replayed.standing.is_replayed), (5, true));
        outside.let_go(); // twice: for the handler of before, too
        outside.let_go();
        let again = soon(client.ask(2, &second)).await;
        assert_eq!((again.reply::<u64>(), again.standing.is_replayed), (12, false));
        let sum = exactly(&grant, 3, "Bank.Balance", "alice");
        assert_eq!(soon(client.ask(3, &sum)).await.reply::<u64>(), 12, "once, and not twice");
        assert_eq!(outside.runs(), 3, "it began twice, and had its effect once");
    }
}
