//! The services of a server, by name.

use std::{
    any::type_name,
    collections::HashMap,
    fmt,
    sync::{Arc, OnceLock},
    time::Instant,
};

use dashmap::DashMap;
use rustc_hash::FxBuildHasher;

use super::{
    Body, HandlerFuture, MethodOptions, MethodStats, Pace, Recording, ReplyBuf, Service,
    method::{Handler, Method},
    recording::{Audience, OBSERVERS, Observer, STATS},
};
use crate::{
    Context, Fault,
    fault::FaultCode,
    name::same,
    sync::{
        RwLock,
        atomic::{AtomicU64, Ordering},
    },
    wire::MAX_METHOD_NAME,
};

/// The services of a server: registered by name at any time, looked up without a lock.
///
/// Look-ups go to a frozen [`MethodTable`]; registering builds the next one. A connection keeps the
/// table it has and asks [`version`](Self::version) now and then whether it is still the newest.
#[derive(Default)]
pub struct Registry {
    /// Whoever adds a name here has it; concurrent registrations of one name meet here.
    services: DashMap<String, Vec<Arc<Entry>>>,
    /// The newest table. Rebuilt under the write lock, so that none is ever older than its version.
    table: RwLock<Arc<MethodTable>>,
    version: AtomicU64,
    /// Who is told of calls.
    audience: Audience,
}

impl Registry {
    /// A registry with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a service under `name`; calls find its methods from now on.
    ///
    /// # Errors
    /// If the name is taken, empty, or too long for the wire with one of the methods behind it.
    pub fn register<S: Service>(&self, name: &str, service: &Arc<S>) -> Result<(), RegisterError> {
        if name.is_empty() {
            return Err(RegisterError::NoName { type_name: type_name::<S>() });
        }
        let entries: Vec<_> =
            S::METHODS.iter().map(|method| Entry::new(name, service, method)).collect();
        for entry in &entries {
            if let Some(long) = entry.names().find(|long| long.len() > MAX_METHOD_NAME) {
                return Err(RegisterError::NameTooLong { name: long });
            }
        }
        match self.services.entry(name.to_owned()) {
            dashmap::Entry::Occupied(_) => {
                return Err(RegisterError::AlreadyDefined { name: name.to_owned() });
            }
            dashmap::Entry::Vacant(vacant) => {
                vacant.insert(entries);
            }
        }
        let mut table = self.table.write();
        *table = Arc::new(MethodTable::freeze(&self.services));
        self.version.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// The methods of now; what is registered later is not in it.
    pub fn snapshot(&self) -> Arc<MethodTable> {
        self.table.read().clone()
    }

    /// Grows with every registration.
    #[inline]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Whether calls are counted, from now on; not, unless somebody has asked for it.
    ///
    /// A call that has begun before is not counted.
    pub fn record(&self, on: bool) {
        self.audience.set(STATS, on);
    }

    /// Whether calls are counted.
    #[inline]
    pub fn records(&self) -> bool {
        self.audience.has(STATS)
    }

    /// Has `make` give each method that has no observer yet one, if it wants. Calls that have begun
    /// before are not told to it.
    pub fn observe(&self, mut make: impl FnMut(&Entry) -> Option<Box<dyn Observer>>) {
        for entry in self.snapshot().entries() {
            if entry.observer().is_none()
                && let Some(observer) = make(entry)
            {
                // If somebody else was faster, theirs is as good.
                let _ = entry.observer.set(observer);
                self.audience.set(OBSERVERS, true);
            }
        }
    }

    /// A call of `entry` begins: counts it, if calls are counted. `now` is asked only then.
    #[inline]
    pub fn recording(
        &self,
        entry: &Arc<Entry>,
        now: impl FnOnce() -> Instant,
    ) -> Option<Recording> {
        self.audience.recording(entry, now)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("table", &self.snapshot()).finish_non_exhaustive()
    }
}

/// Why a service could not be registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// Another service has the name already.
    #[error("rpc: service already defined: {name}")]
    AlreadyDefined {
        /// The name both want.
        name: String,
    },
    /// The name is empty.
    #[error("rpc.Register: no service name for type {type_name}")]
    NoName {
        /// The type that wants to be registered.
        type_name: &'static str,
    },
    /// `Service.Method` does not fit into a request.
    #[error("rpc.Register: `{name}` is longer than {MAX_METHOD_NAME} bytes")]
    NameTooLong {
        /// The whole name.
        name: String,
    },
}

