//! The interop matrix: which case holds in which protocol and direction, and why some cannot.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Write},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    Gob,
    /// HTTP `CONNECT`, then gob.
    Http,
    JsonRpc,
    Msgpack,
}

impl Protocol {
    pub const ALL: [Protocol; 4] =
        [Protocol::Gob, Protocol::Http, Protocol::JsonRpc, Protocol::Msgpack];

    pub fn is_gob(self) -> bool {
        matches!(self, Protocol::Gob | Protocol::Http)
    }
}

/// As the Go program is told.
impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Protocol::Gob => "gob",
            Protocol::Http => "http",
            Protocol::JsonRpc => "jsonrpc",
            Protocol::Msgpack => "msgpack",
        })
    }
}

/// Who calls whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    GoCallsUs,
    WeCallGo,
    /// What holds between two Go programs: if a case fails here, the case is wrong.
    GoCallsGo,
}

impl Way {
    pub const ALL: [Way; 3] = [Way::GoCallsUs, Way::WeCallGo, Way::GoCallsGo];
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Way::GoCallsUs => "Go calls netrpc",
            Way::WeCallGo => "netrpc calls Go",
            Way::GoCallsGo => "Go calls Go",
        })
    }
}

/// A row.
pub struct Case {
    pub name: &'static str,
    exceptions: Vec<(There, &'static str)>,
}

/// Whether an exception is about a direction and a protocol.
type There = fn(Way, Protocol) -> bool;

impl Case {
    /// Why the case means nothing there.
    pub fn exception(&self, way: Way, protocol: Protocol) -> Option<&'static str> {
        self.exceptions.iter().find(|(there, _)| there(way, protocol)).map(|(_, why)| *why)
    }

    fn except(mut self, there: There, why: &'static str) -> Self {
        self.exceptions.push((there, why));
        self
    }
}

/// Every row, in the order of the table.
pub fn cases() -> Vec<Case> {
    use Protocol::*;
    use Way::*;
    let case = |name| Case { name, exceptions: Vec::new() };
    let no_server = |name| {
        case(name).except(|way, _| way == WeCallGo, "it is about what a server does with bytes")
    };
    let ours = |name| case(name).except(|way, _| way != WeCallGo, "it is about our client");
    let http = |name| case(name).except(|_, protocol| protocol != Http, "it is about HTTP");
    let json = |name| {
        no_server(name).except(|_, protocol| protocol != JsonRpc, "it is about JSON on a socket")
    };
    vec![
        case("bool"),
        case("signed-integers"),
        case("unsigned-integers"),
        case("floats"),
        case("floats-not-finite")
            .except(|_, protocol| protocol == JsonRpc, "JSON has no NaN and no infinities"),
        case("strings"),
        case("bytes"),
        case("named-types"),
        case("slices"),
        case("arrays"),
        case("maps"),
        case("maps-odd-keys").except(
            |_, protocol| protocol == JsonRpc,
            "Go's JSON has no maps whose keys are neither text nor integers",
        ),
        case("nested-structs"),
        case("embedded-as-field").except(
            |_, protocol| !protocol.is_gob(),
            "Go's JSON and MessagePack put an embedded struct's fields in line",
        ),
        case("embedded-flattened")
            .except(|_, protocol| protocol.is_gob(), "gob makes an embedded struct a field"),
        case("pointers"),
        case("pointers-to-zero"),
        case("pointers-to-structs"),
        case("pointers-in-collections"),
        case("skipped-fields"),
        case("structs-without-fields"),
        case("newtypes-of-bytes"),
        case("dynamic-values").except(
            |_, protocol| protocol != JsonRpc,
            "only JSON says of every value what it is and asks nobody to know it before",
        ),
        case("borrowed-arguments").except(|way, _| way != GoCallsUs, "it is about our handlers"),
        case("none-as-reply").except(|way, _| way != GoCallsUs, "it is about our handlers"),
        case("recursive-structs"),
        case("fewer-fields"),
        case("more-fields"),
        case("reordered-fields"),
        case("field-names"),
        case("field-names-in-rust"),
        case("zero-values"),
        case("every-kind-of-field"),
        case("empty-collections"),
        case("empty-nested"),
        case("nil-replies")
            .except(|way, _| way == GoCallsUs, "Rust's collections are never nil")
            .except(
                |way, protocol| way == GoCallsGo && protocol == JsonRpc,
                "Go's own client takes a null result for an error",
            ),
        case("nothing"),
        case("arrays-are-tuples"),
        case("structs-are-tuples").except(
            |_, protocol| !protocol.is_gob(),
            "in JSON and MessagePack a struct is a map, whose entries have no order",
        ),
        case("string-constants"),
        case("integer-constants"),
        case("sum-types").except(
            |_, protocol| !protocol.is_gob(),
            "what is nil is also there in JSON and MessagePack, and serde's variants are one field",
        ),
        case("interfaces")
            .except(|_, protocol| !protocol.is_gob(), "only gob says what type a value is of")
            .except(|way, _| way == WeCallGo, "we do not send values of interface{}"),
        case("interfaces-in-replies")
            .except(|_, protocol| !protocol.is_gob(), "only gob says what type a value is of")
            .except(|way, _| way == GoCallsUs, "we do not send values of interface{}"),
        case("time"),
        case("complex-numbers")
            .except(|_, protocol| !protocol.is_gob(), "only gob has complex numbers"),
        case("a-type-that-marshals")
            .except(|_, protocol| !protocol.is_gob(), "only gob says that it has marshaled itself"),
        case("long-collections"),
        case("widths-of-integers"),
        case("overflowing-integers").except(
            |way, protocol| way != GoCallsUs && protocol == Msgpack,
            "HashiCorp's server loses its place in the stream after arguments that do not fit",
        ),
        case("a-string-not-in-utf-8"),
        case("all-values-on-a-connection"),
        case("go's-own-test"),
        ours("typed-stub"),
        ours("blocking-client"),
        case("handler-errors"),
        case("empty-error-text"),
        case("unknown-names"),
        case("bad-arguments").except(
            |way, protocol| way != GoCallsUs && protocol == Msgpack,
            "HashiCorp's server loses its place in the stream after arguments that do not fit",
        ),
        case("arguments-without-a-field"),
        ours("a-reply-of-another-type"),
        case("a-panic").except(|way, _| way != GoCallsUs, "a Go server dies of it"),
        case("a-reply-not-encodable")
            .except(|way, _| way != GoCallsUs, "a Go server closes the connection"),
        case("100-in-flight-reversed"),
        case("100-in-flight-sleeping"),
        case("many-callers"),
        case("more-than-may-wait"),
        case("16-mib-each-way"),
        case("over-the-limit").except(|way, _| way == GoCallsGo, "Go has no limit"),
        case("too-deep").except(|way, _| way == GoCallsGo, "Go has no limit"),
        ours("timeout"),
        ours("dropped-calls"),
        ours("metadata"),
        case("half-close"),
        case("after-close"),
        case("client-goes-away"),
        case("server-restart"),
        case("crowd"),
        case("graceful-shutdown")
            .except(|way, _| way != GoCallsUs, "a Go server has no such thing"),
        case("restricted-server")
            .except(|way, _| way != GoCallsUs, "a Go server speaks one protocol on a port"),
        http("http-other-path"),
        http("http-wrong-path"),
        http("http-get").except(|way, _| way == WeCallGo, "our client does not get"),
        http("http-headers").except(|way, _| way == WeCallGo, "our client's request is one"),
        http("http-early-bytes")
            .except(|way, _| way == WeCallGo, "our client waits for the answer")
            .except(|way, _| way == GoCallsGo, "a Go server loses them"),
        json("json-ids"),
        json("json-no-id"),
        json("json-params"),
        json("json-two-params"),
        json("json-params-object"),
        json("json-empty-object"),
        json("json-errors"),
        json("json-malformed"),
        json("json-in-pieces"),
        json("json-spellings"),
    ]
}

