//! Metrics: every call is counted once when it begins and once when it ends, whatever it ends in.
#![cfg(all(feature = "metrics", feature = "macros"))]

mod common;

use std::{
    collections::HashMap,
    future::pending,
    sync::{Arc, OnceLock},
    time::Duration,
};

use common::{Raw, encoded, listen, pipe, soon};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use netrpc::{CallOptions, Client, Fault, Server, service};
use tokio::sync::{Mutex, MutexGuard, Notify};

/// The metrics of this process, added up since the test began. One test at a time: a look takes what was
/// counted.
struct Metrics {
    /// The connections there are, on either side.
    connections: MutexGuard<'static, f64>,
    snapshotter: &'static Snapshotter,
    seen: HashMap<Series, Value>,
}

/// A metric's name and labels.
type Series = (String, Vec<(String, String)>);

#[derive(Default)]
struct Value {
    count: u64,
    gauge: f64,
    durations: Vec<f64>,
}

impl Metrics {
    async fn begin() -> Metrics {
        static TURN: Mutex<f64> = Mutex::const_new(0.0);
        static RECORDER: OnceLock<Snapshotter> = OnceLock::new();
        let connections = TURN.lock().await;
        let snapshotter = RECORDER.get_or_init(|| {
            let recorder = DebuggingRecorder::new();
            let snapshotter = recorder.snapshotter();
            recorder.install().expect("the first");
            snapshotter
        });
        let mut metrics = Metrics { connections, snapshotter, seen: HashMap::new() };
        // The test before this one ends when its runtime does, and its connections with it.
        soon(async {
            metrics.look();
            while *metrics.connections > 0.0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
                metrics.look();
            }
        })
        .await;
        metrics.seen.clear();
        metrics
    }

    fn look(&mut self) {
        for (key, _, _, value) in self.snapshotter.snapshot().into_vec() {
            let key = key.key();
            let label = |label: &metrics::Label| (label.key().to_owned(), label.value().to_owned());
            let series = (key.name().to_owned(), key.labels().map(label).collect());
            let seen = self.seen.entry(series).or_default();
            match value {
                DebugValue::Counter(count) => seen.count += count,
                DebugValue::Gauge(gauge) => {
                    seen.gauge += gauge.into_inner();
                    if key.name().ends_with(".connections") {
                        *self.connections += gauge.into_inner();
                    }
                }
                DebugValue::Histogram(values) => {
                    seen.durations.extend(values.iter().map(|value| value.into_inner()));
                }
            }
        }
    }

    /// The values of a metric, of all series that have these labels.
    fn of(&mut self, name: &str, labels: &[(&str, &str)]) -> Vec<&Value> {
        self.look();
        let series = self.seen.iter().filter(|((known, has), _)| {
            known == name
                && labels.iter().all(|(k, v)| has.iter().any(|(key, value)| key == k && value == v))
        });
        series.map(|(_, value)| value).collect()
    }

    fn count(&mut self, name: &str, labels: &[(&str, &str)]) -> u64 {
        self.of(name, labels).iter().map(|value| value.count).sum()
    }

    fn gauge(&mut self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.of(name, labels).iter().map(|value| value.gauge).sum()
    }

    /// In seconds.
    fn durations(&mut self, name: &str, labels: &[(&str, &str)]) -> Vec<f64> {
        self.of(name, labels).iter().flat_map(|value| value.durations.clone()).collect()
    }

    /// Waits until this metric has counted so many.
    async fn counts(&mut self, name: &str, labels: &[(&str, &str)], count: u64) {
        soon(async {
            while self.count(name, labels) < count {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        assert_eq!(self.count(name, labels), count, "{name} {labels:?}");
    }

    /// Waits until a call of this method has ended so, and no other way.
    async fn ended(&mut self, side: &str, method: &str, status: &str) {
        let name = format!("netrpc.{side}.calls.finished");
        let labels = [("rpc.method", method), ("rpc.response.status_code", status)];
        self.counts(&name, &labels, 1).await;
        assert_eq!(self.count(&name, &labels[..1]), 1, "{method} ends once");
        assert_eq!(self.count(&format!("netrpc.{side}.calls.started"), &labels[..1]), 1);
        assert_eq!(self.gauge(&format!("netrpc.{side}.calls.in_flight"), &labels[..1]), 0.0);
    }
}

#[derive(Default)]
struct Work {
    runs: Arc<Notify>,
    go_on: Arc<Notify>,
}

#[service]
impl Work {
    fn quick(&self, (): (), reply: &mut u64) {
        *reply = 1;
    }

    #[method(blocking)]
    fn pool(&self, (): (), reply: &mut u64) {
        *reply = 1;
    }

    fn fails(&self, (): (), _reply: &mut u64) -> Result<(), Fault> {
        Err(Fault::new("no"))
    }

    fn panics(&self, (): (), _reply: &mut u64) {
        panic!("as it should");
    }

    async fn never(&self, (): (), _reply: &mut u64) {
        self.runs.notify_one();
        pending::<()>().await;
    }

    async fn waits(&self, (): (), reply: &mut u64) {
        self.runs.notify_one();
        self.go_on.notified().await;
        *reply = 1;
    }

    async fn naps(&self, (): (), reply: &mut u64) {
        tokio::time::sleep(Duration::from_millis(250)).await;
        *reply = 1;
    }

    fn echo(&self, bytes: &[u8], reply: &mut Vec<u8>) {
        reply.extend_from_slice(bytes);
    }
}

fn serving(name: &str, work: Work) -> Server {
    let server = Server::new();
    server.register_name(name, work).unwrap();
    server
}

#[tokio::test]
async fn every_end_of_a_call_is_counted_once_on_both_sides() {
    let mut metrics = Metrics::begin().await;
    let runs = Arc::new(Notify::new());
    let client = pipe(&serving("Ends", Work { runs: runs.clone(), ..Work::default() }));
    for (method, status) in
        [("Quick", "ok"), ("Pool", "ok"), ("Fails", "method"), ("Panics", "panicked")]
    {
        let method = &*format!("Ends.{method}");
        let _ = client.call::<_, u64>(method, &()).await;
        metrics.ended("client", method, status).await;
        metrics.ended("server", method, status).await;
        let labels = [("rpc.method", method), ("rpc.response.status_code", status)];
        assert_eq!(metrics.durations("rpc.client.call.duration", &labels).len(), 1);
        assert_eq!(metrics.durations("rpc.server.call.duration", &labels).len(), 1);
    }
    client.call::<_, u64>("Ends.Echo", &7).await.unwrap_err();
    metrics.ended("client", "Ends.Echo", "bad_arguments").await;
    metrics.ended("server", "Ends.Echo", "bad_arguments").await;

    let call = client.go::<_, u64>("Ends.Never", &());
    soon(runs.notified()).await;
    for side in ["client", "server"] {
        let never = [("rpc.method", "Ends.Never")];
        assert_eq!(metrics.count(&format!("netrpc.{side}.calls.started"), &never), 1);
        assert_eq!(metrics.gauge(&format!("netrpc.{side}.calls.in_flight"), &never), 1.0);
        assert_eq!(metrics.count(&format!("netrpc.{side}.calls.finished"), &never), 0);
    }
    drop(call);
    metrics.ended("client", "Ends.Never", "dropped").await;
    metrics.ended("server", "Ends.Never", "cancelled").await;

    client.go::<_, u64>("Ends.Naps", &()).detach();
    metrics.ended("client", "Ends.Naps", "detached").await;
    assert!(
        metrics.durations("rpc.client.call.duration", &[("rpc.method", "Ends.Naps")]).is_empty()
    );
    metrics.ended("server", "Ends.Naps", "ok").await;

    let call = client.go::<_, u64>("Ends.Waits", &());
    soon(runs.notified()).await;
    client.close().await;
    call.await.unwrap_err();
    metrics.ended("client", "Ends.Waits", "shutdown").await;
    metrics.ended("server", "Ends.Waits", "cancelled").await;
}

#[tokio::test(start_paused = true)]
async fn durations_are_seconds_of_the_runtimes_clock() {
    let mut metrics = Metrics::begin().await;
    let client = pipe(&serving("Clock", Work::default()));
    let _: u64 = client.call("Clock.Naps", &()).await.unwrap();
    let method = [("rpc.method", "Clock.Naps"), ("rpc.system.name", "netrpc")];
    for side in ["client", "server"] {
        let took = metrics.durations(&format!("rpc.{side}.call.duration"), &method);
        assert!(matches!(took[..], [0.25..0.26]), "{took:?}");
    }
    let hasty = client.with(CallOptions::new().timeout(Duration::from_millis(50)));
    hasty.call::<_, u64>("Clock.Never", &()).await.unwrap_err();
    metrics.ended("client", "Clock.Never", "deadline_exceeded").await;
}

#[tokio::test]
async fn what_peers_call_methods_is_no_label() {
    let mut metrics = Metrics::begin().await;
    let addr = listen(&serving("Names", Work::default())).await;
    let mut raw = Raw::dial(addr).await;
    for seq in 0..100 {
        let name = if seq % 2 == 0 { format!("Names.M{seq}") } else { format!("S{seq}.M") };
        raw.request(seq, &name, &encoded(&())).await;
        raw.fault(seq).await;
    }
    let other = ("rpc.method", "_OTHER");
    for kind in ["unknown_method", "unknown_service"] {
        let labels = [other, ("rpc.response.status_code", kind)];
        metrics.counts("netrpc.server.calls.finished", &labels, 50).await;
    }
    assert_eq!(metrics.count("netrpc.server.calls.started", &[other]), 100);
    let made_up = |(_, labels): &&Series| labels.iter().any(|(_, value)| value.contains(".M"));
    assert_eq!(metrics.seen.keys().find(made_up), None);
}

#[tokio::test]
async fn a_client_that_makes_up_names_has_no_more_series_than_so_many() {
    let mut metrics = Metrics::begin().await;
    let client = pipe(&serving("Many", Work::default()));
    for n in 0..700 {
        client.call::<_, u64>(&*format!("Many.N{n}"), &()).await.unwrap_err();
    }
    let finished = "netrpc.client.calls.finished";
    assert_eq!(metrics.count(finished, &[("rpc.response.status_code", "unknown_method")]), 700);
    assert_eq!(metrics.count(finished, &[("rpc.method", "_OTHER")]), 700 - 512);
    assert_eq!(metrics.count(finished, &[("rpc.method", "Many.N511")]), 1);
    assert_eq!(metrics.count(finished, &[("rpc.method", "Many.N512")]), 0);
}

#[tokio::test]
async fn bytes_and_connections_are_counted() {
    let mut metrics = Metrics::begin().await;
    let server = serving("Links", Work::default());
    let there = |metrics: &mut Metrics, side: &str| {
        metrics.gauge(&format!("netrpc.{side}.connections"), &[])
    };
    let before = ["client", "server"].map(|side| there(&mut metrics, side));
    let client = Client::dial(listen(&server).await).await.unwrap();
    let sent = vec![7u8; 100_000];
    let back: Vec<u8> = client.call("Links.Echo", &sent[..]).await.unwrap();
    assert_eq!(back.len(), sent.len());
    for side in ["client", "server"] {
        for bytes in ["received", "sent"] {
            let count = metrics.count(&format!("netrpc.{side}.{bytes}.bytes"), &[]);
            assert!((100_000..101_000).contains(&count), "{side} {bytes} {count}");
        }
        assert_eq!(metrics.count(&format!("netrpc.{side}.connections.opened"), &[]), 1);
    }
    assert_eq!(["client", "server"].map(|side| there(&mut metrics, side)), before.map(|n| n + 1.0));
    client.close().await;
    metrics.counts("netrpc.client.connections.closed", &[("reason", "closed")], 1).await;
    metrics.counts("netrpc.server.connections.closed", &[], 1).await;
    assert_eq!(["client", "server"].map(|side| there(&mut metrics, side)), before);
}

#[tokio::test]
async fn a_limit_that_is_met_is_counted_by_its_name() {
    let mut metrics = Metrics::begin().await;
    let server = Server::builder().max_connections(1).max_frame(1000).build();
    server.register_name("Limits", Work::default()).unwrap();
    let addr = listen(&server).await;
    let client = Client::dial(addr).await.unwrap();
    let large = vec![0u8; 2000];
    client.call::<_, Vec<u8>>("Limits.Echo", &large[..]).await.unwrap_err();
    metrics.counts("netrpc.limits.reached", &[("limit", "max_frame")], 1).await;
    let other = Client::dial(addr).await.unwrap();
    other.call::<_, u64>("Limits.Quick", &()).await.unwrap_err();
    metrics.counts("netrpc.limits.reached", &[("limit", "max_connections")], 1).await;
    let reason = [("reason", "too_many_connections")];
    metrics.counts("netrpc.server.connections.refused", &reason, 1).await;

    let narrow = Client::builder().max_queued_bytes(0).dial(addr).await.unwrap();
    let calls = [(); 2].map(|()| narrow.go::<_, u64>("Limits.Quick", &()));
    metrics.counts("netrpc.limits.reached", &[("limit", "max_queued_bytes")], 2).await;
    drop(calls);
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_again_over_datagrams_is_counted() {
    use common::lossy::{Faults, Lossy};
    let mut metrics = Metrics::begin().await;
    let server = Server::new();
    server.register(Work::default()).unwrap();
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let addr = socket.local_addr().unwrap();
    tokio::spawn(server.serve_datagrams(socket).unwrap());
    let lossy = Lossy::to(addr, Faults::default(), 1).await;
    let client = Client::dial_udp(lossy.addr).await.unwrap();
    let options = CallOptions::new().semantics(netrpc::Semantics::AtLeastOnce);
    let client = client.with(options);
    let call = || client.call::<_, u64>("Work.Quick", &());
    call().await.unwrap();
    assert_eq!(metrics.count("netrpc.client.datagrams.again", &[]), 0, "nothing was lost");
    lossy.cut(true);
    let call = client.go::<_, u64>("Work.Quick", &());
    tokio::time::sleep(Duration::from_secs(1)).await;
    lossy.cut(false);
    call.await.unwrap();
    let again = metrics.count("netrpc.client.datagrams.again", &[]);
    assert!((1..6).contains(&again), "{again}");
}