/// Every method of a server at one moment, by its full name.
#[derive(Default)]
pub struct MethodTable {
    /// `Service.Method`, and the same for aliases; by their bytes, as they arrive.
    methods: HashMap<Box<[u8]>, Arc<Entry>, FxBuildHasher>,
    /// Service names, sorted.
    services: Vec<String>,
}

impl MethodTable {
    fn freeze(services: &DashMap<String, Vec<Arc<Entry>>>) -> Self {
        let mut table = MethodTable::default();
        for service in services {
            table.services.push(service.key().clone());
            for entry in service.value() {
                for name in entry.names() {
                    table.methods.insert(name.into_bytes().into(), entry.clone());
                }
            }
        }
        table.services.sort();
        table
    }

    /// The method called `name`: a service's name, a dot, a method's.
    ///
    /// # Errors
    /// A fault with the text Go's server sends: ill-formed without a dot, else no such service or
    /// method. The service's name ends at the last dot.
    pub fn find(&self, name: &str) -> Result<&Arc<Entry>, Fault> {
        self.get(name.as_bytes()).ok_or_else(|| self.missing(name))
    }

    /// The method of which these bytes are the whole name.
    #[inline]
    pub fn get(&self, name: &[u8]) -> Option<&Arc<Entry>> {
        self.methods.get(name)
    }

    #[cold]
    fn missing(&self, name: &str) -> Fault {
        let Some((service, _)) = name.rsplit_once('.') else {
            let text = format!("rpc: service/method request ill-formed: {name}");
            return Fault::with_code(FaultCode::IllFormed, text);
        };
        if self.services.binary_search_by(|known| known.as_str().cmp(service)).is_ok() {
            Fault::with_code(FaultCode::UnknownMethod, format!("rpc: can't find method {name}"))
        } else {
            Fault::with_code(FaultCode::UnknownService, format!("rpc: can't find service {name}"))
        }
    }

    /// The names of all services, sorted.
    pub fn services(&self) -> &[String] {
        &self.services
    }

    /// Every method, sorted by service and name; once, however many names it answers to.
    pub fn entries(&self) -> Vec<&Arc<Entry>> {
        // An alias leads to the entry as well, under another key.
        let named = self.methods.iter().map(|(name, entry)| (&**name, entry));
        let own = named.filter(|(name, entry)| *name == entry.full_name.as_bytes());
        let mut entries: Vec<_> = own.map(|(_, entry)| entry).collect();
        entries.sort_by_key(|entry| (entry.service(), entry.name()));
        entries
    }
}

impl fmt::Debug for MethodTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names: Vec<_> =
            self.methods.keys().map(|name| String::from_utf8_lossy(name)).collect();
        names.sort();
        f.debug_set().entries(names).finish()
    }
}

/// One registered method.
pub struct Entry {
    service: String,
    full_name: String,
    name: &'static str,
    aliases: &'static [&'static str],
    doc: &'static str,
    types: (&'static str, &'static str),
    options: MethodOptions,
    pace: Pace,
    stats: MethodStats,
    observer: OnceLock<Box<dyn Observer>>,
    runs_plainly: bool,
    handler: BoundHandler,
}

enum BoundHandler {
    Sync(Box<dyn CallSync>),
    Async(Box<dyn CallAsync>),
}

impl Entry {
    fn new<S: Service>(
        service_name: &str,
        service: &Arc<S>,
        method: &'static Method<S>,
    ) -> Arc<Self> {
        let service = service.clone();
        let handler = match method.handler {
            Handler::Sync(handler) => BoundHandler::Sync(Box::new(Bound { service, handler })),
            Handler::Async(handler) => BoundHandler::Async(Box::new(Bound { service, handler })),
        };
        Arc::new(Entry {
            service: service_name.to_owned(),
            full_name: format!("{service_name}.{}", method.name),
            name: method.name,
            aliases: method.aliases,
            doc: method.doc,
            types: (method.types)(),
            options: method.options,
            pace: Pace::new(method.options.blocking),
            stats: MethodStats::default(),
            observer: OnceLock::new(),
            runs_plainly: matches!(handler, BoundHandler::Sync(_)) && method.options.is_plain(),
            handler,
        })
    }

