//! Which connections are served: the owner's check of each.

mod common;

use std::{
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use common::{Raw, dial, encoded, listen, pipe, soon};
use netrpc::{
    CallInfo, Client, ConnectionInfo, Context, Disconnected, Error, Fault, Peer, Server,
    ServerBuilder, service,
};
use netrpc_core::wire::{GoAwayBody, GoAwayCode, Kind, Preface};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

struct User(u64);

#[derive(Default)]
struct Desk {
    calls: Arc<AtomicUsize>,
}

#[service]
impl Desk {
    fn whoami(&self, cx: &Context, (): (), reply: &mut Option<u64>) {
        self.calls.fetch_add(1, Ordering::SeqCst);
        *reply = cx.extension::<User>().map(|user| user.0);
    }

    async fn whoami_later(&self, cx: &Context, (): (), reply: &mut Option<u64>) {
        tokio::task::yield_now().await;
        self.whoami(cx, (), reply);
    }
}

fn served(builder: ServerBuilder) -> (Server, Arc<AtomicUsize>) {
    let desk = Desk::default();
    let calls = desk.calls.clone();
    let server = builder.build();
    server.register(desk).unwrap();
    (server, calls)
}

async fn whoami(client: &Client) -> Result<Option<u64>, Error> {
    soon(client.call("Desk.Whoami", &())).await
}

/// The reason with which the server has sent the client away.
fn refused(error: &Error) -> String {
    let Error::Shutdown { cause, .. } = error else { panic!("not refused: {error:?}") };
    let Disconnected::GoAway { code: GoAwayCode::Refused, message } = &**cause else {
        panic!("not refused: {cause:?}")
    };
    message.clone()
}

async fn strangers(_: ConnectionInfo) -> Result<(), Fault> {
    Err(Fault::unauthenticated("no strangers"))
}

#[tokio::test]
async fn what_the_check_has_found_out_every_call_knows() {
    let check = |connection: ConnectionInfo| async move {
        assert!(matches!(connection.peer(), Peer::Tcp(_)) && connection.peer_identity().is_none());
        tokio::task::yield_now().await;
        Ok(User(connection.number()))
    };
    let (server, _) = served(Server::builder().authenticate(check));
    let addr = listen(&server).await;
    for number in 1..4 {
        let client = Client::dial(addr).await.unwrap();
        for method in ["Desk.Whoami", "Desk.WhoamiLater", "Desk.Whoami"] {
            let user: Option<u64> = soon(client.call(method, &())).await.unwrap();
            assert_eq!(user, Some(number));
        }
    }
}

#[tokio::test]
async fn checks_of_calls_see_what_that_of_the_connection_has_found_out() {
    let first = |connection: ConnectionInfo| async move { Ok(User(connection.number())) };
    let second = |connection: ConnectionInfo| async move {
        assert!(connection.extension::<User>().is_some());
        Ok("seen twice")
    };
    let call = |call: CallInfo| async move {
        let number = call.extension::<User>().map(|user| user.0);
        assert_eq!(call.extension(), Some(&"seen twice"));
        if number == Some(call.call_id().connection) { Ok(()) } else { Err(Fault::denied("who?")) }
    };
    let builder = Server::builder().authenticate(first).authenticate(second).authorize(call);
    let (server, _) = served(builder);
    let client = dial(&server).await;
    assert!(whoami(&client).await.unwrap().is_some());
}

/// `[goaway.refused]`
#[tokio::test]
async fn a_client_that_is_refused_is_told_why_and_that_nothing_has_run() {
    let (server, calls) = served(Server::builder().authenticate(strangers));
    let client = dial(&server).await;
    let pending = [(); 3].map(|()| client.go::<_, Option<u64>>("Desk.Whoami", &()));
    for call in pending {
        let error = soon(call).await.unwrap_err();
        assert_eq!(refused(&error), "no strangers");
        assert!(!error.may_have_run(), "that is what the code says");
    }
    let error = whoami(&client).await.unwrap_err();
    assert!(client.is_closed() && !error.may_have_run(), "{error:?}");
    assert_eq!(calls.load(Ordering::SeqCst), 0);

    let mut raw = Raw::new(TcpStream::connect(listen(&server).await).await.unwrap());
    raw.send(&Preface::OURS.to_bytes()).await;
    raw.request(1, "Desk.Whoami", &encoded(&())).await;
    raw.expect_preface().await;
    let frame = soon(raw.frame()).await.expect("a go-away");
    assert_eq!(frame.kind, Kind::GoAway);
    let body = frame.body();
    let told = GoAwayBody::parse(&body).unwrap();
    assert_eq!((told.code, told.message), (GoAwayCode::Refused, "no strangers"));
    assert!(soon(raw.frame()).await.is_none(), "and nothing after it");
}

#[tokio::test]
async fn serving_a_stream_that_is_refused_ends_with_the_reason() {
    let (server, _) = served(Server::builder().authenticate(strangers));
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let serving = tokio::spawn(async move { server.serve_conn(theirs).await });
    let client = Client::new(ours);
    assert_eq!(refused(&whoami(&client).await.unwrap_err()), "no strangers");
    let ended = soon(serving).await.unwrap().unwrap_err();
    assert_eq!(ended.to_string(), "the peer was refused: no strangers");
}

#[tokio::test]
async fn the_check_may_change_its_mind() {
    let open = Arc::new(Mutex::new(true));
    let door = open.clone();
    let check = move |_: ConnectionInfo| {
        let open = *door.lock().unwrap();
        async move { if open { Ok(()) } else { Err(Fault::denied("we are closed")) } }
    };
    let (server, _) = served(Server::builder().authenticate(check));
    let addr = listen(&server).await;
    let before = Client::dial(addr).await.unwrap();
    assert_eq!(whoami(&before).await.unwrap(), None);
    *open.lock().unwrap() = false;
    let after = Client::dial(addr).await.unwrap();
    assert_eq!(refused(&whoami(&after).await.unwrap_err()), "we are closed");
    assert_eq!(whoami(&before).await.unwrap(), None, "who is in stays in");
    *open.lock().unwrap() = true;
    assert_eq!(whoami(&Client::dial(addr).await.unwrap()).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_check_that_never_ends_has_as_long_as_the_handshake() {
    let check = |_: ConnectionInfo| pending::<Result<(), Fault>>();
    let timeout = Duration::from_secs(3);
    let (server, _) = served(Server::builder().handshake_timeout(timeout).authenticate(check));
    let begun = tokio::time::Instant::now();
    let reason = refused(&whoami(&pipe(&server)).await.unwrap_err());
    assert_eq!(reason, "the server could not tell in time whether to let it in");
    assert_eq!(begun.elapsed(), timeout);
}

#[tokio::test(start_paused = true)]
async fn its_connection_counts_meanwhile() {
    let check = |_: ConnectionInfo| pending::<Result<(), Fault>>();
    let (server, _) = served(Server::builder().max_connections(1).authenticate(check));
    let waits = pipe(&server);
    let call = waits.go::<_, Option<u64>>("Desk.Whoami", &());
    tokio::task::yield_now().await;
    let error = whoami(&pipe(&server)).await.unwrap_err();
    let Error::Shutdown { cause, .. } = &error else { panic!("{error:?}") };
    let full =
        matches!(&**cause, Disconnected::GoAway { code: GoAwayCode::TooManyConnections, .. });
    assert!(full, "{cause:?}");
    call.await.unwrap_err();
}

#[tokio::test]
async fn a_check_that_panics_lets_nobody_in_and_keeps_nobody_else_out() {
    let first = AtomicUsize::new(0);
    let check = move |_: ConnectionInfo| {
        let first = first.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            tokio::task::yield_now().await;
            assert!(!first, "at the door");
            Ok(())
        }
    };
    let (server, _) = served(Server::builder().authenticate(check));
    let addr = listen(&server).await;
    let client = Client::dial(addr).await.unwrap();
    let reason = refused(&whoami(&client).await.unwrap_err());
    assert_eq!(reason, "the server cannot tell whether to let it in");
    assert_eq!(whoami(&Client::dial(addr).await.unwrap()).await.unwrap(), None);
}

#[tokio::test]
async fn who_comes_over_http_is_told_in_http() {
    let (server, _) = served(Server::builder().authenticate(strangers));
    let mut stream = TcpStream::connect(listen(&server).await).await.unwrap();
    stream.write_all(b"CONNECT /_goRPC_ HTTP/1.0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.0 403 Forbidden\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n403 no strangers\n"), "{answer}");
}

#[cfg(feature = "go")]
#[tokio::test]
async fn go_programs_that_are_refused_are_told_in_the_answer_to_their_first_call() {
    use netrpc::Wire;

    let (server, calls) = served(Server::builder().authenticate(strangers));
    for wire in [Wire::Gob, Wire::JsonRpc, Wire::MsgpackRpc] {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let server = server.clone();
        let serving = tokio::spawn(async move { server.serve_conn(theirs).await });
        let client = Client::builder().wire(wire).connect(ours);
        let error = whoami(&client).await.unwrap_err();
        let text = error.fault().map(|fault| fault.message());
        assert_eq!(text, Some("no strangers"), "{wire:?}");
        drop(client);
        let ended = soon(serving).await.unwrap().unwrap_err();
        assert!(matches!(&*ended, Disconnected::Refused(_)), "{wire:?}: {ended:?}");
    }
    assert_eq!(calls.load(Ordering::SeqCst), 0);
}
