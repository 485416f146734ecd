//! What the page shows, as data; also its JSON.

use std::time::{Duration, Instant};

use netrpc_core::service::{Entry, EntryHandler, Latency, MethodSnapshot};
use serde::Serialize;

use super::{Observation, types};
use crate::Server;

/// A server at one moment.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) title: String,
    pub(super) netrpc: &'static str,
    #[serde(rename = "uptime_seconds", serialize_with = "seconds")]
    pub(super) uptime: Duration,
    #[serde(rename = "counting_seconds", serialize_with = "seconds")]
    pub(super) counting: Duration,
    #[serde(rename = "rate_seconds", serialize_with = "maybe_seconds")]
    pub(super) rated: Option<Duration>,
    pub(super) connections: usize,
    pub(super) services: Vec<ServiceReport>,
}

#[derive(Debug, Serialize)]
pub(super) struct ServiceReport {
    pub(super) name: String,
    pub(super) methods: Vec<MethodReport>,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct MethodReport {
    /// The whole one.
    pub(super) name: String,
    pub(super) aliases: &'static [&'static str],
    pub(super) doc: String,
    pub(super) arguments: String,
    pub(super) reply: String,
    /// The types with their modules.
    #[serde(skip)]
    pub(super) types: (&'static str, &'static str),
    /// Where its handler runs, if that is worth a word.
    pub(super) on_pool: bool,
    pub(super) calls: u64,
    #[serde(serialize_with = "rounded")]
    pub(super) calls_per_second: Option<f64>,
    pub(super) errors: Errors,
    pub(super) in_flight: u64,
    #[serde(rename = "latency_ns", serialize_with = "nanoseconds")]
    pub(super) latency: Option<Latency>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Errors {
    pub(super) total: u64,
    pub(super) method: u64,
    pub(super) panics: u64,
    pub(super) given_up: u64,
    pub(super) other: u64,
}

/// All methods together.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Total {
    pub(super) methods: usize,
    pub(super) calls: u64,
    pub(super) per_second: Option<f64>,
    pub(super) errors: u64,
    pub(super) in_flight: u64,
}

impl Report {
    /// Looks at the server.
    pub(super) fn of(server: &Server, title: &str, now: Instant) -> Self {
        let observation: &Observation = server.observation();
        let table = server.methods();
        let methods: Vec<_> = table.entries().into_iter().map(MethodReport::of).collect();
        let mut rates = observation.rates();
        rates.look(now, methods.iter().map(|method| (&*method.name, method.calls)));
        let mut services: Vec<_> = table
            .services()
            .iter()
            .map(|name| ServiceReport { name: name.clone(), methods: Vec::new() })
            .collect();
        for (entry, mut method) in table.entries().into_iter().zip(methods) {
            method.calls_per_second = rates.per_second(&method.name);
            let service = services.iter_mut().find(|service| service.name == entry.service());
            service.expect("every method has a service").methods.push(method);
        }
        Report {
            title: title.to_owned(),
            netrpc: env!("CARGO_PKG_VERSION"),
            uptime: observation.uptime(now),
            counting: observation.counting(now),
            rated: rates.over(),
            connections: server.connections(),
            services,
        }
    }

    pub(super) fn methods(&self) -> impl Iterator<Item = &MethodReport> {
        self.services.iter().flat_map(|service| &service.methods)
    }

    pub(super) fn total(&self) -> Total {
        let mut total = Total::of(self.methods());
        total.per_second = self.rated.map(|_| total.per_second.unwrap_or(0.0));
        total
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        let mut json = serde_json::to_vec_pretty(self).expect("it has only names and numbers");
        json.push(b'\n');
        json
    }
}

impl Total {
    pub(super) fn of<'a>(methods: impl IntoIterator<Item = &'a MethodReport>) -> Self {
        let mut total = Total::default();
        for method in methods {
            total.methods += 1;
            total.calls += method.calls;
            total.errors += method.errors.total;
            total.in_flight += method.in_flight;
            if let Some(rate) = method.calls_per_second {
                *total.per_second.get_or_insert(0.0) += rate;
            }
        }
        total
    }
}

impl MethodReport {
    fn of(entry: &std::sync::Arc<Entry>) -> Self {
        let MethodSnapshot { calls, errors, in_flight, latency, .. } = entry.stats().snapshot();
        let (arguments, reply) = entry.types();
        let synchronous = matches!(entry.handler(), EntryHandler::Sync(_));
        MethodReport {
            name: format!("{}.{}", entry.service(), entry.name()),
            aliases: entry.aliases(),
            doc: first_sentence(entry.doc()),
            arguments: types::short(arguments),
            reply: types::short(reply),
            types: (arguments, reply),
            on_pool: synchronous && !entry.pace().may_be_quick(),
            calls,
            calls_per_second: None,
            errors: Errors {
                total: errors.total(),
                method: errors.method,
                panics: errors.panics,
                given_up: errors.given_up,
                other: errors.other,
            },
            in_flight,
            latency,
        }
    }

