//! Calls over TLS, in every way a client connects.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use netrpc::{CallOptions, Client, Disconnected, Error, Reconnect, Server, tls::TlsClientConfig};
use netrpc_core::error::chain;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex},
    net::TcpListener,
    sync::oneshot,
};

use crate::{
    Authority, common::soon, dial, how_it_ended, is_alive, listen, pipe, plain_server, server,
    trusting,
};

/// The TLS of a client of a stream that has no name.
fn named(authority: &Authority) -> TlsClientConfig {
    let builder = TlsClientConfig::builder().roots(authority.root()).server_name("localhost");
    builder.build().unwrap()
}

#[tokio::test]
async fn a_client_that_closes_says_so_by_tls() {
    let authority = Authority::new("authority");
    let server = server(&plain_server(&authority));
    let (ours, serving) = pipe(&server);
    let client = Client::builder().tls(&named(&authority)).connect(ours);
    is_alive(&client).await;
    client.close().await;
    soon(serving).await.unwrap().expect("its stream was not cut off");
}

#[tokio::test]
async fn a_client_that_is_sent_away_says_goodbye_by_tls() {
    let authority = Authority::new("authority");
    let server = server(&plain_server(&authority));
    let listener = TcpListener::bind("localhost:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = server.serve(listener).with_graceful_shutdown(async {
        let _ = stopped.await;
    });
    let serving = tokio::spawn(serving.into_future());
    let client = dial(addr, &trusting(&authority)).await.unwrap();
    is_alive(&client).await;
    let (ours, second) = pipe(&server);
    let other = Client::builder().tls(&named(&authority)).connect(ours);
    is_alive(&other).await;
    stop.send(()).unwrap();
    soon(serving).await.unwrap();
    soon(second).await.unwrap().expect("its stream was not cut off");
}

