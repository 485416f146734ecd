//! A subscriber that remembers every span of a call.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, OnceLock},
};

use tracing::{
    Event, Id, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Record},
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt as _},
    registry::LookupSpan,
};

/// A span of a call, as it was when it was closed, or is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// `rpc.client` or `rpc.server`.
    pub(crate) name: &'static str,
    /// Everything recorded, as text.
    pub(crate) fields: BTreeMap<&'static str, String>,
    /// The values of a field that was recorded more than once.
    pub(crate) again: Vec<&'static str>,
    /// Events in it.
    pub(crate) events: Vec<String>,
    /// The name of the span that it is in.
    pub(crate) within: Option<&'static str>,
    pub(crate) closed: u32,
}

impl Seen {
    /// A field's value; empty if there is none.
    pub(crate) fn get(&self, field: &str) -> &str {
        self.fields.get(field).map_or("", String::as_str)
    }

    pub(crate) fn status(&self) -> &str {
        self.get("rpc.response.status_code")
    }
}

/// The spans that were opened in this process; the tests tell theirs by method.
#[derive(Clone, Default)]
pub(crate) struct Capture {
    spans: Arc<Mutex<BTreeMap<u64, Seen>>>,
    /// Events in no span.
    loose: Arc<Mutex<Vec<Seen>>>,
}

impl Capture {
    /// The subscriber of this process.
    pub(crate) fn install() -> Capture {
        static INSTALLED: OnceLock<Capture> = OnceLock::new();
        let install = || {
            let capture = Capture::default();
            let subscriber = tracing_subscriber::registry().with(capture.clone());
            tracing::subscriber::set_global_default(subscriber).expect("the first");
            capture
        };
        INSTALLED.get_or_init(install).clone()
    }

    /// The spans of calls of this method, in the order in which they were opened.
    pub(crate) fn of(&self, method: &str) -> Vec<Seen> {
        let seen = self.spans.lock().unwrap();
        seen.values().filter(|seen| seen.get("rpc.method") == method).cloned().collect()
    }

    /// What was said of this server outside of all spans.
    pub(crate) fn told_of(&self, server: &str) -> Vec<String> {
        let loose = self.loose.lock().unwrap();
        let of = loose.iter().filter(|seen| seen.get("server") == server);
        of.map(|seen| seen.get("message").to_owned()).collect()
    }

    /// The one span of this name of calls of this method.
    pub(crate) fn one(&self, name: &str, method: &str) -> Seen {
        let mut seen = self.of(method);
        seen.retain(|seen| seen.name == name);
        assert_eq!(seen.len(), 1, "{name} of {method}: {seen:?}");
        seen.remove(0)
    }
}

struct Fields<'a>(&'a mut Seen);

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if self.0.fields.insert(field.name(), value.to_owned()).is_some() {
            self.0.again.push(field.name());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Capture {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, cx: Context<'_, S>) {
        let name = attributes.metadata().name();
        let within = cx.span(id).and_then(|span| Some(span.parent()?.name()));
        let mut seen = Seen { name, within, ..Seen::default() };
        attributes.record(&mut Fields(&mut seen));
        // Ids are used again once a span is closed, so that the key is a number of our own.
        let mut all = self.spans.lock().unwrap();
        let key = all.len() as u64;
        all.insert(key, seen);
        cx.span(id).expect("it is new").extensions_mut().insert(Key(key));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, cx: Context<'_, S>) {
        self.with(id, &cx, |seen| values.record(&mut Fields(seen)));
    }

    fn on_event(&self, event: &Event<'_>, cx: Context<'_, S>) {
        let mut text = Seen::default();
        event.record(&mut Fields(&mut text));
        match cx.event_span(event) {
            Some(span) => {
                self.with(&span.id(), &cx, |seen| seen.events.push(text.get("message").to_owned()));
            }
            None => self.loose.lock().unwrap().push(text),
        }
    }

    fn on_close(&self, id: Id, cx: Context<'_, S>) {
        self.with(&id, &cx, |seen| seen.closed += 1);
    }
}

struct Key(u64);

impl Capture {
    fn with<S>(&self, id: &Id, cx: &Context<'_, S>, change: impl FnOnce(&mut Seen))
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let key = cx.span(id).and_then(|span| Some(span.extensions().get::<Key>()?.0));
        let mut all = self.spans.lock().unwrap();
        if let Some(seen) = key.and_then(|key| all.get_mut(&key)) {
            change(seen);
        }
    }
}