    /// The name's two parts: the service's with its dot, and the method's own.
    pub(super) fn parts(&self) -> (&str, &str) {
        let dot = self.name.rfind('.').map_or(0, |dot| dot + 1);
        self.name.split_at(dot)
    }
}

/// What a documentation comment begins with, up to a full stop.
fn first_sentence(doc: &str) -> String {
    let lines = doc.lines().map(str::trim).skip_while(|line| line.is_empty());
    let paragraph: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
    let paragraph = paragraph.join(" ");
    match paragraph.find(". ") {
        Some(stop) => paragraph[..=stop].to_owned(),
        None => paragraph,
    }
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_millis() as f64 / 1000.0)
}

fn maybe_seconds<S: serde::Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    duration.map(|duration| duration.as_millis() as f64 / 1000.0).serialize(serializer)
}

fn rounded<S: serde::Serializer>(rate: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    rate.map(|rate| (rate * 1000.0).round() / 1000.0).serialize(serializer)
}

fn nanoseconds<S: serde::Serializer>(
    latency: &Option<Latency>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Nanoseconds {
        p50: u64,
        p90: u64,
        p99: u64,
        max: u64,
        mean: u64,
    }
    let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let latency = latency.as_ref().map(|latency| Nanoseconds {
        p50: nanos(latency.p50),
        p90: nanos(latency.p90),
        p99: nanos(latency.p99),
        max: nanos(latency.max),
        mean: nanos(latency.mean),
    });
    latency.serialize(serializer)
}

#[cfg(test)]
mod tests {
    use netrpc_core::{
        fault::FaultCode,
        service::{Method, Service},
    };

    use super::*;

    struct Arith;

    impl Service for Arith {
        const NAME: &'static str = "Arith";
        const METHODS: &'static [Method<Self>] = &[
            Method::sync("Subtract", |_, _, _, _| Ok(())).aliases(&["subtract", "minus"]),
            Method::sync("Add", |_, _, _, _| Ok(())).types(|| ("core::option::Option<u8>", "u8")),
        ];
    }

    #[test]
    fn what_is_counted_is_reported() {
        let server = Server::new();
        server.register(Arith).unwrap();
        server.register_name("Another", Arith).unwrap();
        let _page = server.debug_page();
        let since = server.observation().count().since;
        let table = server.methods();
        let add = table.find("Arith.Add").unwrap().stats();
        for call in 1..=100 {
            add.begin();
            let outcome = if call == 7 { Err(FaultCode::Panicked) } else { Ok(()) };
            add.finish(Duration::from_micros(call), outcome);
        }
        // By an alias, and not ended.
        table.find("Arith.minus").unwrap().stats().begin();

        let report = Report::of(&server, "test", since + Duration::from_secs(2));
        let names: Vec<_> = report.methods().map(|method| &*method.name).collect();
        assert_eq!(names, ["Another.Add", "Another.Subtract", "Arith.Add", "Arith.Subtract"]);
        let [_, idle, add, subtract] = report.methods().collect::<Vec<_>>()[..] else { panic!() };
        assert_eq!((&*add.arguments, &*add.reply), ("Option<u8>", "u8"));
        let errors = Errors { total: 1, panics: 1, ..Errors::default() };
        assert_eq!((add.calls, add.errors, add.calls_per_second), (100, errors, Some(50.0)));
        let latency = add.latency.unwrap();
        assert_eq!(latency.max, Duration::from_micros(100));
        assert!(latency.p50.abs_diff(Duration::from_micros(50)) < Duration::from_micros(2));
        assert_eq!((subtract.calls, subtract.in_flight, subtract.latency), (0, 1, None));
        assert_eq!((idle.calls, idle.in_flight), (0, 0));
        let total =
            Total { methods: 4, calls: 100, per_second: Some(50.0), errors: 1, in_flight: 1 };
        assert_eq!(report.total(), total);
    }

    #[test]
    fn a_doc_comment_is_shown_up_to_its_first_full_stop() {
        for (doc, shown) in [
            ("", ""),
            ("Adds.", "Adds."),
            ("\n  Waits for a version. If\nnot, it ends.", "Waits for a version."),
            (
                "Adds two numbers\nof 1.5 bytes.\n\n# Errors\nNone.",
                "Adds two numbers of 1.5 bytes.",
            ),
            ("Multiplies", "Multiplies"),
        ] {
            assert_eq!(first_sentence(doc), shown);
        }
    }
}