#[tokio::test]
async fn a_connection_that_is_made_again_is_encrypted_and_verified_again() {
    let authority = Authority::new("authority");
    let tls = trusting(&authority);
    let mut listener = TcpListener::bind("localhost:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let quick = Reconnect::new().first_delay(Duration::from_millis(1)).seed(7);
    let options = CallOptions::new().wait_for_ready(true).timeout(Duration::from_secs(20));
    let builder = Client::builder().tls(&tls).reconnect(quick.lazy(true)).options(options);
    let client = builder.dial(("localhost", addr.port())).await.unwrap();
    for _ in 0..3 {
        let server = server(&plain_server(&authority));
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = server.serve(listener).with_graceful_shutdown(async {
            let _ = stopped.await;
        });
        let serving = tokio::spawn(serving.into_future());
        is_alive(&client).await;
        stop.send(()).unwrap();
        soon(serving).await.unwrap();
        listener = TcpListener::bind(addr).await.unwrap();
    }
    // One whom the client has no reason to trust is on the same port now.
    let stranger = server(&plain_server(&Authority::new("stranger")));
    tokio::spawn(stranger.serve(listener).into_future());
    let client = client.with(CallOptions::new().wait_for_ready(false));
    let error = soon(client.call::<_, u64>("Echo.Number", &7)).await.unwrap_err();
    let text = chain(&error).to_string();
    assert!(text.contains("certificate"), "{text}");
    assert!(!error.may_have_run(), "{error:?}");
}

#[tokio::test]
async fn calls_cross_however_a_client_connects() {
    let authority = Authority::new("authority");
    let tls = plain_server(&authority);
    let server = server(&tls);
    let addr = listen(&server).await;

    let over_tcp = dial(addr, &trusting(&authority)).await.unwrap();
    is_alive(&over_tcp).await;
    let other_name = Client::builder().tls(&named(&authority)).dial(addr).await.unwrap();
    is_alive(&other_name).await;

    let (ours, serving) = pipe(&server);
    let over_a_stream = Client::builder().tls(&named(&authority)).connect(ours);
    is_alive(&over_a_stream).await;
    drop(over_a_stream);
    soon(serving).await.unwrap().expect("it has parted in peace");

    let (done, blocking) = oneshot::channel();
    std::thread::spawn(move || {
        let builder = Client::builder().tls(&trusting(&authority));
        let client = netrpc::blocking::Client::dial_with(builder, ("localhost", addr.port()));
        done.send(client.and_then(|client| client.call::<_, u64>("Echo.Number", &8)))
    });
    assert_eq!(soon(blocking).await.unwrap().unwrap(), 8);
}

#[cfg(unix)]
#[tokio::test]
async fn calls_cross_a_unix_socket() {
    let authority = Authority::new("authority");
    let path = std::env::temp_dir().join(format!("netrpc-tls-{}.socket", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    tokio::spawn(server(&plain_server(&authority)).serve(listener));
    let client = Client::builder().tls(&named(&authority)).dial_unix(&path).await.unwrap();
    is_alive(&client).await;
    // Which name its certificate would have to be for, nobody knows.
    let nameless = Client::builder().tls(&trusting(&authority)).dial_unix(&path).await;
    let error = nameless.unwrap_err().chain().to_string();
    assert!(error.contains("set TlsClientConfigBuilder::server_name"), "{error}");
    std::fs::remove_file(&path).unwrap();
}

#[cfg(feature = "go")]
#[tokio::test]
async fn the_protocols_of_go_cross_too() {
    use netrpc::Wire;
    let authority = Authority::new("authority");
    let server = server(&plain_server(&authority));
    let port = listen(&server).await.port();
    let tls = trusting(&authority);
    for wire in [Wire::Gob, Wire::JsonRpc, Wire::MsgpackRpc] {
        let builder = Client::builder().tls(&tls).wire(wire);
        is_alive(&builder.dial(("localhost", port)).await.unwrap()).await;
        let tunnel = Client::builder().tls(&tls).wire(wire).dial_http(("localhost", port)).await;
        is_alive(&tunnel.unwrap()).await;
    }
}

#[tokio::test]
async fn much_crosses_both_ways_at_once() {
    let authority = Authority::new("authority");
    let addr = listen(&server(&plain_server(&authority))).await;
    let client = dial(addr, &trusting(&authority)).await.unwrap();
    is_alive(&client).await; // to encode what follows may take longer than a handshake
    let sent: Vec<u8> =
        (0..3_000_000u32).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
    let calls: Vec<_> = (0..4).map(|_| client.go::<_, Vec<u8>>("Echo.Bytes", &sent[..])).collect();
    for call in calls {
        assert!(soon(call).await.unwrap() == sent);
    }
}

#[tokio::test]
async fn an_address_needs_a_certificate_for_the_address() {
    let authority = Authority::new("authority");
    let (certificate, key) = authority.issue("127.0.0.1").sources();
    let tls = netrpc::tls::TlsServerConfig::builder().certificate(certificate, key);
    let addr = crate::common::listen(&server(&tls.build().unwrap())).await;
    let tls = trusting(&authority);
    is_alive(&Client::builder().tls(&tls).dial(addr).await.unwrap()).await;
    is_alive(&Client::builder().tls(&tls).dial([addr]).await.unwrap()).await;
    // Of several addresses, which one?
    let error = Client::builder().tls(&tls).dial([addr, addr]).await.unwrap_err();
    let text = error.chain().to_string();
    assert!(text.contains("nothing says which name"), "{text}");
}

/// Notes what passes.
struct Tapped {
    io: DuplexStream,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl AsyncRead for Tapped {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        self.seen.lock().extend_from_slice(&buf.filled()[before..]);
        read
    }
}

impl AsyncWrite for Tapped {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        if let Poll::Ready(Ok(n)) = written {
            self.seen.lock().extend_from_slice(&bytes[..n]);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// What an eavesdropper sees of a call.
async fn overheard(server: &Server, tls: Option<&TlsClientConfig>) -> Vec<u8> {
    let (ours, _serving) = pipe(server);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let tapped = Tapped { io: ours, seen: seen.clone() };
    let builder = match tls {
        Some(tls) => Client::builder().tls(tls),
        None => Client::builder(),
    };
    let client = builder.connect(tapped);
    let reply: Vec<u8> = soon(client.call("Echo.Bytes", &b"the secret"[..])).await.unwrap();
    assert_eq!(reply, b"the secret");
    std::mem::take(&mut *seen.lock())
}

#[tokio::test]
async fn an_eavesdropper_learns_neither_method_nor_arguments() {
    let knows = |seen: &[u8], word: &[u8]| seen.windows(word.len()).any(|window| window == word);
    let plain = Server::new();
    plain.register(crate::Echo).unwrap();
    let seen = overheard(&plain, None).await;
    assert!(knows(&seen, b"Echo.Bytes") && knows(&seen, b"the secret"), "the check can see");
    let authority = Authority::new("authority");
    let seen = overheard(&server(&plain_server(&authority)), Some(&named(&authority))).await;
    assert!(seen.len() > 500, "it has seen something: {} bytes", seen.len());
    for word in [&b"Echo"[..], b"secret", b"NRP"] {
        assert!(!knows(&seen, word), "{}", String::from_utf8_lossy(word));
    }
}

/// A pipe with somebody in its middle, who passes everything on until he cuts it.
async fn cut_when(mut client: DuplexStream, mut server: DuplexStream, cut: oneshot::Receiver<()>) {
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
        _ = cut => {}
    }
}

#[tokio::test]
async fn a_stream_that_is_cut_off_is_a_loss_on_both_sides() {
    let authority = Authority::new("authority");
    let server = server(&plain_server(&authority));
    let (ours, middle) = duplex(64 * 1024);
    let (theirs, serving) = pipe(&server);
    let (cut, when) = oneshot::channel();
    tokio::spawn(cut_when(middle, theirs, when));
    let client = Client::builder().tls(&named(&authority)).connect(ours);
    is_alive(&client).await;
    let call = client.go::<_, ()>("Echo.Forever", &());
    is_alive(&client).await; // and so the call before it has arrived
    cut.send(()).unwrap();
    let error = soon(call).await.unwrap_err();
    let text = error.chain().to_string();
    assert!(text.contains("cut off") && error.may_have_run(), "{text}");
    let how = how_it_ended(soon(serving).await);
    assert!(how.contains("cut off"), "{how}");
}

#[tokio::test]
async fn an_idle_client_that_is_cut_off_has_not_parted_in_peace() {
    let authority = Authority::new("authority");
    let server = server(&plain_server(&authority));
    let (ours, middle) = duplex(64 * 1024);
    let (theirs, serving) = pipe(&server);
    let (cut, when) = oneshot::channel();
    tokio::spawn(cut_when(middle, theirs, when));
    let client = Client::builder().tls(&named(&authority)).connect(ours);
    is_alive(&client).await;
    cut.send(()).unwrap();
    let cause = soon(serving).await.unwrap().expect_err("nobody has said goodbye");
    assert!(matches!(&*cause, Disconnected::Io(_)), "{cause:?}");
}

#[tokio::test]
async fn a_shutdown_answers_what_it_has_and_says_goodbye() {
    let authority = Authority::new("authority");
    let server = server(&plain_server(&authority));
    let listener = TcpListener::bind("localhost:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(server.serve(listener).with_graceful_shutdown(async {
        let _ = stopped.await;
    }));
    let client = dial(addr, &trusting(&authority)).await.unwrap();
    let sent = vec![7; 2_000_000];
    let call = client.go::<_, Vec<u8>>("Echo.Bytes", &sent[..]);
    is_alive(&client).await;
    stop.send(()).unwrap();
    assert_eq!(soon(call).await.unwrap(), sent);
    soon(serving).await.unwrap();
    let error = client.call::<_, u64>("Echo.Number", &1).await.unwrap_err();
    let text = error.chain().to_string();
    assert!(matches!(error, Error::Shutdown { may_have_run: false, .. }), "{text}");
    assert!(text.contains("shutting down"), "{text}");
}

#[tokio::test]
async fn a_client_whose_stream_refuses_to_be_written_is_told() {
    let authority = Authority::new("authority");
    let (ours, mut theirs) = duplex(64);
    theirs.shutdown().await.unwrap();
    drop(theirs);
    let client = Client::builder().tls(&named(&authority)).connect(ours);
    let error = soon(client.call::<_, u64>("Echo.Number", &1)).await.unwrap_err();
    assert!(matches!(error, Error::Shutdown { .. }), "{error:?}");
}
