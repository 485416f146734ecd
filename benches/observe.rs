//! What it costs to be watched, checked and encrypted: a call between two tasks of one thread, with each of the
//! things that a program can put around its calls, beside one with nothing around it.
//!
//! ```text
//! cargo bench --bench observe                                        # what is there without features
//! cargo bench --bench observe --features trace,metrics,tower,tls     # all, in half a minute
//! ```
//!
//! In each round all take turns, and the ratios are those of a round: their median, the least and the
//! greatest. So the machine may be busy. Beside it are the nanoseconds of both sides together: the least of
//! all rounds.

use std::time::{Duration, Instant};

use netrpc::{CallInfo, Client, ClientBuilder, Fault, Server, ServerBuilder, SyncPolicy, service};
use tokio::runtime::Runtime;

const CALLS: u32 = 1_000;
const ROUNDS: usize = 150;

struct Arith;

#[service]
impl Arith {
    fn multiply(&self, (a, b): (i64, i64), reply: &mut i64) {
        *reply = a * b;
    }
}

/// Something around calls, or nothing.
struct Way {
    name: &'static str,
    /// What is there while calls are made.
    watch: fn(&mut dyn FnMut()),
    client: fn(ClientBuilder) -> ClientBuilder,
    server: fn(ServerBuilder) -> ServerBuilder,
}

/// A way with a connection, and how long a call took in each round.
struct Case {
    way: Way,
    connection: Client,
    took: Vec<Duration>,
}

impl Way {
    fn new(name: &'static str) -> Way {
        Way { name, watch: |run| run(), client: |it| it, server: |it| it }
    }

    fn connect(&self, runtime: &Runtime) -> Client {
        runtime.block_on(async {
            let server = (self.server)(Server::builder().sync_policy(SyncPolicy::Inline)).build();
            server.register(Arith).expect("a new name");
            let (ours, theirs) = tokio::io::duplex(64 * 1024);
            tokio::spawn(async move { server.serve_conn(theirs).await });
            let client = (self.client)(Client::builder()).connect(ours);
            let _: i64 = client.call("Arith.Multiply", &(1, 1)).await.expect("a reply");
            client
        })
    }
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

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let mut cases = Vec::new();
    for way in ways() {
        let mut connection = None;
        (way.watch)(&mut || connection = Some(way.connect(&runtime)));
        let connection = connection.expect("it was run");
        cases.push(Case { way, connection, took: Vec::new() });
    }
    for _ in 0..ROUNDS {
        for Case { way, connection, took } in &mut cases {
            (way.watch)(&mut || took.push(round(&runtime, connection)));
        }
    }
    let nothing = cases[0].took.clone();
    for Case { way, took, .. } in cases {
        let pairs = took.iter().zip(&nothing);
        let mut ratios: Vec<_> = pairs.map(|(it, nothing)| it.div_duration_f64(*nothing)).collect();
        ratios.sort_by(f64::total_cmp);
        let (least, median, greatest) = (ratios[0], ratios[ROUNDS / 2], ratios[ROUNDS - 1]);
        let nanos = took.iter().min().map_or(0, Duration::as_nanos);
        let name = way.name;
        println!("{median:5.2} × ({least:.2}–{greatest:.2}) {nanos:6} ns  {name}");
    }
}

fn ways() -> Vec<Way> {
    let mut ways = vec![
        Way::new("nothing"),
        Way {
            server: |server| server.authorize(|_: CallInfo| async { Ok::<(), Fault>(()) }),
            ..Way::new("a check of each call")
        },
    ];
    #[cfg(feature = "tower")]
    ways.extend(layers());
    #[cfg(feature = "tls")]
    ways.push(tls());
    #[cfg(all(feature = "trace", feature = "metrics"))]
    ways.extend(watched());
    ways
}

#[cfg(feature = "tower")]
fn layers() -> [Way; 2] {
    use netrpc::middleware::{client, server};
    use tower::util::MapRequestLayer;
    [
        Way {
            server: |server| server.layer(MapRequestLayer::new(|it: server::Request| it)),
            ..Way::new("a layer before the handler")
        },
        Way {
            client: |client| client.layer(MapRequestLayer::new(|it: client::Request| it)),
            ..Way::new("a layer under the caller")
        },
    ]
}

#[cfg(feature = "tls")]
fn tls() -> Way {
    use std::sync::LazyLock;

    use netrpc::tls::{Source, TlsClientConfig, TlsServerConfig};
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

    static CONFIGS: LazyLock<(TlsClientConfig, TlsServerConfig)> = LazyLock::new(|| {
        let key = || KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new([]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, key()).expect("an authority");
        let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        let own = key();
        let certificate = params.signed_by(&own, &authority).expect("a certificate");
        let (certificate, own) = (certificate.pem(), own.serialize_pem());
        let client = TlsClientConfig::builder()
            .roots(Source::bytes(authority.pem()))
            .server_name("localhost")
            .build();
        let server = TlsServerConfig::builder()
            .certificate(Source::bytes(certificate), Source::bytes(own))
            .build();
        (client.expect("one that trusts"), server.expect("one that is trusted"))
    });
    Way {
        client: |client| client.tls(&CONFIGS.0),
        server: |server| server.tls(&CONFIGS.1),
        ..Way::new("TLS")
    }
}

#[cfg(all(feature = "trace", feature = "metrics"))]
fn watched() -> [Way; 4] {
    use std::sync::OnceLock;

    use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
    use tracing_subscriber::{filter::LevelFilter, layer::SubscriberExt as _, registry};

    fn recorder() -> &'static PrometheusRecorder {
        static RECORDER: OnceLock<PrometheusRecorder> = OnceLock::new();
        RECORDER.get_or_init(|| PrometheusBuilder::new().build_recorder())
    }
    [
        Way {
            watch: |run| {
                let quiet = registry().with(LevelFilter::WARN);
                tracing::subscriber::with_default(quiet, run);
            },
            ..Way::new("a subscriber that wants no spans")
        },
        Way {
            watch: |run| tracing::subscriber::with_default(registry(), run),
            ..Way::new("a subscriber that wants them, and does nothing with them")
        },
        Way {
            watch: |run| metrics::with_local_recorder(recorder(), run),
            ..Way::new("a recorder: Prometheus")
        },
        Way {
            watch: |run| {
                tracing::subscriber::with_default(registry(), || {
                    metrics::with_local_recorder(recorder(), run);
                });
            },
            ..Way::new("both")
        },
    ]
}