    /// Every full name it answers to.
    fn names(&self) -> impl Iterator<Item = String> {
        let names = std::iter::once(&self.name).chain(self.aliases);
        names.map(|name| format!("{}.{name}", self.service))
    }

    /// The service it belongs to, by the name that was registered.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// Its name within the service.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Both, as its callers write it: `Arith.Multiply`.
    pub fn full_name(&self) -> &str {
        &self.full_name
    }

    /// Whether these bytes are its whole name. It may have others besides.
    #[inline]
    pub fn is_called(&self, name: &[u8]) -> bool {
        same(self.full_name.as_bytes(), name)
    }

    /// The other names it answers to.
    pub fn aliases(&self) -> &'static [&'static str] {
        self.aliases
    }

    /// Its documentation.
    pub fn doc(&self) -> &'static str {
        self.doc
    }

    /// The names of its argument and reply types.
    pub fn types(&self) -> (&'static str, &'static str) {
        self.types
    }

    /// What it declares about itself.
    #[inline]
    pub fn options(&self) -> MethodOptions {
        self.options
    }

    /// Whether its arguments are all it takes to call it: it is synchronous, asks for no context, and
    /// demands nothing of how it is called.
    #[inline]
    pub fn runs_plainly(&self) -> bool {
        self.runs_plainly
    }

    /// What is known of how long its handler holds its thread.
    #[inline]
    pub fn pace(&self) -> &Pace {
        &self.pace
    }

    /// What is counted of it.
    pub fn stats(&self) -> &MethodStats {
        &self.stats
    }

    /// Who is told of its calls besides, if anybody.
    pub fn observer(&self) -> Option<&dyn Observer> {
        self.observer.get().map(|observer| &**observer)
    }

    /// Its handler, bound to its service.
    #[inline]
    pub fn handler(&self) -> EntryHandler<'_> {
        match &self.handler {
            BoundHandler::Sync(handler) => EntryHandler::Sync(&**handler),
            BoundHandler::Async(handler) => EntryHandler::Async(&**handler),
        }
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("service", &self.service)
            .field("name", &self.name)
            .field("options", &self.options)
            .field("pace", &self.pace)
            .finish_non_exhaustive()
    }
}

/// How a registered method is called.
pub enum EntryHandler<'a> {
    /// Call it, and the reply is there.
    Sync(&'a dyn CallSync),
    /// Call it, and poll what it returns.
    Async(&'a dyn CallAsync),
}

impl fmt::Debug for EntryHandler<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EntryHandler::Sync(_) => "Sync",
            EntryHandler::Async(_) => "Async",
        })
    }
}

/// A synchronous handler bound to its service.
pub trait CallSync: Send + Sync {
    /// Decodes the arguments, runs the method, encodes the reply.
    ///
    /// # Errors
    /// What the caller is to be told instead of a reply.
    fn call(&self, cx: &Context, body: &Body, reply: &mut ReplyBuf) -> Result<(), Fault>;
}

/// An asynchronous handler bound to its service.
pub trait CallAsync: Send + Sync {
    /// The same as a future. Nothing runs before its first poll.
    fn call(&self, cx: Context, body: Body, reply: ReplyBuf) -> HandlerFuture;
}

struct Bound<S, H> {
    service: Arc<S>,
    handler: H,
}

impl<S: Service> CallSync for Bound<S, super::SyncHandler<S>> {
    fn call(&self, cx: &Context, body: &Body, reply: &mut ReplyBuf) -> Result<(), Fault> {
        (self.handler)(&self.service, cx, body, reply)
    }
}

impl<S: Service> CallAsync for Bound<S, super::AsyncHandler<S>> {
    fn call(&self, cx: Context, body: Body, reply: ReplyBuf) -> HandlerFuture {
        (self.handler)(self.service.clone(), cx, body, reply)
    }
}