/// What came of a case.
pub type Outcome = Result<(), String>;

/// What came of all of them.
#[derive(Default)]
pub struct Matrix {
    cells: BTreeMap<(&'static str, Way, Protocol), Outcome>,
}

impl Matrix {
    pub fn record(&mut self, case: &'static str, way: Way, protocol: Protocol, outcome: Outcome) {
        let before = self.cells.insert((case, way, protocol), outcome);
        assert!(before.is_none(), "{case} was run twice: {way}, {protocol}");
    }

    /// The table, and what is wrong with it. Of the protocols, these have been tried.
    pub fn report(&self, cases: &[Case], tried: &[Protocol]) -> (String, Vec<String>) {
        let mut failures = Vec::new();
        let mut notes: Vec<&str> = Vec::new();
        let mut table = String::new();
        let _ = write!(table, "{:26}", "");
        for way in Way::ALL {
            let _ = write!(table, " | {way:32}");
        }
        let _ = write!(table, "\n{:26}", "case");
        for _ in Way::ALL {
            table.push_str(" |");
            for protocol in Protocol::ALL {
                let _ = write!(table, " {protocol:7}");
            }
        }
        table.push('\n');
        let mut good = 0;
        for case in cases {
            let _ = write!(table, "{:26}", case.name);
            for way in Way::ALL {
                table.push_str(" |");
                for protocol in Protocol::ALL {
                    let exception = case.exception(way, protocol);
                    let not_tried = || (!tried.contains(&protocol)).then_some("not tried");
                    let exception = exception.or_else(not_tried);
                    let cell = match (exception, self.cells.get(&(case.name, way, protocol))) {
                        (None, Some(Ok(()))) => {
                            good += 1;
                            "ok".to_owned()
                        }
                        (Some(why), None) => {
                            let note = notes.iter().position(|note| *note == why);
                            let note = note.unwrap_or_else(|| {
                                notes.push(why);
                                notes.len() - 1
                            });
                            format!("– ({})", note + 1)
                        }
                        (None, Some(Err(why))) => {
                            failures.push(format!("{way}, {protocol}, {}: {why}", case.name));
                            "FAILED".to_owned()
                        }
                        (None, None) => {
                            failures.push(format!("{way}, {protocol}, {}: not run", case.name));
                            "MISSING".to_owned()
                        }
                        (Some(_), Some(_)) => {
                            failures.push(format!("{way}, {protocol}, {}: run in vain", case.name));
                            "?".to_owned()
                        }
                    };
                    let _ = write!(table, " {cell:7}");
                }
            }
            table.truncate(table.trim_end().len());
            table.push('\n');
        }
        let known: BTreeSet<_> = cases.iter().map(|case| case.name).collect();
        for (name, ..) in self.cells.keys().filter(|(name, ..)| !known.contains(name)) {
            failures.push(format!("{name} is not in the table"));
        }
        let _ = writeln!(table, "\n{good} ok, {} not", failures.len());
        for (i, note) in notes.iter().enumerate() {
            let _ = writeln!(table, "({}) {note}", i + 1);
        }
        (table, failures)
    }
}
