//! The simulated network: it is the same for the same seed, and goes wrong in the ways it says.

use std::{
    future::poll_fn,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use netrpc::{
    CallOptions, Client, Connector, Context, DatagramSocket, Error, Listener, Semantics, service,
    sim::{Counts, Crash, Faults, Host, Simulation, for_seeds},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadBuf},
    time::{Instant, sleep, timeout},
};

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A service that remembers how often it was called, beyond its host's crashes.
#[derive(Clone, Default)]
struct Tally(Arc<AtomicU64>);

#[service]
impl Tally {
    async fn add(&self, cx: &Context, number: u64, total: &mut u64) {
        *total = self.0.fetch_add(number, Relaxed) + number;
        if number == 0 {
            cx.cancelled().await;
        }
    }

    fn echo(&self, text: String, reply: &mut String) {
        *reply = text;
    }
}

async fn serve(host: Host, tally: Tally) -> netrpc::sim::Result {
    let server = host.server().build();
    server.register(tally)?;
    server.serve(host.listen(1000)?).await;
    Ok(())
}

/// A simulation with a host that serves.
fn with_server(seed: u64, faults: Faults) -> (Simulation, Tally) {
    let mut sim = Simulation::new(seed);
    sim.network().set_faults(faults);
    let tally = Tally::default();
    let kept = tally.clone();
    sim.host("server", move |host| serve(host, kept.clone()));
    (sim, tally)
}

fn terrible() -> Faults {
    Faults::new()
        .latency(millis(2)..millis(30))
        .drop(0.05)
        .delay(0.05, millis(10)..millis(500))
        .corrupt(0.02)
        .cut(0.02)
        .silence(0.02)
        .refuse(0.1)
}

fn patient() -> CallOptions {
    CallOptions::new().semantics(Semantics::AtLeastOnce).timeout(seconds(600))
}

/// Adds one, at least.
async fn add_one(client: Client) -> Result<u64, Error> {
    loop {
        match client.call("Tally.Add", &1_u64).await {
            // The server's first bytes were not those that it had sent, so that it seemed to be none.
            Err(Error::Shutdown { .. }) => {}
            result => return result,
        }
    }
}

