//! Clients that connect again: the server is killed under them and started again on the same port, and
//! again, and they go on.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use futures_util::future::join_all;
use netrpc::{CallOptions, Client, ClientBuilder, Reconnect, Wire, blocking};
use tokio::{runtime::Runtime, sync::oneshot, time::sleep};

use crate::{
    ALONE, AT, BATCH, Ended, NOTES, ROLE, common::soon, kills, load, method, notes, print,
    process::Process, scratch,
};

/// How a client's calls take it that there is no server: they wait for the next, or fail.
const WAITS: [bool; 2] = [true, false];

/// Comes back soon: there is much to do.
fn builder() -> ClientBuilder {
    let soon = Duration::from_millis(10);
    Client::builder().reconnect(Reconnect::new().first_delay(soon).max_delay(soon))
}

/// Calls in batches, whatever becomes of the server, until the test is over.
async fn call(client: Client, first: u64, over: Arc<AtomicBool>) -> Ended {
    let mut ended = Ended::default();
    let hurried = client.with(CallOptions::new().timeout(Duration::from_millis(2)));
    for batch in 0.. {
        let ids: Vec<u64> = (0..BATCH).map(|n| first + batch * BATCH + n).collect();
        let calls = ids.iter().map(|&id| {
            let client = if id.is_multiple_of(11) { &hurried } else { &client };
            async move {
                let args = (id, load(id));
                match id % 5 {
                    0 => client.call::<_, u64>(method(id), &args).await,
                    _ => client.go::<_, u64>(method(id), &args).await,
                }
            }
        });
        let outcomes = soon(join_all(calls)).await;
        ended.started += BATCH;
        let all_failed = outcomes.iter().all(Result::is_err);
        for (id, outcome) in ids.into_iter().zip(outcomes) {
            ended.note(id, outcome);
        }
        if over.load(Ordering::Relaxed) {
            break;
        }
        if all_failed {
            sleep(Duration::from_millis(5)).await; // nobody is there
        }
    }
    ended
}

/// The same from a thread without a runtime, one call after the other.
fn call_blocking(client: &blocking::Client, first: u64, over: &AtomicBool) -> Ended {
    let mut ended = Ended::default();
    for id in first.. {
        ended.started += 1;
        let outcome = client.call(method(id), &(id, load(id)));
        let failed = outcome.is_err();
        ended.note(id, outcome);
        if over.load(Ordering::Relaxed) {
            break;
        }
        if failed {
            thread::sleep(Duration::from_millis(5));
        }
    }
    ended
}

async fn start(path: &Path, at: SocketAddr) -> Process {
    let (path, at) = (path.to_str().expect("a path in UTF-8"), at.to_string());
    Process::again(ROLE, &[(NOTES, path), (AT, &at)]).await
}

/// Has one server after the other killed under the same clients, and checks what their callers were told.
async fn kill(kills: u64, path: &Path) -> [BTreeMap<String, u64>; 2] {
    let mut server = start(path, ALONE).await;
    let addr = server.addr();
    let over = Arc::new(AtomicBool::new(false));
    let mut callers = [Vec::new(), Vec::new()];
    for (n, wire) in (1..).step_by(2).zip([Wire::Native, Wire::Gob, Wire::MsgpackRpc]) {
        let client = builder().wire(wire).dial(addr).await.expect("it listens");
        // Both kinds share the connection.
        for (id, (callers, waits)) in (n..).zip(callers.iter_mut().zip(WAITS)) {
            let client = client.with(CallOptions::new().wait_for_ready(waits));
            callers.push(tokio::spawn(call(client, id << 32, over.clone())));
        }
    }
    for (id, (callers, waits)) in (99..).zip(callers.iter_mut().zip(WAITS)) {
        let builder = builder().options(CallOptions::new().wait_for_ready(waits));
        let (done, blocked) = oneshot::channel();
        let over = over.clone();
        thread::spawn(move || {
            let client = blocking::Client::dial_with(builder, addr).expect("it listens");
            done.send(call_blocking(&client, id << 32, &over))
        });
        callers.push(tokio::spawn(async { blocked.await.expect("it ends without a panic") }));
    }
    for round in 0..kills {
        // At another moment each time, and down for another while.
        sleep(Duration::from_millis(10 + round * 37 % 150)).await;
        server.kill().await;
        sleep(Duration::from_millis(round * 23 % 60)).await;
        let before = fs::metadata(path).expect("the server has made it").len();
        server = start(path, addr).await;
        let they_are_back = async {
            while fs::metadata(path).expect("it is still there").len() == before {
                sleep(Duration::from_millis(1)).await;
            }
        };
        soon(they_are_back).await;
    }
    over.store(true, Ordering::Relaxed);
    let mut all = [Ended::default(), Ended::default()];
    for (ended, callers) in all.iter_mut().zip(callers) {
        for caller in callers {
            ended.merge(soon(caller).await.expect("every call has ended as it may"));
        }
    }
    let ran = notes(path);
    let twice = ran.iter().find(|&(_, &times)| times > 1);
    assert_eq!(twice, None, "a call has run more than once");
    all.map(|ended| ended.check(&ran))
}

#[test]
fn a_client_that_connects_again_runs_no_call_twice() {
    let kills = kills();
    let path = scratch("returning");
    let runtime = Runtime::new().expect("a runtime");
    let [waiting, hasty] = runtime.block_on(kill(kills, &path));
    let _ = fs::remove_file(path);
    print(&format!("{kills} kills and starts, calls that wait"), &waiting);
    print("calls that fail fast", &hasty);
    // It was killed under load: a call that had run lost its reply.
    let ran = "lost, may have run, and ran";
    assert!(waiting.contains_key(ran) || hasty.contains_key(ran), "{waiting:?}, {hasty:?}");
    for counts in [&waiting, &hasty] {
        assert!(counts.contains_key("answered, and ran"), "no call was answered: {counts:?}");
    }
    // There was no server for some time. What has not run is sent again if its caller waits, and only then.
    let nobody = "unreachable, has not run, and did not";
    assert!(hasty.contains_key(nobody), "no call found no server: {hasty:?}");
    for what in [nobody, "lost, has not run, and did not"] {
        assert!(!waiting.contains_key(what), "calls that wait were {what}: {waiting:?}");
    }
}
