//! Go's protocols on a server's one port, and where Go's own server is weak.
#![cfg(all(feature = "macros", feature = "go"))]

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::BytesMut;
use common::{listen, pipe, soon};
use netrpc::{
    Client, ClientBuilder, Disconnected, Error, Protocol, Refusal, Server, SyncPolicy, Wire,
    service,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    net::TcpStream,
    sync::Semaphore,
};

#[derive(Default)]
struct Echo {
    ran: AtomicUsize,
    gate: Option<Arc<Semaphore>>,
}

#[derive(Serialize, Deserialize, Default, Debug, PartialEq)]
struct Everything {
    a_number: i64,
    text: String,
    #[serde(rename = "UserID")]
    user: u32,
    bytes: Vec<u8>,
    maybe: Option<f64>,
    many: Vec<(String, bool)>,
}

#[service]
impl Echo {
    fn number(&self, n: i64, reply: &mut i64) {
        self.ran.fetch_add(1, Ordering::SeqCst);
        *reply = n;
    }

    fn bytes(&self, bytes: Vec<u8>, reply: &mut Vec<u8>) {
        *reply = bytes;
    }

    fn everything(&self, it: Everything, reply: &mut Everything) {
        *reply = it;
    }

    fn lent(&self, text: &str, reply: &mut String) {
        text.clone_into(reply);
    }

    fn lent_bytes(&self, bytes: &[u8], reply: &mut Vec<u8>) {
        bytes.clone_into(reply);
    }

    fn fail(&self, text: String, _reply: &mut ()) -> Result<(), String> {
        Err(text)
    }

    fn panic(&self, _: (), _reply: &mut ()) {
        panic!("on purpose");
    }

    fn not_a_number(&self, _: (), reply: &mut f64) {
        *reply = f64::NAN;
    }

    fn large(&self, bytes: usize, reply: &mut Vec<u8>) {
        *reply = vec![7; bytes];
    }

    async fn wait(&self, n: i64, reply: &mut i64) {
        self.ran.fetch_add(1, Ordering::SeqCst);
        if let Some(gate) = &self.gate {
            let _passed = gate.acquire().await;
        }
        *reply = n;
    }
}

fn server() -> Server {
    let server = Server::new();
    server.register(Echo::default()).unwrap();
    server
}

const WIRES: [Wire; 4] = [Wire::Native, Wire::Gob, Wire::JsonRpc, Wire::MsgpackRpc];
const FOREIGN: [Wire; 3] = [Wire::Gob, Wire::JsonRpc, Wire::MsgpackRpc];

fn speaking(wire: Wire) -> ClientBuilder {
    Client::builder().wire(wire)
}

/// A foreign client of `server` over a pipe in memory.
fn piped(server: &Server, wire: Wire) -> Client {
    speaking(wire).connect(stream(server))
}

/// A stream to `server` in memory.
fn stream(server: &Server) -> DuplexStream {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let server = server.clone();
    tokio::spawn(async move {
        let _ = server.serve_conn(theirs).await;
    });
    ours
}

async fn is_alive(client: &Client) {
    assert_eq!(soon(client.call::<_, i64>("Echo.Number", &42)).await.unwrap(), 42);
}

fn fault(error: &Error) -> &str {
    error.fault().unwrap_or_else(|| panic!("{error:?}")).message()
}

#[tokio::test]
async fn one_port_serves_all_protocols_at_once() {
    let server = server();
    let addr = listen(&server).await;
    let mut clients = vec![Client::dial_http(addr).await.unwrap()];
    for wire in WIRES {
        clients.push(speaking(wire).dial(addr).await.unwrap());
        clients.push(speaking(wire).dial_http(addr).await.unwrap());
    }
    let calls: Vec<_> = (0..100)
        .flat_map(|n| clients.iter().map(move |client| (n, client)))
        .map(|(n, client)| (n, client.go::<_, i64>("Echo.Number", &n)))
        .collect();
    for (n, call) in calls {
        assert_eq!(soon(call).await.unwrap(), n);
    }
    assert_eq!(server.connections(), clients.len());
}

