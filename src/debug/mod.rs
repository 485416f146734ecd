//! A page that shows a server at work: its services, and how often their methods are called, how
//! long that takes and how it ends. Go's `/debug/rpc`.
//!
//! [`Server::debug_page`] makes a [`DebugPage`]; nothing serves it by itself. Give it a port of its
//! own:
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! let server = netrpc::Server::new();
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8081").await?;
//! tokio::spawn(server.debug_page().serve(listener)); // http://127.0.0.1:8081/debug/rpc
//! # Ok(())
//! # }
//! ```
//!
//! or a place in an HTTP server that is there already. It is a [`tower_service::Service`], so axum
//! takes it with `route_service`, and hyper with `hyper_util::service::TowerToHyperService`:
//!
//! ```
//! # let server = netrpc::Server::new();
//! let app: axum::Router = axum::Router::new()
//!     .route_service(netrpc::debug::PATH, server.debug_page());
//! ```
//!
//! # Who may see it
//!
//! Whoever reaches it: it asks nobody for a password. It shows names, types and numbers, and never
//! arguments, replies, errors' texts or peers. Bind it to loopback, or mount it behind what guards
//! your other pages for operators.
//!
//! # What it costs
//!
//! Calls are counted from the first call of `debug_page` on. Each then costs two looks at
//! the clock and some relaxed atomic additions, about a tenth of a microsecond, and each method that
//! is called some 5 KB. Before, and on a server without a page, a call costs one relaxed load.
//!
//! # For programs
//!
//! The same as JSON, for `?format=json` or a request that accepts `application/json` and not
//! `text/html`:
//!
//! ```json
//! {
//!   "title": "inventory",
//!   "netrpc": "0.1.0",
//!   "uptime_seconds": 3600.25,
//!   "counting_seconds": 3600.0,
//!   "rate_seconds": 1.002,
//!   "connections": 3,
//!   "services": [
//!     {
//!       "name": "Arith",
//!       "methods": [
//!         {
//!           "name": "Arith.Divide",
//!           "aliases": [],
//!           "doc": "Divides, if it can.",
//!           "arguments": "Args",
//!           "reply": "Quotient",
//!           "on_pool": false,
//!           "calls": 120000,
//!           "calls_per_second": 33.2,
//!           "errors": { "total": 3, "method": 2, "panics": 0, "given_up": 1, "other": 0 },
//!           "in_flight": 1,
//!           "latency_ns": { "p50": 1200, "p90": 2300, "p99": 8900, "max": 120345, "mean": 1411 }
//!         }
//!       ]
//!     }
//!   ]
//! }
//! ```
//!
//! - `calls` have ended, in whatever way; `errors` are among them; those `in_flight` are not.
//! - `method` errors are those the method returned, and `panics` its panics. Nobody waited any
//!   longer for those `given_up`: the deadline passed, or the caller cancelled or left. `other` are, for
//!   example, arguments that could not be decoded, and limits.
//! - `latency_ns` is in nanoseconds, from where the server takes the call up to where its answer is
//!   ready to be sent; `null` before the first answer. The percentiles are at most 3.2 % off, `max`
//!   and `mean` exact.
//! - `calls_per_second` is about the `rate_seconds` between the last two looks at the page, by
//!   whomever; looks that follow each other within nine tenths of a second count as one. Both are
//!   `null` until it is known.
//! - `on_pool` says that the method is synchronous and runs on the thread pool, because it is
//!   marked `blocking` or was seen blocking.
//!
//! More may be added.

mod html;
mod rates;
mod report;
mod serve;
mod types;
mod units;

