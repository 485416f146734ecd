//! What is promised of calls, over a way that loses, doubles, delays and changes datagrams.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use futures_util::future::join_all;
use netrpc::{CallOptions, Client, Error, Semantics};
use tokio::time::Instant;

use crate::{
    Setup, add,
    common::lossy::{Faults, Lossy},
    dial,
};

const BAD: Faults = Faults { lost: 20, doubled: 10, way: 0, delay: 30, changed: 2 };

fn semantics(semantics: Semantics) -> CallOptions {
    CallOptions::new().semantics(semantics).timeout(Duration::from_secs(600))
}

/// The calls `0..calls`, five at a time, each started when one of them is over.
async fn calls(client: &Client, calls: u64) -> Vec<Result<u64, Error>> {
    let next = std::sync::atomic::AtomicU64::new(0);
    let worker = || async {
        let mut replies = Vec::new();
        loop {
            let n = next.fetch_add(1, Relaxed);
            if n >= calls {
                return replies;
            }
            replies.push((n, add(client, n).await));
        }
    };
    let mut replies: Vec<_> =
        join_all((0..5).map(|_| worker())).await.into_iter().flatten().collect();
    replies.sort_by_key(|(n, _)| *n);
    replies.into_iter().map(|(_, reply)| reply).collect()
}

fn assert_bad(lossy: &Lossy, setup: &Setup) {
    let done = &lossy.done;
    for (what, count) in [
        ("lost", &done.lost),
        ("doubled", &done.doubled),
        ("overtaken", &done.overtaken),
        ("changed", &done.changed),
    ] {
        assert!(count.load(Relaxed) > 0, "none was {what}: {done:?}");
    }
    let counts = setup.server.datagram_counts();
    assert!(counts.duplicates > 0 && counts.strays > 0, "{counts:?}");
}

/// `[datagram.again]`
#[tokio::test(start_paused = true)]
async fn under_at_most_once_every_call_runs_once_and_is_answered() {
    let setup = Setup::new().await;
    let lossy = Lossy::to(setup.addr, BAD, 41).await;
    let client = dial(lossy.addr).await.with(semantics(Semantics::AtMostOnce));
    for (n, reply) in (0..).zip(calls(&client, 300).await) {
        assert_eq!(reply.unwrap(), n + 1);
        assert_eq!(setup.tally.runs(n), 1, "call {n}");
    }
    assert_eq!(setup.tally.total(), 300);
    assert_bad(&lossy, &setup);
}

/// `[datagram.again]` `[field.repeatable]`
#[tokio::test(start_paused = true)]
async fn under_at_least_once_every_call_runs_and_is_answered() {
    let setup = Setup::new().await;
    let lossy = Lossy::to(setup.addr, BAD, 42).await;
    let client = dial(lossy.addr).await.with(semantics(Semantics::AtLeastOnce));
    for (n, reply) in (0..).zip(calls(&client, 300).await) {
        assert_eq!(reply.unwrap(), n + 1);
        assert!(setup.tally.runs(n) >= 1);
    }
    assert!(setup.tally.total() > 300, "where the reply was lost they have run again");
    assert_bad(&lossy, &setup);
}

/// `[datagram.again]` `[datagram.once]`
#[tokio::test(start_paused = true)]
async fn under_maybe_what_is_lost_is_unknown_and_nothing_runs_twice() {
    let setup = Setup::new().await;
    let lossy = Lossy::to(setup.addr, BAD, 43).await;
    let client = dial(lossy.addr).await;
    let client = client.with(CallOptions::new().timeout(Duration::from_secs(5)));
    let (mut answered, mut ran, mut lost) = (0, 0, 0);
    for (n, reply) in (0..).zip(calls(&client, 300).await) {
        match reply {
            Ok(reply) => {
                assert_eq!((reply, setup.tally.runs(n)), (n + 1, 1));
                answered += 1;
            }
            Err(Error::Deadline { may_have_run: true }) => match setup.tally.runs(n) {
                0 => lost += 1,
                1 => ran += 1,
                runs => panic!("call {n} has run {runs} times"),
            },
            Err(error) => panic!("{error}"),
        }
    }
    assert!(answered > 100 && ran > 10 && lost > 10, "{answered} {ran} {lost}");
    assert_bad(&lossy, &setup);
}