#[tokio::test]
async fn the_handler_cannot_tell_who_asks() {
    let it = || Everything {
        a_number: i64::MIN,
        text: "grüß Gott \u{1f980}".to_owned(),
        user: u32::MAX,
        bytes: vec![0, 255, 128],
        maybe: Some(-0.5),
        many: vec![("a".to_owned(), true), (String::new(), false)],
    };
    for wire in WIRES {
        let client = piped(&server(), wire);
        let same: Everything = soon(client.call("Echo.Everything", &it())).await.unwrap();
        assert_eq!(same, it(), "{wire:?}");
        for text in ["plain", "<a & b>\n\"\\", ""] {
            let same: String = soon(client.call("Echo.Lent", text)).await.unwrap();
            assert_eq!(same, text, "{wire:?}");
        }
        let lent: Vec<u8> =
            soon(client.call("Echo.LentBytes", &[1u8, 255, 0].to_vec())).await.unwrap();
        assert_eq!(lent, [1, 255, 0], "{wire:?}");
        let zero: Everything =
            soon(client.call("Echo.Everything", &Everything::default())).await.unwrap();
        assert_eq!(zero, Everything::default(), "{wire:?}");
        let bytes: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
        let same: Vec<u8> = soon(client.call("Echo.Bytes", &bytes)).await.unwrap();
        assert!(same == bytes, "{wire:?}");
    }
}

#[tokio::test]
async fn errors_cross_as_their_text_and_the_connection_lives() {
    for wire in FOREIGN {
        let client = piped(&server(), wire);
        let failed = async |method: &str| {
            let failed = soon(client.call::<_, ()>(method, "")).await.unwrap_err();
            is_alive(&client).await;
            fault(&failed).to_owned()
        };
        let said = soon(client.call::<_, ()>("Echo.Fail", "divide by zero")).await.unwrap_err();
        assert_eq!(fault(&said), "divide by zero");
        assert!(said.may_have_run());
        assert_eq!(failed("Echo.Fail").await, "unspecified error", "Go takes \"\" for success");
        assert_eq!(failed("Echo.Nope").await, "rpc: can't find method Echo.Nope");
        assert_eq!(failed("Nope.M").await, "rpc: can't find service Nope.M");
        assert_eq!(failed("NoDot").await, "rpc: service/method request ill-formed: NoDot");
        let text = failed("Echo.Number").await;
        assert!(text.starts_with("the arguments are not what the method takes: "), "{text}");
        let panicked = soon(client.call::<_, ()>("Echo.Panic", &())).await.unwrap_err();
        assert_eq!(fault(&panicked), "panic: on purpose");
        is_alive(&client).await;
    }
    let client = piped(&server(), Wire::JsonRpc);
    let failed = soon(client.call::<_, f64>("Echo.NotANumber", &())).await.unwrap_err();
    assert!(fault(&failed).contains("NaN"), "{failed:?}");
    is_alive(&client).await;
}

#[tokio::test]
async fn a_reply_of_another_type_fails_its_call_alone() {
    for wire in FOREIGN {
        let client = piped(&server(), wire);
        let other = client.go::<_, i64>("Echo.Number", &7);
        let wrong = soon(client.call::<_, Vec<String>>("Echo.Number", &7)).await.unwrap_err();
        assert!(matches!(wrong, Error::Decode(_)), "{wire:?}: {wrong:?}");
        assert_eq!(soon(other).await.unwrap(), 7);
        is_alive(&client).await;
    }
}

