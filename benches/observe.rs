//! What it costs to be watched: a call between two tasks of one thread, with each combination of features,
//! subscriber and recorder.
//!
//! ```text
//! cargo bench --bench observe
//! cargo bench --bench observe --features trace,metrics
//! ```
//!
//! Nanoseconds a call, of both sides together: the least of many rounds, which take turns.

use std::time::{Duration, Instant};

use netrpc::{Client, Server, SyncPolicy, service};
use tokio::runtime::Runtime;

const CALLS: u32 = 2_000;
const ROUNDS: u32 = 150;

struct Arith;

#[service]
impl Arith {
    fn multiply(&self, (a, b): (i64, i64), reply: &mut i64) {
        *reply = a * b;
    }
}

/// A way to be watched, or not.
struct Case {
    name: &'static str,
    watch: fn(&mut dyn FnMut()),
    client: Client,
    least: Duration,
}

fn round(runtime: &Runtime, client: &Client) -> Duration {
    runtime.block_on(async {
        let begun = Instant::now();
        for n in 0..i64::from(CALLS) {
            let product: i64 = client.call("Arith.Multiply", &(n, 7)).await.expect("a reply");
            assert_eq!(product, n * 7);
        }
        begun.elapsed() / CALLS
    })
}

fn connect(runtime: &Runtime) -> Client {
    runtime.block_on(async {
        let server = Server::builder().sync_policy(SyncPolicy::Inline).build();
        server.register(Arith).expect("a new name");
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        tokio::spawn(async move { server.serve_conn(theirs).await });
        let client = Client::new(ours);
        let _: i64 = client.call("Arith.Multiply", &(1, 1)).await.expect("a reply");
        client
    })
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let mut cases = Vec::new();
    for (name, watch) in ways() {
        let mut client = None;
        watch(&mut || client = Some(connect(&runtime)));
        let client = client.expect("it was run");
        cases.push(Case { name, watch, client, least: Duration::MAX });
    }
    for _ in 0..ROUNDS {
        for case in &mut cases {
            let Case { watch, client, least, .. } = case;
            watch(&mut || *least = round(&runtime, client).min(*least));
        }
    }
    for Case { name, least, .. } in cases {
        println!("{:6} ns  {name}", least.as_nanos());
    }
}

type Way = (&'static str, fn(&mut dyn FnMut()));

#[cfg(not(all(feature = "trace", feature = "metrics")))]
fn ways() -> Vec<Way> {
    vec![("without the features", |run| run())]
}

#[cfg(all(feature = "trace", feature = "metrics"))]
fn ways() -> Vec<Way> {
    use std::sync::OnceLock;

    use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
    use tracing_subscriber::{filter::LevelFilter, layer::SubscriberExt as _, registry};

    fn recorder() -> &'static PrometheusRecorder {
        static RECORDER: OnceLock<PrometheusRecorder> = OnceLock::new();
        RECORDER.get_or_init(|| PrometheusBuilder::new().build_recorder())
    }
    vec![
        ("no subscriber, no recorder", |run| run()),
        ("a subscriber that wants no spans", |run| {
            let quiet = registry().with(LevelFilter::WARN);
            tracing::subscriber::with_default(quiet, run);
        }),
        ("a subscriber that wants them, and does nothing with them", |run| {
            tracing::subscriber::with_default(registry(), run);
        }),
        ("a recorder: Prometheus", |run| metrics::with_local_recorder(recorder(), run)),
        ("both", |run| {
            tracing::subscriber::with_default(registry(), || {
                metrics::with_local_recorder(recorder(), run);
            });
        }),
    ]
}
