//! Peers that do TLS wrong, slowly, or not at all.

use std::{sync::Arc, time::Duration};

use netrpc::{
    Client, Disconnected,
    tls::{TlsClientConfig, rustls},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    time::Instant,
};

use crate::{
    Authority, common::soon, how_it_ended, is_alive, listen, pipe, plain_server, server, trusting,
};

/// A client's own configuration.
fn client_config(authority: &Authority, alpn: &[&[u8]]) -> rustls::ClientConfig {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    config
}

/// What a client says first.
fn client_hello(authority: &Authority) -> Vec<u8> {
    let config = Arc::new(client_config(authority, &[]));
    let name = "localhost".try_into().unwrap();
    let mut session = rustls::ClientConnection::new(config, name).unwrap();
    let mut hello = Vec::new();
    session.write_tls(&mut hello).unwrap();
    assert_eq!(hello[..2], [0x16, 0x03]);
    hello
}

/// Everything a server answers until it closes.
async fn rest(mut io: DuplexStream) -> Vec<u8> {
    let mut answer = Vec::new();
    io.read_to_end(&mut answer).await.unwrap();
    answer
}

/// A fatal alert, and which.
fn alert(answer: &[u8]) -> u8 {
    let [.., 0x15, 3, 3, 0, 2, 2, alert] = answer else { panic!("no alert: {answer:02x?}") };
    *alert
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_has_five_seconds_and_no_more() {
    let authority = Authority::new("authority");
    let server = server(&plain_server(&authority));
    let hello = client_hello(&authority);
    let half = &hello[..hello.len() / 2];
    for said in [&b""[..], &hello[..1], &hello[..3], half, &hello] {
        let begun = Instant::now();
        let (mut ours, serving) = pipe(&server);
        ours.write_all(said).await.unwrap();
        let how = how_it_ended(soon(serving).await);
        assert!(how.contains("within 5 s"), "{} bytes said: {how}", said.len());
        assert_eq!(begun.elapsed().as_secs(), 5);
        assert_eq!(server.connections(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn who_says_a_byte_a_second_is_not_waited_for() {
    let authority = Authority::new("authority");
    let server = server(&plain_server(&authority));
    let (mut ours, serving) = pipe(&server);
    let begun = Instant::now();
    let slow = tokio::spawn(async move {
        for byte in client_hello(&authority) {
            if ours.write_all(&[byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        panic!("it was let to say everything");
    });
    let cause = soon(serving).await.unwrap().unwrap_err();
    assert!(matches!(*cause, Disconnected::Handshake(_)), "{cause:?}");
    assert_eq!(begun.elapsed().as_secs(), 5);
    slow.await.unwrap();
}

#[tokio::test]
async fn garbage_ends_its_connection_and_no_other() {
    let authority = Authority::new("authority");
    let server = server(&plain_server(&authority));
    let addr = listen(&server).await;
    let neighbour = crate::dial(addr, &trusting(&authority)).await.unwrap();
    // For some of them rustls has no words, and just closes.
    let cases: [(&str, &[u8], Option<u8>); 4] = [
        ("a record of 64 KiB", &[0x16, 3, 1, 0xFF, 0xFF, 1], Some(50)),
        ("a hello of 16 MiB", &[0x16, 3, 1, 0, 4, 1, 0xFF, 0xFF, 0xFF], None),
        ("a message that is none", &[0x16, 3, 1, 0, 4, 99, 0, 0, 0], None),
        ("an empty hello", &[0x16, 3, 1, 0, 4, 1, 0, 0, 0], Some(50)),
    ];
    for (what, bytes, expected) in cases {
        let (mut ours, serving) = pipe(&server);
        ours.write_all(bytes).await.unwrap();
        let answer = soon(rest(ours)).await;
        let how = how_it_ended(soon(serving).await);
        assert!(how.starts_with("the TLS handshake failed: "), "{what}: {how}");
        assert_eq!((!answer.is_empty()).then(|| alert(&answer)), expected, "{what}");
        is_alive(&neighbour).await;
    }
}

#[tokio::test]
async fn what_cannot_be_decrypted_ends_its_connection() {
    let authority = Authority::new("authority");
    let server = server(&plain_server(&authority));
    let (mut ours, serving) = pipe(&server);
    ours.write_all(&client_hello(&authority)).await.unwrap();
    let first = soon(ours.read_u8()).await.unwrap();
    assert_eq!(first, 0x16, "the server's hello");
    ours.write_all(&[&[0x17, 3, 3, 0, 32][..], &[0xAA; 32]].concat()).await.unwrap();
    let how = how_it_ended(soon(serving).await);
    assert!(how.contains("somebody has changed bytes on the way"), "{how}");
}

#[tokio::test]
async fn another_protocol_by_alpn_is_refused() {
    let authority = Authority::new("authority");
    let server = server(&plain_server(&authority));
    let tls = TlsClientConfig::from_rustls(client_config(&authority, &[b"h2", b"http/1.1"]));
    let (ours, serving) = pipe(&server);
    let tls = tls.with_server_name("localhost").unwrap();
    let client = Client::builder().tls(&tls).connect(ours);
    let error = soon(client.call::<_, u64>("Echo.Number", &7)).await.unwrap_err();
    let text = error.chain().to_string();
    assert!(text.contains("some other service is at this address"), "{text}");
    let how = how_it_ended(soon(serving).await);
    assert!(how.contains("another protocol than netrpc/1"), "{how}");
}

/// A hello as a client that knows nothing newer than TLS 1.2 says it.
fn old_hello() -> Vec<u8> {
    let extensions: &[u8] = &[
        0, 10, 0, 4, 0, 2, 0, 23, // groups: secp256r1
        0, 13, 0, 4, 0, 2, 4, 3, // signatures: ECDSA with SHA-256
    ];
    let mut body = vec![3, 3];
    body.extend([7; 32]); // random
    body.extend([0, 0, 2, 0xC0, 0x2B, 1, 0]); // no session, one cipher suite, no compression
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    let mut hello = vec![0x16, 3, 1];
    hello.extend((body.len() as u16 + 4).to_be_bytes());
    hello.extend([1, 0]);
    hello.extend((body.len() as u16).to_be_bytes());
    hello.extend(body);
    hello
}

#[tokio::test]
async fn older_tls_is_refused_by_its_name() {
    let server = server(&plain_server(&Authority::new("authority")));
    let (mut ours, serving) = pipe(&server);
    ours.write_all(&old_hello()).await.unwrap();
    assert_eq!(alert(&soon(rest(ours)).await), 70, "protocol_version");
    let how = how_it_ended(soon(serving).await);
    assert!(how.contains("version 1.3 and no older one"), "{how}");
}

#[tokio::test]
async fn nobody_is_served_in_the_clear() {
    let server = server(&plain_server(&Authority::new("authority")));
    let words = "this server takes only connections with TLS";
    let cases: [(&[u8], &str); 6] = [
        (b"\xC1NRP\x01\x01\0\0", words),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", words),
        (b"CONNECT /_goRPC_ HTTP/1.0\n\n", words),
        (b"{\"method\":\"Echo.Number\",\"params\":[7],\"id\":1}", words),
        (b"\x2f\xff\x81\x03\x01\x01\x07Request", ""),
        (b"SSH-2.0-OpenSSH\r\n", ""),
    ];
    for (said, expected) in cases {
        let (mut ours, serving) = pipe(&server);
        ours.write_all(said).await.unwrap();
        let answer = soon(rest(ours)).await;
        let text = String::from_utf8_lossy(&answer);
        assert!(text.contains(expected), "{text}");
        assert_eq!(answer.is_empty(), expected.is_empty(), "{text}");
        if said[0] == b'G' {
            assert!(text.starts_with("HTTP/1.0 400 Bad Request\r\n"), "{text}");
        }
        let cause = soon(serving).await.unwrap().unwrap_err();
        assert!(matches!(*cause, Disconnected::NotEncrypted), "{cause:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn thousands_who_never_finish_hold_up_nobody() {
    let authority = Authority::new("authority");
    let server = server(&plain_server(&authority));
    let hello = client_hello(&authority);
    let mut crowd = Vec::new();
    for n in 0..3000 {
        let (mut ours, serving) = pipe(&server);
        ours.write_all(if n % 2 == 0 { &hello } else { &hello[..40] }).await.unwrap();
        crowd.push((ours, serving));
    }
    let begun = Instant::now();
    tokio::task::yield_now().await;
    let builder = TlsClientConfig::builder().roots(authority.root());
    let tls = builder.server_name("localhost").build().unwrap();
    let (ours, _serving) = pipe(&server);
    let client = Client::builder().tls(&tls).connect(ours);
    is_alive(&client).await;
    assert_eq!(begun.elapsed().as_secs(), 0, "it did not wait for them");
    assert_eq!(server.connections(), 3001, "they are there");
    for (_, serving) in crowd {
        let cause = soon(serving).await.unwrap().unwrap_err();
        assert!(matches!(*cause, Disconnected::Handshake(_)), "{cause:?}");
    }
    assert_eq!(server.connections(), 1);
    is_alive(&client).await;
}

#[tokio::test]
async fn where_there_is_no_room_a_tls_client_gets_an_alert() {
    let authority = Authority::new("authority");
    let server =
        netrpc::Server::builder().tls(&plain_server(&authority)).max_connections(0).build();
    let addr = listen(&server).await;
    let error = soon(crate::dial(addr, &trusting(&authority))).await.unwrap_err();
    let text = error.chain().to_string();
    assert!(text.contains("has no room for this client") && !error.may_have_run(), "{text}");
}