#[tokio::test]
async fn what_a_language_has_no_word_for_is_refused_or_stays_here() {
    for wire in FOREIGN {
        let client = piped(&server(), wire);
        let options = netrpc::CallOptions::new().metadata("key", "value");
        let refused = client.with(options).call::<_, i64>("Echo.Number", &1).await.unwrap_err();
        let Error::Refused { refusal, message } = &refused else { panic!("{refused:?}") };
        assert_eq!((*refusal, refused.may_have_run()), (Refusal::Unsupported, false));
        assert!(message.contains("metadata"), "{message}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_timeout_ends_the_wait_and_a_late_answer_finds_nobody() {
    for wire in FOREIGN {
        let gate = Arc::new(Semaphore::new(0));
        let server = Server::new();
        server.register(Echo { gate: Some(gate.clone()), ..Echo::default() }).unwrap();
        let client = piped(&server, wire);
        let options = netrpc::CallOptions::new().timeout(Duration::from_secs(1));
        let late = client.with(options).call::<_, i64>("Echo.Wait", &1).await.unwrap_err();
        assert!(matches!(late, Error::Deadline { may_have_run: true }), "{late:?}");
        drop(client.go::<_, i64>("Echo.Wait", &2));
        let third = client.go::<_, i64>("Echo.Wait", &3);
        gate.add_permits(1);
        assert_eq!(third.await.unwrap(), 3);
        is_alive(&client).await;
    }
}

/// Everything a disabled protocol's client is told.
async fn refused(server: &Server, wire: Wire) -> Error {
    let client = speaking(wire).dial(listen(server).await).await.unwrap();
    soon(client.call::<_, i64>("Echo.Number", &1)).await.unwrap_err()
}

#[tokio::test]
async fn a_disabled_protocol_is_refused_in_its_own_language() {
    let only = |protocol| {
        let server = Server::builder().protocols([protocol]).build();
        server.register(Echo::default()).unwrap();
        server
    };
    for (wire, name) in
        [(Wire::Gob, "gob"), (Wire::JsonRpc, "JSON-RPC"), (Wire::MsgpackRpc, "MessagePack-RPC")]
    {
        let server = only(Protocol::Native);
        let error = refused(&server, wire).await;
        let expected = format!(
            "the peer speaks {name}, which this server does not (ServerBuilder::protocols)"
        );
        assert_eq!(fault(&error), expected);
        is_alive(&common::dial(&server).await).await;
    }
    let error = refused(&only(Protocol::Gob), Wire::Native).await;
    let Error::Shutdown { may_have_run: _, cause } = &error else { panic!("{error:?}") };
    assert!(matches!(**cause, Disconnected::GoAway { .. }), "{cause:?}");
    assert!(cause.to_string().contains("ServerBuilder::protocols"), "{cause}");
    let server = only(Protocol::Gob);
    let error = Client::dial_http(listen(&server).await).await.unwrap_err();
    assert!(error.chain().to_string().contains("403 Forbidden"), "{}", error.chain());
}

#[tokio::test]
async fn http_leads_to_the_services_on_its_path_only() {
    let server = Server::builder().http_path("/calls").build();
    server.register(Echo::default()).unwrap();
    let addr = listen(&server).await;
    let lost = Client::dial_http(addr).await.unwrap_err();
    let text = lost.chain().to_string();
    assert!(text.ends_with("unexpected HTTP response: 404 Not Found"), "{text}");
    let found = Client::builder().dial_http_path(addr, "/calls").await.unwrap();
    is_alive(&found).await;
}

/// Reads one line of JSON.
async fn line(io: &mut DuplexStream) -> Value {
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        line.push(soon(io.read_u8()).await.unwrap());
    }
    serde_json::from_slice(&line).unwrap()
}

#[tokio::test]
async fn json_that_go_would_drop_the_connection_for_is_answered() {
    let mut io = stream(&server());
    let mut ask = async |request: &str| {
        io.write_all(request.as_bytes()).await.unwrap();
        line(&mut io).await
    };
    let answer = ask(r#"{"method":"Echo.Number","params":[1,2],"id":[3]}"#).await;
    assert_eq!(answer["id"], serde_json::json!([3]), "any id is echoed");
    assert_eq!(answer["error"], "jsonrpc: params is not an array of one value");
    let answer = ask(r#"{"method":7,"params":[1],"id":1}"#).await;
    assert!(answer["id"].is_null());
    let text = answer["error"].as_str().unwrap();
    assert!(text.starts_with("rpc: server cannot decode request: "), "{text}");
    let answer = ask(r#"{"method":"Echo.Number","params":[],"id":{"a":null}}"#).await;
    assert_eq!(answer, serde_json::json!({"id": {"a": null}, "result": 0, "error": null}));
    let answer = ask(r#"{"method":"Echo.Number","params":null,"id":"x"}"#).await;
    assert_eq!(answer["error"], "jsonrpc: request body missing params");
    let answer = ask(r#" {"id":5, "params":[12345678901234567], "method":"Echo.Number"}"#).await;
    assert_eq!(answer["result"], 12_345_678_901_234_567_i64);
}

#[tokio::test]
async fn calls_before_something_unintelligible_are_answered_yet() {
    for half_close in [false, true] {
        let gate = Arc::new(Semaphore::new(0));
        let server = Server::new();
        server.register(Echo { gate: Some(gate.clone()), ..Echo::default() }).unwrap();
        let mut io = stream(&server);
        io.write_all(br#"{"method":"Echo.Wait","params":[7],"id":1} what?"#).await.unwrap();
        if half_close {
            io.shutdown().await.unwrap();
        }
        let complaint = line(&mut io).await;
        assert!(complaint["id"].is_null() && complaint["error"].is_string(), "{complaint}");
        gate.add_permits(1);
        assert_eq!(line(&mut io).await["result"], 7);
        let mut rest = Vec::new();
        soon(io.read_to_end(&mut rest)).await.unwrap();
        assert!(rest.is_empty());
    }
}

#[tokio::test]
async fn what_is_nested_too_deep_fails_its_call_alone() {
    let mut io = stream(&server());
    let deep = ["[".repeat(1000), "]".repeat(1000)].concat();
    let request = format!(r#"{{"method":"Echo.Everything","params":[{{"Other":{deep}}}],"id":1}}"#);
    io.write_all(request.as_bytes()).await.unwrap();
    let answer = line(&mut io).await;
    let text = answer["error"].as_str().unwrap();
    assert!(text.contains("nested deeper than 64 levels"), "{text}");
    io.write_all(br#"{"method":"Echo.Number","params":[5],"id":2}"#).await.unwrap();
    assert_eq!(line(&mut io).await["result"], 5);
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_and_the_connection_lives() {
    for wire in FOREIGN {
        let server = Server::builder().max_frame(10_000).build();
        server.register(Echo::default()).unwrap();
        let client = piped(&server, wire);
        if wire == Wire::JsonRpc {
            // Whose request it was would have been said at its end.
            let mut io = stream(&server);
            let text = "x".repeat(200_000);
            let request = format!(r#"{{"method":"Echo.Fail","params":["{text}"],"id":1}}"#);
            io.write_all(request.as_bytes()).await.unwrap();
            let answer = line(&mut io).await;
            let text = answer["error"].as_str().unwrap();
            assert!(text.contains("limit is 10000 (ServerBuilder::max_frame)"), "{text}");
            continue;
        }
        let large = "x".repeat(200_000);
        let error = soon(client.call::<_, ()>("Echo.Fail", &large)).await.unwrap_err();
        let text = fault(&error);
        assert!(text.contains("limit is 10000 (ServerBuilder::max_frame)"), "{wire:?}: {text}");
        is_alive(&client).await;
        let error = soon(client.call::<_, Vec<u8>>("Echo.Large", &20_000)).await.unwrap_err();
        assert!(fault(&error).contains("limit is 10000"), "{wire:?}: {error:?}");
        is_alive(&client).await;
    }
    for wire in [Wire::Gob, Wire::MsgpackRpc] {
        let client = speaking(wire).max_frame(10_000).connect(stream(&server()));
        let lost = soon(client.call::<_, Vec<u8>>("Echo.Large", &20_000)).await.unwrap_err();
        assert!(matches!(lost, Error::ReplyLost(_)), "{wire:?}: {lost:?}");
        is_alive(&client).await;
    }
}

/// A request as Go's client begins: the definition of its header, one call's header.
fn gob_request(encoder: &mut netrpc_gob::Encoder, method: &str, seq: u64) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Request<'a> {
        service_method: &'a str,
        seq: u64,
    }
    let mut out = Vec::new();
    encoder.encode(&Request { service_method: method, seq }, &mut out).unwrap();
    out
}

/// What a Go server allocates for six bytes: 8 GiB.
#[test]
fn a_claimed_length_gets_no_memory() {
    let claims: [(&str, Vec<u8>); 4] = [
        ("gob, a message of 8 GiB", {
            let mut bytes = gob_request(&mut netrpc_gob::Encoder::new(), "Echo.Number", 0);
            bytes.extend_from_slice(&[0xFB, 0x02, 0, 0, 0, 0]);
            bytes
        }),
        ("MessagePack, bytes", {
            let mut bytes = b"\x82\xa3Seq\x00\xadServiceMethod\xaaEcho.Bytes".to_vec();
            bytes.extend_from_slice(&[0xDB, 0xFF, 0xFF, 0xFF, 0xFF]);
            bytes
        }),
        ("MessagePack, a map's size as a hint", b"\x82\xa3Seq\xdf\xff\xff\xff\xff".to_vec()),
        ("JSON, nested", {
            let mut bytes = br#"{"method":"Echo.Number","params":["#.to_vec();
            bytes.extend_from_slice(&[b'['; 100_000]);
            bytes
        }),
    ];
    for (what, bytes) in claims {
        let counted = allocation_counter::measure(|| {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let server = server();
                let neighbour = pipe(&server);
                let mut io = stream(&server);
                io.write_all(&bytes).await.unwrap();
                io.shutdown().await.unwrap();
                let mut answer = Vec::new();
                soon(io.read_to_end(&mut answer)).await.unwrap();
                is_alive(&neighbour).await;
            });
        });
        assert!(counted.bytes_max < 4 << 20, "{what}: {} bytes", counted.bytes_max);
    }
}

/// A count of elements that are not there: an error of its call, and the connection lives.
#[tokio::test]
async fn a_claimed_count_is_an_error_of_its_call() {
    // In the order of the calls.
    let server = Server::builder().sync_policy(SyncPolicy::Inline).build();
    server.register(Echo::default()).unwrap();
    let mut io = stream(&server);
    let mut encoder = netrpc_gob::Encoder::new();
    let mut bytes = gob_request(&mut encoder, "Echo.Everything", 0);
    // A map of string to int (its type is 64 ids from here, so it is defined by hand) would be
    // longer; a slice of bytes says it as well: 2^40 of them.
    bytes.extend_from_slice(&[0x09, 0x0A, 0x00, 0xFA, 1, 0, 0, 0, 0, 0]);
    bytes.extend(gob_request(&mut encoder, "Echo.Number", 1));
    encoder.encode(&42_i64, &mut bytes).unwrap();
    io.write_all(&bytes).await.unwrap();
    io.shutdown().await.unwrap();
    let mut answer = Vec::new();
    soon(io.read_to_end(&mut answer)).await.unwrap();
    let mut decoder = netrpc_gob::Decoder::new(netrpc_gob::Limits::new());
    let mut input = BytesMut::from(&answer[..]);
    let mut values = Vec::<Value>::new();
    while let Some(netrpc_gob::Message::Value { bytes, .. }) = decoder.next(&mut input).unwrap() {
        values.push(decoder.types().decode(&bytes).unwrap());
    }
    assert!(values[0]["Error"].as_str().unwrap().contains("arguments"), "{values:?}");
    assert_eq!(values[3], 42, "{values:?}");
}

/// Connections that send one byte stay with a Go server for ever.
#[tokio::test(start_paused = true)]
async fn silent_connections_are_closed() {
    let server = server();
    let firsts: [&[u8]; 7] = [b"", b"C", b"{", b"/", b"\x82", b"CONNECT /_goRPC_ HTTP/1.0\n", b" "];
    let mut silent: Vec<_> = Vec::new();
    for first in firsts.into_iter().cycle().take(2000) {
        let mut io = stream(&server);
        io.write_all(first).await.unwrap();
        silent.push(io);
    }
    is_alive(&pipe(&server)).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    for mut io in silent {
        let mut rest = Vec::new();
        soon(io.read_to_end(&mut rest)).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(server.connections(), 0);
}

/// A Go server holds 860 MiB for these calls, and runs all of them after their caller has gone.
#[tokio::test]
async fn calls_of_a_client_that_goes_away_are_not_hoarded() {
    let gate = Arc::new(Semaphore::new(0));
    let echo = Arc::new(Echo { gate: Some(gate.clone()), ..Echo::default() });
    let server = Server::new();
    server.register(echo.clone()).unwrap();
    let mut io = TcpStream::connect(listen(&server).await).await.unwrap();
    let text = "x".repeat(5000);
    let call = format!(r#"{{"method":"Echo.Wait","params":[1],"id":"{text}"}}"#);
    let mut taken = 0;
    // Until nobody takes more.
    while taken < 100_000 {
        let written =
            tokio::time::timeout(Duration::from_millis(500), io.write_all(call.as_bytes()));
        match written.await {
            Ok(written) => written.unwrap(),
            Err(_) => break,
        }
        taken += 1;
    }
    assert!(taken < 100_000, "the server takes no more than it may hold");
    let begun = echo.ran.load(Ordering::SeqCst);
    assert_eq!(begun, 256, "the limit of one connection");
    // Gone without a goodbye.
    io.set_zero_linger().unwrap();
    drop(io);
    gate.add_permits(taken);
    soon(async {
        while server.connections() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let ran = echo.ran.load(Ordering::SeqCst);
    assert!(ran < begun * 3, "{ran} of {taken} calls ran");
}

#[tokio::test(start_paused = true)]
async fn a_foreign_client_that_does_not_read_is_let_go_of() {
    for wire in FOREIGN {
        // What a client asks for, caught on its way.
        let (asks, mut caught) = tokio::io::duplex(1 << 20);
        let client = speaking(wire).connect(asks);
        let calls: Vec<_> =
            (0..50).map(|_| client.go::<_, Vec<u8>>("Echo.Large", &100_000)).collect();
        let mut requests = BytesMut::with_capacity(1 << 20);
        assert!(caught.read_buf(&mut requests).await.unwrap() > 1000);
        // Asked by one that reads nothing.
        let (mut ours, theirs) = tokio::io::duplex(1 << 14);
        ours.write_all(&requests).await.unwrap();
        let ended = server().serve_conn(theirs).await.unwrap_err();
        assert!(matches!(*ended, Disconnected::NotReading(_)), "{wire:?}: {ended:?}");
        drop(calls);
    }
}

/// Recorded and made-up streams, cut at every byte and changed at every byte.
#[tokio::test]
async fn broken_streams_harm_nobody_else() {
    let server = server();
    let neighbour = pipe(&server);
    let mut gob = netrpc_gob::Encoder::new();
    let mut gob_call = gob_request(&mut gob, "Echo.Fail", 3);
    gob.encode("what", &mut gob_call).unwrap();
    let streams: [Vec<u8>; 4] = [
        gob_call.clone(),
        br#"{"method":"Echo.Fail","params":["\u00e4"],"id":3}"#.to_vec(),
        b"\x82\xa3Seq\x03\xadServiceMethod\xa9Echo.Fail\xa4what".to_vec(),
        [&b"CONNECT /_goRPC_ HTTP/1.0\n\n"[..], &gob_call].concat(),
    ];
    let mut broken = Vec::new();
    for stream in streams {
        for at in 0..stream.len() {
            broken.push(stream[..at].to_vec());
            for flip in [0x01, 0x80, 0xFF] {
                let mut changed = stream.clone();
                changed[at] ^= flip;
                broken.push(changed);
            }
        }
    }
    let count = broken.len();
    for bytes in broken {
        let mut io = stream(&server);
        io.write_all(&bytes).await.unwrap();
        io.shutdown().await.unwrap();
        let mut rest = Vec::new();
        soon(io.read_to_end(&mut rest)).await.unwrap();
    }
    assert!(count > 1000, "{count}");
    is_alive(&neighbour).await;
}

#[tokio::test]
async fn a_draining_server_refuses_foreign_calls_and_answers_those_it_has() {
    for wire in FOREIGN {
        let gate = Arc::new(Semaphore::new(0));
        let echo = Arc::new(Echo { gate: Some(gate.clone()), ..Echo::default() });
        let server = Server::new();
        server.register(echo.clone()).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let serving = tokio::spawn(server.serve(listener).with_graceful_shutdown(async {
            let _ = stopped.await;
        }));
        let client = speaking(wire).dial(addr).await.unwrap();
        let running = client.go::<_, i64>("Echo.Wait", &7);
        soon(async {
            while echo.ran.load(Ordering::SeqCst) == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        stop.send(()).unwrap();
        let refused = soon(async {
            loop {
                match client.call::<_, i64>("Echo.Number", &1).await {
                    Ok(_) => tokio::task::yield_now().await,
                    Err(refused) => return refused,
                }
            }
        })
        .await;
        assert_eq!(fault(&refused), "the server is shutting down");
        gate.add_permits(1);
        assert_eq!(soon(running).await.unwrap(), 7);
        client.close().await;
        soon(serving).await.unwrap();
    }
}