/// A call that is answered late is not one that was lost: the server says that it has it.
/// `[datagram.receipt-delay]` `[datagram.in-use]`
#[tokio::test(start_paused = true)]
async fn a_slow_call_runs_once_and_is_asked_about_ever_less() {
    let setup = Setup::new().await;
    let lossy = Lossy::to(setup.addr, Faults::default(), 44).await;
    let client = dial(lossy.addr).await.with(semantics(Semantics::AtLeastOnce));
    let begun = Instant::now();
    let before = lossy.done.passed.load(Relaxed);
    let reply: u64 = client.call("Tally.Slow", &(7u64, 60_000u64)).await.unwrap();
    assert_eq!((reply, setup.tally.runs(7)), (7, 1));
    // The answer is not waited for any longer than it takes.
    assert!(begun.elapsed() < Duration::from_secs(61), "{:?}", begun.elapsed());
    let counts = setup.server.datagram_counts();
    assert!((3..12).contains(&counts.repeated), "it was asked about now and then: {counts:?}");
    let passed = lossy.done.passed.load(Relaxed) - before;
    assert!(passed < 35, "{passed} datagrams in a minute");
}

/// Slow calls do not keep others from being sent: what has arrived is not under way.
#[tokio::test(start_paused = true)]
async fn slow_calls_do_not_fill_the_window() {
    let setup = Setup::new().await;
    let client = dial(setup.addr).await;
    let slow: Vec<_> =
        (0..200u64).map(|n| client.go::<_, u64>("Tally.Slow", &(n, 5000u64))).collect();
    // Those are more than may be under way at once.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(setup.tally.total(), 200);
    let begun = Instant::now();
    assert_eq!(add(&client, 1000).await.unwrap(), 1001);
    assert!(begun.elapsed() < Duration::from_millis(100), "{:?}", begun.elapsed());
    for call in slow {
        call.await.unwrap();
    }
}

/// What a lost datagram costs: a wait of the retransmission timeout, which is learned.
#[tokio::test(start_paused = true)]
async fn a_way_that_is_cut_for_a_while_is_tried_ever_less_and_then_used_again() {
    let setup = Setup::new().await;
    let lossy = Lossy::to(setup.addr, Faults { delay: 10, ..Faults::default() }, 45).await;
    let client = dial(lossy.addr).await.with(semantics(Semantics::AtMostOnce));
    add(&client, 0).await.unwrap();
    lossy.cut(true);
    let calls: Vec<_> = (1..=50u64).map(|n| client.go::<_, u64>("Tally.Add", &n)).collect();
    tokio::time::sleep(Duration::from_secs(25)).await;
    let sent = lossy.done.lost.load(Relaxed);
    assert!((4..20).contains(&sent), "{sent} datagrams went into nothing, for 50 calls");
    lossy.cut(false);
    let begun = Instant::now();
    for (n, call) in (1..).zip(calls) {
        assert_eq!((call.await.unwrap(), setup.tally.runs(n)), (n + 1, 1));
    }
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

/// Calls a second over a way of 20 ms there and back on which so many of a hundred datagrams are lost in each
/// direction, in virtual time.
async fn throughput(lost: u64, callers: u64) -> f64 {
    let setup = Setup::new().await;
    let lossy = Lossy::to(setup.addr, Faults { lost, way: 10, ..Faults::default() }, 48).await;
    let client = dial(lossy.addr).await.with(semantics(Semantics::AtLeastOnce));
    add(&client, 0).await.unwrap();
    // As long as it takes until chance does not matter.
    let seconds = match (callers, lost) {
        (1, _) => 100,
        (_, 0..5) => 2,
        (_, 5..10) => 5,
        _ => 40,
    };
    let end = Instant::now() + Duration::from_secs(seconds);
    let caller = || async {
        let mut answered = 0;
        while let Ok(reply) = tokio::time::timeout_at(end, add(&client, 1)).await {
            reply.unwrap();
            answered += 1;
        }
        answered
    };
    let answered: u64 = join_all((0..callers).map(|_| caller())).await.into_iter().sum();
    answered as f64 / seconds as f64
}

/// The figures of `docs/DATAGRAMS.md`.
#[tokio::test(start_paused = true)]
async fn a_lossy_way_costs_what_the_page_says() {
    let page = include_str!("../../docs/DATAGRAMS.md");
    let rows = page.lines().filter_map(|line| {
        let cells: Option<Vec<f64>> = line
            .strip_prefix('|')?
            .strip_suffix('|')?
            .split('|')
            .map(|cell| cell.trim().trim_end_matches(" %").replace(',', "").parse().ok())
            .collect();
        cells
    });
    let mut measured = 0;
    for row in rows {
        let [lost, one, many] = row[..] else { panic!("{row:?}") };
        for (callers, said) in [(1, one), (64, many)] {
            let is = throughput(lost as u64, callers).await;
            println!("{lost} % lost, {callers} callers: {is:.0} calls/s, {said} said");
            assert!((0.6 * said..1.6 * said).contains(&is), "{lost} % lost: {is} is not {said}");
            measured += 1;
        }
    }
    assert_eq!(measured, 8, "the table is there");
}