use std::{
    convert::Infallible,
    env, fmt,
    future::{Ready, ready},
    path::Path,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::{Frame, SizeHint};
use parking_lot::{Mutex, MutexGuard};
use tower_service::Service;

use crate::{Listener, Server};
use html::Sort;
use rates::Rates;
use report::Report;

/// Where the page is on [a port of its own](DebugPage::serve), and where Go's is:
/// `rpc.DefaultDebugPath`.
pub const PATH: &str = "/debug/rpc";

/// The page of one server; see [the module](self).
///
/// Cloning is cheap, and all clones are the same page.
#[derive(Clone)]
pub struct DebugPage {
    server: Server,
    title: Arc<str>,
}

impl DebugPage {
    pub(crate) fn new(server: Server) -> Self {
        server.observation().count();
        DebugPage { server, title: program().into() }
    }

    /// What the page is headed with; the name of the program unless set.
    #[must_use]
    pub fn title(mut self, title: impl Into<Arc<str>>) -> Self {
        self.title = title.into();
        self
    }

    /// Serves the page, and nothing else, to every browser that `listener` takes: at [`PATH`], and
    /// at `/`.
    ///
    /// Speaks HTTP/1. At most 32 connections are served at once, further ones wait; each is for one
    /// request, whose head has at most 16 KiB, and for ten seconds.
    ///
    /// It never ends by itself. Dropping the future closes the port and all connections.
    pub async fn serve<L: Listener>(self, listener: L) {
        match serve::serve(self, listener).await {}
    }

    /// The answer to a request, wherever the page is.
    fn answer<B>(&self, request: &Request<B>) -> Response<Body> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "Only GET and HEAD, please.\n");
            let allowed = HeaderValue::from_static("GET, HEAD");
            refusal.headers_mut().insert(header::ALLOW, allowed);
            return refusal;
        }
        let report = Report::of(&self.server, &self.title, Instant::now());
        let mut page = if wants_json(request) {
            response(StatusCode::OK, "application/json", report.to_json())
        } else {
            let sort = parameter(request, "sort").and_then(Sort::parse).unwrap_or_default();
            let page = html::page(&report, sort);
            response(StatusCode::OK, "text/html; charset=utf-8", page)
        };
        page.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
        if request.method() == Method::HEAD {
            *page.body_mut() = Body::default();
        }
        page
    }
}

impl<B> Service<Request<B>> for DebugPage {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(Ok(self.answer(&request)))
    }
}

impl fmt::Debug for DebugPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DebugPage")
            .field("title", &self.title)
            .field("server", &self.server)
            .finish()
    }
}

/// The body of an answer: whole, and there.
#[derive(Debug, Default)]
pub struct Body {
    /// Until it is taken.
    content: Option<Bytes>,
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.content.take().map(|content| Ok(Frame::data(content))))
    }

    fn is_end_stream(&self) -> bool {
        self.content.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.content.as_ref().map_or(0, |content| content.len() as u64))
    }
}

/// What is known of a server from one look at it to the next.
#[derive(Debug)]
pub(crate) struct Observation {
    started: Instant,
    counting: OnceLock<Counting>,
}

#[derive(Debug)]
struct Counting {
    since: Instant,
    /// Of the last look.
    rates: Mutex<Rates>,
}

impl Observation {
    /// The server has started now.
    pub(crate) fn begin() -> Self {
        Observation { started: Instant::now(), counting: OnceLock::new() }
    }

    /// Its calls are counted from now on, if they were not before.
    fn count(&self) -> &Counting {
        self.counting.get_or_init(|| {
            let since = Instant::now();
            Counting { since, rates: Mutex::new(Rates::begin(since)) }
        })
    }

    fn uptime(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.started)
    }

    fn counting(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.count().since)
    }

    fn rates(&self) -> MutexGuard<'_, Rates> {
        self.count().rates.lock()
    }
}

/// What runs here, by the name of its file.
fn program() -> String {
    let path = env::current_exe().ok();
    let name = path.as_deref().and_then(Path::file_stem);
    name.map_or_else(|| "netrpc".to_owned(), |name| name.to_string_lossy().into_owned())
}

fn wants_json<B>(request: &Request<B>) -> bool {
    match parameter(request, "format") {
        Some(format) => format == "json",
        None => {
            let accepts = |kind| {
                let mut accepted = request.headers().get_all(header::ACCEPT).iter();
                accepted.any(|accept| accept.to_str().is_ok_and(|accept| accept.contains(kind)))
            };
            accepts("application/json") && !accepts("text/html")
        }
    }
}

/// The first value of a parameter. None that means anything here needs to be decoded.
fn parameter<'a, B>(request: &'a Request<B>, name: &str) -> Option<&'a str> {
    let parameters = request.uri().query()?.split('&');
    let mut pairs = parameters.filter_map(|parameter| parameter.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    response(status, "text/plain; charset=utf-8", text)
}

fn response(
    status: StatusCode,
    content_type: &'static str,
    content: impl Into<Bytes>,
) -> Response<Body> {
    let content = content.into();
    let length = content.len();
    let mut response = Response::new(Body { content: Some(content) });
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, content_type),
        // Numbers of now are of no use later.
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, html::POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // For HEAD too, whose answer has no body to see it by.
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    response
}