/// Calls under everything that can go wrong with connections; gives what was counted and the trace's hash.
fn much_goes_wrong(seed: u64) -> (Counts, u64) {
    let (mut sim, tally) = with_server(seed, terrible());
    let sum = sim.run("client", |host| async move {
        let client = host
            .client()
            .keep_alive(seconds(2), seconds(2))
            .options(patient())
            .connect_with(host.connector("server", 1000))
            .await?;
        for round in 0..10 {
            let network = host.network();
            match round {
                3 => network.crash("server", Crash::Kill),
                6 => network.crash("server", Crash::PowerLoss),
                8 => network.partition(&["server"], &["client"]),
                _ => {}
            }
            let calls: Vec<_> = (0..10).map(|_| tokio::spawn(add_one(client.clone()))).collect();
            sleep(millis(300)).await;
            network.restart("server");
            network.heal();
            for call in calls {
                call.await??;
            }
        }
        Ok(100)
    });
    let sum: u64 = sum.unwrap();
    assert!(tally.0.load(Relaxed) >= sum, "each call ran at least once");
    (sim.counts(), sim.trace_hash())
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_another() {
    let mut hashes = std::collections::BTreeSet::new();
    for seed in 0..5 {
        let (counts, hash) = much_goes_wrong(seed);
        assert_eq!((counts, hash), much_goes_wrong(seed), "seed {seed}");
        assert!(hashes.insert(hash), "seed {seed} is as another");
    }
}

#[test]
fn everything_that_can_go_wrong_with_connections_does() {
    let mut all = Counts::default();
    for_seeds(0..40, |seed| all += much_goes_wrong(seed).0);
    let on_streams =
        ["dropped", "delayed", "corrupted", "cut", "silenced", "refused", "partitioned"];
    for (name, count) in all.iter() {
        if on_streams.contains(&name) || ["killed", "power_lost"].contains(&name) {
            assert!(count >= 10, "{name}: {all:?}");
        }
    }
}

#[test]
fn a_stream_arrives_whole_and_in_order_however_late() {
    for_seeds(0..20, |seed| {
        let mut sim = Simulation::new(seed);
        let bad =
            Faults::new().drop(0.2).delay(0.2, millis(10)..millis(900)).duplicate(0.5).reorder(0.5);
        sim.network().set_faults(bad);
        sim.host("mirror", |host| async move {
            let mut listener = host.listen(7)?;
            loop {
                let (stream, _) = listener.accept().await?;
                tokio::spawn(async move {
                    let (mut read, mut write) = tokio::io::split(stream);
                    tokio::io::copy(&mut read, &mut write).await?;
                    write.shutdown().await
                });
            }
        });
        let sent: Vec<u8> = (0..2_000_000_u32).map(|at| (at % 251) as u8).collect();
        let mut stream = sim.run("client", |host| async move {
            let stream = host.connector("mirror", 7).connect().await?;
            let (mut read, mut write) = tokio::io::split(stream);
            let told = sent.clone();
            tokio::spawn(async move {
                write.write_all(&told).await?;
                write.shutdown().await
            });
            let mut back = Vec::new();
            read.read_to_end(&mut back).await?;
            assert!(back == sent);
            Ok(())
        });
        stream.as_mut().unwrap();
        let counts = sim.counts();
        assert!(counts.dropped > 0 && counts.delayed > 0, "{counts:?}");
        assert_eq!((counts.duplicated, counts.reordered), (0, 0), "a stream knows neither");
    });
}

#[test]
fn who_does_not_read_is_not_sent_more_than_a_window() {
    let mut sim = Simulation::new(1);
    sim.host("idle", |host| async move {
        let (_stream, _) = host.listen(7)?.accept().await?;
        std::future::pending().await
    });
    let taken = sim.run("client", |host| async move {
        let mut stream = host.connector("idle", 7).connect().await?;
        let mut taken = 0;
        while let Ok(written) = timeout(seconds(5), stream.write(&[0; 10_000])).await {
            taken += written?;
        }
        Ok(taken)
    });
    assert_eq!(taken.unwrap(), 256 << 10);
}

#[test]
fn an_hour_of_waiting_takes_no_time_and_beyond_its_limit_a_simulation_ends() {
    let mut sim = Simulation::new(1);
    sim.network().set_faults(Faults::new().latency(millis(50)..millis(60)));
    let slept = sim.run("sleeper", |host| async move {
        let begun = Instant::now();
        sleep(seconds(3500)).await;
        assert_eq!(host.now(), seconds(3500));
        Ok(begun.elapsed())
    });
    assert_eq!(slept.unwrap(), seconds(3500));
    let late = sim.run("another", |_| async move {
        sleep(seconds(3500)).await;
        Ok(())
    });
    let text = late.unwrap_err().to_string();
    assert!(text.starts_with("another was not done after 3600s (seed 1"), "{text}");
}

#[test]
fn what_ends_a_host_badly_ends_the_simulation() {
    let mut sim = Simulation::new(3);
    sim.host("faulty", |_| async { Err("it has no licence".into()) });
    let result = sim.run("client", |_| async {
        sleep(seconds(1)).await;
        Ok(())
    });
    let text = result.unwrap_err().to_string();
    assert!(text.starts_with("host faulty failed: it has no licence (seed 3"), "{text}");

    let panics = std::panic::catch_unwind(|| {
        Simulation::new(3).run::<(), _>("client", |_| async { panic!("on purpose") })
    });
    assert_eq!(panics.unwrap_err().downcast_ref(), Some(&"on purpose"));
}

#[test]
fn a_crash_drops_every_task_and_a_restart_begins_anew() {
    let mut sim = Simulation::new(9);
    let beats = Arc::new(AtomicU64::new(0));
    let lives = Arc::new(AtomicU64::new(0));
    let (heart, births) = (beats.clone(), lives.clone());
    sim.host("mortal", move |host| {
        let (heart, births) = (heart.clone(), births.clone());
        async move {
            births.fetch_add(1, Relaxed);
            assert_eq!(host.life(), births.load(Relaxed));
            // A task of its own, that nobody holds.
            tokio::spawn(async move {
                loop {
                    sleep(millis(10)).await;
                    heart.fetch_add(1, Relaxed);
                }
            });
            std::future::pending().await
        }
    });
    sim.run_for(seconds(1)).unwrap();
    assert!((95..=100).contains(&beats.load(Relaxed)), "{beats:?}");
    sim.network().crash("mortal", Crash::Kill);
    sim.run_for(seconds(1)).unwrap();
    let at_its_end = beats.load(Relaxed);
    assert!(at_its_end <= 105 && !sim.network().is_up("mortal"));
    sim.run_for(seconds(10)).unwrap();
    assert_eq!(beats.load(Relaxed), at_its_end, "nothing of it goes on");
    sim.network().restart("mortal");
    sim.run_for(seconds(1)).unwrap();
    assert_eq!(lives.load(Relaxed), 2);
    assert!(beats.load(Relaxed) > at_its_end + 90);
    assert_eq!(sim.counts().killed, 1);
}

/// How a read of a connection to a host ends when that crashes, and whether it is told at all.
fn told_of_a_crash(crash: Crash) -> Option<io::ErrorKind> {
    let mut sim = Simulation::new(4);
    sim.host("mortal", |host| async move {
        let mut listener = host.listen(7)?;
        let mut streams = Vec::new();
        loop {
            streams.push(listener.accept().await?);
        }
    });
    let told = sim.run("client", move |host| async move {
        let mut stream = host.connector("mortal", 7).connect().await?;
        host.network().crash("mortal", crash);
        let read = timeout(seconds(60), stream.read_u8()).await;
        assert!(!host.network().is_up("mortal"));
        let told = read.ok().map(|read| read.unwrap_err().kind());
        if told.is_none() {
            // Back again, its system knows nothing of the connection, and says so when it hears of it.
            host.network().restart("mortal");
            stream.write_all(b"are you there?").await?;
            assert_eq!(stream.read_u8().await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        }
        Ok(told)
    });
    told.unwrap()
}

#[test]
fn a_killed_process_is_told_to_its_peers_and_a_power_failure_is_not() {
    assert_eq!(told_of_a_crash(Crash::Kill), Some(io::ErrorKind::ConnectionReset));
    assert_eq!(told_of_a_crash(Crash::PowerLoss), None);
}

#[test]
fn a_partition_holds_what_is_sent_until_it_is_healed_and_one_way_only_where_it_is() {
    let (mut sim, tally) = with_server(5, Faults::new());
    let ran = tally.clone();
    sim.run("client", move |host| async move {
        let client = host.client().connect_with(host.connector("server", 1000)).await?;
        client.call::<_, u64>("Tally.Add", &1_u64).await?;

        host.network().partition(&["client"], &["server"]);
        let call = client.go::<_, u64>("Tally.Add", &10_u64);
        sleep(seconds(5)).await;
        assert_eq!(ran.0.load(Relaxed), 1, "the request does not get through");
        host.network().heal();
        assert_eq!(call.await?, 11);

        host.network().partition_one_way(&["server"], &["client"]);
        let mut call = client.go::<_, u64>("Tally.Add", &100_u64);
        assert!(timeout(seconds(5), &mut call).await.is_err(), "the reply does not get through");
        assert_eq!(ran.0.load(Relaxed), 111, "the request does");
        host.network().rejoin("client");
        assert_eq!(call.await?, 111);
        Ok(())
    })
    .unwrap();
    assert!(sim.counts().partitioned >= 2);
}

#[test]
fn by_message_one_call_is_lost_and_the_connection_stays() {
    let (mut sim, tally) = with_server(6, Faults::unreliable());
    let (lost, ran) = sim
        .run("client", move |host| async move {
            let options = CallOptions::new().timeout(millis(500));
            let client = host.client().options(options);
            let client = client.connect_with(host.connector("server", 1000)).await?;
            let calls: Vec<_> =
                (0..500).map(|_| client.go::<_, u64>("Tally.Add", &1_u64)).collect();
            let mut lost = 0;
            for call in calls {
                match call.await {
                    Ok(_) => {}
                    Err(Error::Deadline { may_have_run: true }) => lost += 1,
                    Err(other) => return Err(other.into()),
                }
            }
            Ok((lost, tally.0.load(Relaxed)))
        })
        .unwrap();
    let dropped = sim.counts().dropped;
    assert!((50..150).contains(&lost), "a tenth of the requests, and of the answers: {lost}");
    assert_eq!(lost, dropped, "each by itself");
    assert!((425..475).contains(&ran), "only those whose request was lost have not run: {ran}");
    let traffic = sim.network().traffic("server");
    assert_eq!(traffic.calls, ran);
    assert!(traffic.bytes_in > 500 * 20 && traffic.bytes_out > 400 * 20, "{traffic:?}");
}

#[test]
fn by_message_answers_overtake_each_other_and_come_late() {
    let (mut sim, _) = with_server(7, Faults::unreliable().drop(0.0));
    let network = sim.network();
    let order = sim.run("client", move |host| async move {
        let back = Faults::unreliable().drop(0.0).long_reordering();
        network.set_faults_between("server", "client", back);
        let client = host.client().connect_with(host.connector("server", 1000)).await?;
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        for number in 0..100 {
            let (client, tell) = (client.clone(), tell.clone());
            tokio::spawn(async move {
                let text: String = client.call("Tally.Echo", &number.to_string()).await?;
                let _ = tell.send((text.parse::<u32>().unwrap(), Instant::now()));
                Ok::<_, Error>(())
            });
        }
        drop(tell);
        let begun = Instant::now();
        let mut order = Vec::new();
        while let Some((number, at)) = told.recv().await {
            order.push((number, at - begun));
        }
        Ok(order)
    });
    let order = order.unwrap();
    assert_eq!(order.len(), 100);
    assert!(!order.is_sorted(), "some were overtaken");
    let late = order.iter().filter(|(_, after)| *after > millis(200)).count();
    assert!((50..85).contains(&late), "two of three are late: {late}");
    assert_eq!(sim.counts().delayed, late as u64);
}

#[test]
fn by_message_a_request_that_comes_twice_runs_twice() {
    let (mut sim, tally) = with_server(8, Faults::new().by_message(true).duplicate(0.5));
    sim.run("client", move |host| async move {
        let client = host.client().connect_with(host.connector("server", 1000)).await?;
        for _ in 0..100 {
            client.call::<_, u64>("Tally.Add", &1_u64).await?;
        }
        Ok(())
    })
    .unwrap();
    sim.run_for(seconds(1)).unwrap();
    let ran = tally.0.load(Relaxed);
    assert!((130..=170).contains(&ran), "nothing keeps `Maybe` from it: {ran}");
}

#[test]
fn datagrams_are_lost_doubled_late_overtaken_and_corrupted() {
    let mut sim = Simulation::new(2);
    let bad = Faults::new()
        .drop(0.1)
        .duplicate(0.1)
        .reorder(0.1)
        .corrupt(0.05)
        .delay(0.05, seconds(1)..seconds(2));
    sim.network().set_faults(bad);
    let arrived = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let kept = arrived.clone();
    sim.host("mirror", move |host| {
        let kept = kept.clone();
        async move {
            let socket = host.datagram(9)?;
            let mut buf = [0; 64];
            loop {
                let mut buffer = ReadBuf::new(&mut buf);
                let from = poll_fn(|cx| socket.poll_recv_from(cx, &mut buffer)).await?;
                assert_eq!(from.port(), 5);
                kept.lock().push(buffer.filled().to_vec());
            }
        }
    });
    sim.run("client", |host| async move {
        let (socket, there) = (host.datagram(5)?, host.address("mirror", 9));
        for number in 0..1000_u32 {
            let datagram = number.to_le_bytes();
            poll_fn(|cx| socket.poll_send_to(cx, &datagram, &there)).await?;
            sleep(millis(5)).await;
        }
        host.network().isolate("mirror");
        poll_fn(|cx| socket.poll_send_to(cx, b"held up", &there)).await?;
        host.network().rejoin("mirror");
        sleep(seconds(5)).await;
        Ok(())
    })
    .unwrap();
    let arrived = arrived.lock().clone();
    let counts = sim.counts();
    assert_eq!(arrived.len() as u64, 1000 - counts.dropped + counts.duplicated);
    let numbers: Vec<_> =
        arrived.iter().map(|it| u32::from_le_bytes(it[..].try_into().unwrap())).collect();
    assert!(!numbers.is_sorted());
    let wrong = numbers.iter().filter(|number| **number >= 1000).count() as u64;
    assert!(wrong > 0 && wrong <= counts.corrupted * 2, "{wrong} {counts:?}");
    for (name, count) in counts.iter() {
        let expected =
            ["dropped", "duplicated", "delayed", "reordered", "corrupted", "partitioned"];
        assert_eq!(count > 0, expected.contains(&name), "{name}: {counts:?}");
    }
}
