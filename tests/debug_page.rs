//! The debug page: what it shows, to whom, and that nobody can make it do anything else.
#![cfg(all(feature = "macros", feature = "debug-page"))]

mod common;

use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use netrpc::{CallOptions, Client, Error, Fault, Listener, Peer, Server, debug, service};
use netrpc_core::{fault::FaultCode, service::MethodStats};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex},
    net::{TcpListener, TcpStream},
    sync::{Notify, mpsc},
};

#[derive(Default)]
struct Shop {
    opens: Notify,
}

#[service]
impl Shop {
    /// Sells something to `somebody`, if it is there. It need not be.
    #[method(alias = "Vend")]
    fn sell(&self, (what, n): (String, u64), left: &mut Option<u64>) -> Result<(), Fault> {
        match &*what {
            "bombs" => Err(Fault::new("not for sale")),
            "glass" => panic!("it broke"),
            _ => {
                *left = 10u64.checked_sub(n);
                Ok(())
            }
        }
    }

    /// Waits until it opens.
    async fn wait(&self, (): (), _: &mut ()) {
        self.opens.notified().await;
    }
}

/// What an HTTP server has answered.
struct Answer {
    head: String,
    body: String,
}

impl Answer {
    fn status(&self) -> &str {
        self.head.lines().next().unwrap().split_once(' ').unwrap().1
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        headers.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// One request, written by hand, and everything that comes back.
async fn exchange(mut io: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> Answer {
    io.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    io.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    Answer { head: head.to_owned(), body: body.to_owned() }
}

async fn request(addr: SocketAddr, method: &str, path: &str, accept: &str) -> Answer {
    let io = TcpStream::connect(addr).await.unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {addr}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
    );
    exchange(io, &request).await
}

const BROWSER: &str = "text/html,application/xhtml+xml,*/*;q=0.8";

async fn get(addr: SocketAddr, path: &str) -> Answer {
    request(addr, "GET", path, BROWSER).await
}

/// The page of a server, on a port of its own.
async fn page_of(server: &Server) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(server.debug_page().title("corner shop").serve(listener));
    addr
}

fn shop() -> Server {
    let server = Server::new();
    server.register(Shop::default()).unwrap();
    server
}

#[tokio::test]
async fn the_page_shows_services_methods_types_and_documentation() {
    let page = get(page_of(&shop()).await, debug::PATH).await;
    assert_eq!(page.status(), "200 OK");
    for shown in [
        "<!doctype html>",
        "<html lang=\"en\">",
        "<title>corner shop · netrpc</title>",
        "<bdi class=\"of\">Shop.</bdi><wbr><b><bdi>Sell</bdi></b>",
        "(String, u64) <span>→</span> Option&lt;u64&gt;",
        "Sells something to <code>somebody</code>, if it is there.",
        "also <bdi>Vend</bdi>",
        "2\u{a0}methods",
        "No calls yet.",
    ] {
        assert!(page.body.contains(shown), "{shown} is not in\n{}", page.body);
    }
    assert!(!page.body.contains("It need not be"), "only the first sentence");
    assert_eq!(page.body.matches("<bdi>Sell</bdi>").count(), 1, "an alias is no second method");
}

#[tokio::test]
async fn a_server_without_services_says_so() {
    let addr = page_of(&Server::new()).await;
    assert!(get(addr, "/").await.body.contains("No services yet"));
    let json = get(addr, "/?format=json").await.json();
    assert_eq!(json["services"], Value::Array(Vec::new()));
}

#[tokio::test]
async fn programs_get_json() {
    let server = shop();
    server.register_name("Other.Shop", Shop::default()).unwrap();
    let client = common::dial(&server).await;
    let addr = page_of(&server).await;
    let _: Option<u64> = client.call("Shop.Sell", &("tea", 1)).await.unwrap();
    let asked = get(addr, "/debug/rpc?sort=p99&format=json").await;
    let accepted = request(addr, "GET", debug::PATH, "application/json").await;
    for answer in [asked, accepted] {
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let json = answer.json();
        assert_eq!(json["title"], "corner shop");
        assert_eq!(json["netrpc"], env!("CARGO_PKG_VERSION"));
        assert_eq!(json["connections"], 1);
        assert!(json["uptime_seconds"].as_f64() >= json["counting_seconds"].as_f64(), "{json}");
        let services = json["services"].as_array().unwrap();
        let names: Vec<_> = services.iter().map(|service| &service["name"]).collect();
        assert_eq!(names, ["Other.Shop", "Shop"]);
        let methods = services[0]["methods"].as_array().unwrap();
        let names: Vec<_> = methods.iter().map(|method| &method["name"]).collect();
        assert_eq!(names, ["Other.Shop.Sell", "Other.Shop.Wait"]);
        assert_eq!(methods[0]["arguments"], "(String, u64)");
        assert_eq!(methods[0]["reply"], "Option<u64>");
        assert_eq!(methods[0]["calls"], 0);
        assert_eq!(methods[0]["errors"]["total"], 0);
        assert_eq!(methods[0]["latency_ns"], Value::Null);
    }
    let browser = request(addr, "GET", debug::PATH, "text/html, application/json").await;
    assert_eq!(browser.header("content-type"), Some("text/html; charset=utf-8"));
}

#[tokio::test]
async fn names_are_shown_as_text_whatever_they_are() {
    let server = Server::new();
    let name = "<script>alert(\"1\")</script>'&";
    server.register_name(name, Shop::default()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(server.debug_page().title("</title><b>").serve(listener));
    let page = get(addr, debug::PATH).await.body;
    assert!(page.contains("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&#39;&amp;"), "{page}");
    assert!(page.contains("<title>&lt;/title&gt;&lt;b&gt; · netrpc</title>"), "{page}");
    assert!(!page.contains("<script>alert"), "{page}");
    assert_eq!(page.matches("<script").count(), 1, "its own");
    assert_eq!(get(addr, "/?format=json").await.json()["services"][0]["name"], name);
}

#[tokio::test]
async fn a_query_never_gets_onto_the_page() {
    let addr = page_of(&shop()).await;
    for query in ["sort=%3Cb%3Exyzzy", "sort=xyzzy", "xyzzy", "sort", "sort=-", "=", "&&=&"] {
        let page = get(addr, &format!("/?{query}")).await;
        assert_eq!(page.status(), "200 OK", "{query}");
        assert!(!page.body.contains("xyzzy"), "{query}");
    }
    let sorted = get(addr, "/?sort=-calls").await.body;
    assert!(sorted.contains("aria-sort=\"ascending\"><a href=\"?sort=calls\""), "{sorted}");
}

#[tokio::test]
async fn only_reading_is_allowed_and_only_the_page_is_there() {
    let addr = page_of(&shop()).await;
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let answer = request(addr, method, debug::PATH, "*/*").await;
        assert_eq!(answer.status(), "405 Method Not Allowed", "{method}");
        assert_eq!(answer.header("allow"), Some("GET, HEAD"));
    }
    for path in ["/debug", "/debug/rpc/", "/debug/rpc/x", "/index.html", "/%2e%2e/etc/passwd"] {
        assert_eq!(get(addr, path).await.status(), "404 Not Found", "{path}");
    }
    let head = request(addr, "HEAD", debug::PATH, BROWSER).await;
    assert_eq!((head.status(), &*head.body), ("200 OK", ""));
    let page = get(addr, debug::PATH).await;
    assert_eq!(page.header("content-length").unwrap(), page.body.len().to_string());
    let length =
        |answer: &Answer| answer.header("content-length").unwrap().parse::<usize>().unwrap();
    assert!(length(&head).abs_diff(length(&page)) < 100, "but for the time that has passed");
}

#[tokio::test]
async fn browsers_are_told_to_be_strict() {
    let page = get(page_of(&shop()).await, debug::PATH).await;
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(page.header("x-frame-options"), Some("DENY"));
    let policy = page.header("content-security-policy").unwrap();
    for rule in ["default-src 'none'", "frame-ancestors 'none'", "form-action 'none'"] {
        assert!(policy.contains(rule), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    // One that is not in the policy is not applied or run.
    for (element, directive) in [("style", "style-src"), ("script", "script-src")] {
        let (_, rest) = page.body.split_once(&format!("<{element}>")).unwrap();
        let (content, _) = rest.split_once(&format!("</{element}>")).unwrap();
        let hash = BASE64_STANDARD.encode(Sha256::digest(content));
        let rule = format!("{directive} 'sha256-{hash}'");
        assert!(policy.contains(&rule), "in src/debug/html.rs, POLICY is to say: {rule}");
    }
    assert!(!page.body.contains(" style=") && !page.body.contains(" onclick="), "not allowed");
    let elsewhere = page.body.replace("http://www.w3.org/2000/svg", "");
    assert!(!elsewhere.contains("://"), "it fetches nothing from elsewhere");
}

#[tokio::test]
async fn axum_takes_it_as_a_route() {
    let app: axum::Router = axum::Router::new()
        .route("/", axum::routing::get(|| async { "home" }))
        .route_service("/admin/rpc", shop().debug_page());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    assert_eq!(get(addr, "/").await.body, "home");
    assert_eq!(get(addr, "/debug/rpc").await.status(), "404 Not Found");
    let page = get(addr, "/admin/rpc").await;
    assert_eq!(page.status(), "200 OK");
    assert!(page.body.contains("Shop.") && page.header("content-security-policy").is_some());
    assert_eq!(get(addr, "/admin/rpc?format=json").await.json()["services"][0]["name"], "Shop");
    let head = request(addr, "HEAD", "/admin/rpc", BROWSER).await;
    assert_eq!((head.status(), &*head.body), ("200 OK", ""));
    assert_eq!(request(addr, "POST", "/admin/rpc", "*/*").await.status(), "405 Method Not Allowed");
}

/// What other HTTP servers ask of a service, for any body.
#[test]
fn it_is_a_service_for_any_body() {
    fn is_service<S, B, R>(_: &S)
    where
        S: tower_service::Service<
                http::Request<B>,
                Response = http::Response<R>,
                Error = std::convert::Infallible,
            > + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
        R: http_body::Body<Data = bytes::Bytes> + Send + 'static,
        R::Error: std::error::Error + Send + Sync,
    {
    }
    let page = shop().debug_page();
    is_service::<_, hyper::body::Incoming, _>(&page);
    is_service::<_, axum::body::Body, _>(&page);
    is_service::<_, (), _>(&page);
}

#[tokio::test]
async fn the_port_for_calls_does_not_serve_it() {
    let server = shop();
    let _page = server.debug_page();
    let addr = common::listen(&server).await;
    let mut io = TcpStream::connect(addr).await.unwrap();
    io.write_all(b"GET /debug/rpc HTTP/1.0\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = io.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(!answer.contains("200 OK") && !answer.contains("<html"), "{answer}");
}

/// Connections that tests make.
struct Pipes(mpsc::Receiver<DuplexStream>);

impl Listener for Pipes {
    type Stream = DuplexStream;

    async fn accept(&mut self) -> io::Result<(DuplexStream, Peer)> {
        match self.0.recv().await {
            Some(pipe) => Ok((pipe, Peer::Stream)),
            None => std::future::pending().await,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn peers_that_say_nothing_go_after_ten_seconds_and_make_room() {
    let (pipes, accepted) = mpsc::channel(64);
    tokio::spawn(shop().debug_page().serve(Pipes(accepted)));
    let begun = tokio::time::Instant::now();
    let mut silent = Vec::new();
    for _ in 0..32 {
        let (ours, theirs) = duplex(1 << 20);
        pipes.send(theirs).await.unwrap();
        silent.push(ours);
    }
    let (ours, theirs) = duplex(1 << 20);
    pipes.send(theirs).await.unwrap();
    let page = exchange(ours, "GET /debug/rpc HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!(page.status(), "200 OK");
    let waited = begun.elapsed();
    assert!((10..11).contains(&waited.as_secs()), "until there was room: {waited:?}");
    for mut silent in silent {
        assert_eq!(silent.read(&mut [0]).await.unwrap_or(0), 0, "closed");
    }
}

#[tokio::test(start_paused = true)]
async fn heads_without_end_are_cut_short() {
    let (pipes, accepted) = mpsc::channel(1);
    tokio::spawn(shop().debug_page().serve(Pipes(accepted)));
    let (mut ours, theirs) = duplex(1 << 10);
    pipes.send(theirs).await.unwrap();
    let begun = tokio::time::Instant::now();
    ours.write_all(b"GET /debug/rpc HTTP/1.1\r\nx: ").await.unwrap();
    let mut sent = 0;
    while sent < 1 << 20 && ours.write_all(&[b'x'; 1024]).await.is_ok() {
        sent += 1024;
    }
    assert!(sent < 64 << 10, "{sent} bytes were read");
    assert!(begun.elapsed() < Duration::from_secs(10), "it did not come to that");
}

/// The JSON of one method.
async fn counted(page: SocketAddr, name: &str) -> Value {
    let json = get(page, "/?format=json").await.json();
    let services = json["services"].as_array().unwrap();
    let methods = services.iter().flat_map(|service| service["methods"].as_array().unwrap());
    methods.clone().find(|method| method["name"] == name).expect("it is registered").clone()
}

#[tokio::test]
async fn calls_are_counted_from_the_page_on_each_by_how_it_ends() {
    let server = shop();
    let addr = common::listen(&server).await;
    let client = Client::dial(addr).await.unwrap();
    let sell = |what: &'static str| {
        let client = client.clone();
        async move { client.call::<_, Option<u64>>("Shop.Sell", &(what, 1)).await }
    };
    sell("tea").await.unwrap();

    let page = page_of(&server).await;
    assert_eq!(counted(page, "Shop.Sell").await["calls"], 0, "there was no page yet");
    let begun = Instant::now();
    for _ in 0..5 {
        sell("tea").await.unwrap();
    }
    client.call::<_, Option<u64>>("Shop.Vend", &("tea", 1)).await.unwrap();
    assert!(matches!(sell("bombs").await, Err(Error::Method(_))));
    assert!(sell("glass").await.is_err());
    assert!(client.call::<_, Option<u64>>("Shop.Sell", &"not a pair").await.is_err());
    assert!(client.call::<_, ()>("Shop.None", &()).await.is_err());
    let at_most = u64::try_from(begun.elapsed().as_nanos()).unwrap();

    let sell = counted(page, "Shop.Sell").await;
    assert_eq!((&sell["calls"], &sell["in_flight"]), (&9.into(), &0.into()));
    let errors = serde_json::json!({
        "total": 3, "method": 1, "panics": 1, "given_up": 0, "other": 1,
    });
    assert_eq!(sell["errors"], errors);
    let nanos = |key: &str| sell["latency_ns"][key].as_u64().unwrap();
    assert!(0 < nanos("p50") && nanos("p50") <= nanos("p99"), "{sell}");
    assert!(nanos("p99") <= nanos("max") && nanos("max") < at_most, "{sell}");

    // One that waits, and is given up.
    let hasty = CallOptions::new().timeout(Duration::from_millis(200));
    let waiting = client.with(hasty).go::<_, ()>("Shop.Wait", &());
    while counted(page, "Shop.Wait").await["in_flight"] != 1 {
        tokio::task::yield_now().await;
    }
    assert!(matches!(waiting.await, Err(Error::Deadline { .. })));
    while counted(page, "Shop.Wait").await["in_flight"] != 0 {
        tokio::task::yield_now().await;
    }
    let wait = counted(page, "Shop.Wait").await;
    assert_eq!((&wait["calls"], &wait["errors"]["given_up"]), (&1.into(), &1.into()));

    // One whose connection goes away.
    let leaving = Client::dial(addr).await.unwrap();
    let call = leaving.go::<_, ()>("Shop.Wait", &());
    while counted(page, "Shop.Wait").await["in_flight"] != 1 {
        tokio::task::yield_now().await;
    }
    drop((call, leaving));
    while counted(page, "Shop.Wait").await["in_flight"] != 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(counted(page, "Shop.Wait").await["errors"]["given_up"], 2);

    let shown = get(page, debug::PATH).await.body;
    assert!(shown.contains("<span>9</span>") && shown.contains("1\u{a0}panic<"), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_at_once_are_counted_each_once() {
    const CLIENTS: u64 = 4;
    const CALLS: u64 = 500;
    let server = shop();
    let page = page_of(&server).await;
    let addr = common::listen(&server).await;
    let clients = (0..CLIENTS).map(|_| async {
        let client = Client::dial(addr).await.unwrap();
        let calls: Vec<_> =
            (0..CALLS).map(|_| client.go::<_, Option<u64>>("Shop.Sell", &("tea", 1))).collect();
        for call in calls {
            call.await.unwrap();
        }
    });
    futures_util::future::join_all(clients).await;
    let sell = counted(page, "Shop.Sell").await;
    assert_eq!(
        (&sell["calls"], &sell["errors"]["total"], &sell["in_flight"]),
        (&(CLIENTS * CALLS).into(), &0.into(), &0.into())
    );
}

#[test]
fn threads_that_count_at_once_lose_nothing() {
    const THREADS: u64 = 8;
    const CALLS: u64 = 20_000;
    let stats = MethodStats::default();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let stats = &stats;
            scope.spawn(move || {
                for call in 0..CALLS {
                    stats.begin();
                    let code = match call % 10 {
                        0 => Err(FaultCode::Method),
                        1 => Err(FaultCode::Panicked),
                        _ => Ok(()),
                    };
                    stats.finish(Duration::from_nanos(thread * CALLS + call), code);
                }
            });
        }
    });
    let now = stats.snapshot();
    assert_eq!((now.calls, now.in_flight), (THREADS * CALLS, 0));
    assert_eq!(
        (now.errors.method, now.errors.panics),
        (THREADS * CALLS / 10, THREADS * CALLS / 10)
    );
    assert_eq!(now.latency.unwrap().max, Duration::from_nanos(THREADS * CALLS - 1));
    assert_eq!(now.latency.unwrap().mean, Duration::from_nanos((THREADS * CALLS - 1) / 2));
}
