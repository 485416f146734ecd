//! Watch calls: two services, one of which calls the other, seen by a subscriber and by Prometheus.
//!
//! ```text
//! cargo run --example observe --features trace,metrics
//! ```
//!
//! Each call is a span on either side, and all that follow from one order are in one trace, across
//! both servers; nothing in the services says so. A program would print its spans with
//! `tracing_subscriber::fmt`, or send them on; here ids are shown as numbers, because they are random.
//! It prints
//!
//! ```text
//! ordered 2 socks: ok
//!   trace 1: span 4 in 3  rpc.server Stock.Reserve  ok
//!   trace 1: span 3 in 2  rpc.client Stock.Reserve  ok
//!   trace 1: span 2 in 1  rpc.server Shop.Order     ok
//!   trace 1: span 1       rpc.client Shop.Order     ok
//! ordered 99 socks: there are not so many
//!   trace 2: span 8 in 7  rpc.server Stock.Reserve  method
//!   trace 2: span 7 in 6  rpc.client Stock.Reserve  method
//!   trace 2: span 6 in 5  rpc.server Shop.Order     method
//!   trace 2: span 5       rpc.client Shop.Order     method
//! Prometheus, a line of many:
//!   netrpc_server_calls_finished{rpc_system_name="netrpc",rpc_method="Shop.Order",rpc_response_status_code="method"} 1
//!   netrpc_server_calls_finished{rpc_system_name="netrpc",rpc_method="Shop.Order",rpc_response_status_code="ok"} 1
//!   netrpc_server_calls_finished{rpc_system_name="netrpc",rpc_method="Stock.Reserve",rpc_response_status_code="method"} 1
//!   netrpc_server_calls_finished{rpc_system_name="netrpc",rpc_method="Stock.Reserve",rpc_response_status_code="ok"} 1
//! ```

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::bail;
use metrics_exporter_prometheus::PrometheusBuilder;
use netrpc::{Client, Error, Fault, Server, service};
use tokio::net::TcpListener;
use tracing::{
    Id, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Record},
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt as _},
    registry::LookupSpan,
};

/// Takes orders, and asks for what is ordered.
struct Shop {
    stock: Client,
}

#[service]
impl Shop {
    async fn order(&self, socks: u64, left: &mut u64) -> Result<(), Fault> {
        match self.stock.call("Stock.Reserve", &socks).await {
            Ok(now) => *left = now,
            Err(Error::Method(fault)) => return Err(fault),
            Err(error) => return Err(Fault::new(error.to_string())),
        }
        Ok(())
    }
}

/// Has what can be ordered.
struct Stock {
    socks: AtomicU64,
}

#[service]
impl Stock {
    fn reserve(&self, socks: u64, left: &mut u64) -> anyhow::Result<()> {
        let take = |there: u64| there.checked_sub(socks);
        match self.socks.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(there) => *left = there - socks,
            Err(_) => bail!("there are not so many"),
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // Before anything that is to be counted: handles are made when a service is registered.
    let recorder = PrometheusBuilder::new().build_recorder();
    let prometheus = recorder.handle();
    metrics::set_global_recorder(recorder)?;
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(Spans::default()))?;

    let server = Server::new();
    server.register(Stock { socks: AtomicU64::new(10) })?;
    let stock = serve(server).await?;
    let server = Server::new();
    server.register(Shop { stock })?;
    let shop = serve(server).await?;

    for socks in [2, 99] {
        let ordered: Result<u64, Error> = shop.call("Shop.Order", &socks).await;
        let outcome = ordered.map_or_else(|error| error.to_string(), |_| "ok".to_owned());
        println!("ordered {socks} socks: {outcome}");
        SEEN.lock().unwrap().drain(..).for_each(|span| println!("  {span}"));
    }
    println!("Prometheus, a line of many:");
    let metrics = prometheus.render();
    let shown = |line: &&str| line.starts_with("netrpc_server_calls_finished{");
    let mut lines: Vec<_> = metrics.lines().filter(shown).collect();
    lines.sort_unstable();
    lines.iter().for_each(|line| println!("  {line}"));
    Ok(())
}

/// A client of this server, over loopback.
async fn serve(server: Server) -> anyhow::Result<Client> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    tokio::spawn(server.serve(listener));
    Ok(Client::dial(addr).await?)
}

/// What has been seen of spans that are closed.
static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Writes down each span when it is closed, with numbers for its ids.
#[derive(Default)]
struct Spans {
    numbers: Mutex<BTreeMap<String, usize>>,
    traces: Mutex<BTreeMap<String, usize>>,
}

/// The fields of a span.
#[derive(Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

/// The number that stands for an id: ids are numbered as they are first seen.
fn number(known: &Mutex<BTreeMap<String, usize>>, id: &str) -> usize {
    let mut known = known.lock().unwrap();
    let next = known.len() + 1;
    *known.entry(id.to_owned()).or_insert(next)
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, cx: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(own) = fields.0.get("span_id") {
            number(&self.numbers, own);
        }
        cx.span(id).expect("it is new").extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, cx: Context<'_, S>) {
        let span = cx.span(id).expect("it is open");
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_close(&self, id: Id, cx: Context<'_, S>) {
        let span = cx.span(&id).expect("it is there until it is closed");
        let extensions = span.extensions();
        let Some(Fields(fields)) = extensions.get::<Fields>() else { return };
        let (Some(method), Some(trace)) = (fields.get("rpc.method"), fields.get("trace_id")) else {
            return;
        };
        let place = match fields.get("parent_id") {
            Some(parent) => format!("in {}", number(&self.numbers, parent)),
            None => "    ".to_owned(),
        };
        SEEN.lock().unwrap().push(format!(
            "trace {}: span {} {place}  {} {method:14} {}",
            number(&self.traces, trace),
            number(&self.numbers, &fields["span_id"]),
            span.name(),
            fields["rpc.response.status_code"],
        ));
    }
}
