//! What is said when it does not work: the rows of the table in docs/TLS.md.

use netrpc::{
    Client, Error, Server,
    tls::{Source, TlsClientConfig, TlsServerConfig},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{
    Authority, Pair, common::soon, dial, identity::refusal, is_alive, known, listen, mutual_server,
    plain_server, server, trusting,
};

/// A server that shows this certificate.
async fn showing(pair: &Pair) -> std::net::SocketAddr {
    let (certificate, key) = pair.sources();
    let tls = TlsServerConfig::builder().certificate(certificate, key).build().unwrap();
    listen(&server(&tls)).await
}

/// Why a client that trusts `authority` cannot connect there.
async fn cannot_connect(authority: &Authority, pair: &Pair) -> String {
    let error = soon(dial(showing(pair).await, &trusting(authority))).await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }) && !error.may_have_run(), "{error:?}");
    error.chain().to_string()
}

#[tokio::test]
async fn what_is_wrong_with_a_servers_certificate_is_said_and_what_to_do() {
    let authority = Authority::new("authority");
    let text = cannot_connect(&authority, &authority.issue_expired("localhost")).await;
    assert!(
        text.contains("the server's certificate has expired: the server needs a new"),
        "{text}"
    );
    let text = cannot_connect(&authority, &authority.issue_for_later("localhost")).await;
    assert!(text.contains("not valid yet: is this machine's clock right?"), "{text}");
    let text = cannot_connect(&authority, &authority.issue("example.org")).await;
    assert!(text.contains("is for another name than was dialled"), "{text}");
    assert!(text.contains("example.org") && text.contains("localhost"), "which ones: {text}");
    let text = cannot_connect(&authority, &Authority::new("other").issue("localhost")).await;
    assert!(text.contains("not from an authority that this client trusts"), "{text}");
    assert!(text.contains("TlsClientConfigBuilder::roots"), "what to do: {text}");
    // An authority of the same name is another one.
    let namesakes = (Authority::new("namesake"), Authority::new("namesake"));
    let text = cannot_connect(&namesakes.0, &namesakes.1.issue("localhost")).await;
    assert!(text.contains("was the authority made anew?"), "{text}");
}

#[tokio::test]
async fn what_is_wrong_with_a_clients_certificate_is_said_and_nothing_has_run() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let addr = listen(&server(&mutual_server(&servers, &clients))).await;
    let text = refusal(dial(addr, &trusting(&servers)).await).await;
    assert!(text.contains("the server wants this client's certificate"), "{text}");
    assert!(text.contains("TlsClientConfigBuilder::certificate"), "what to do: {text}");
    let stranger = Authority::new("strangers").issue("a.internal");
    let text = refusal(dial(addr, &known(&servers, &stranger)).await).await;
    assert!(text.contains("does not accept the authority that has issued"), "{text}");
    let expired = clients.issue_expired("a.internal");
    let text = refusal(dial(addr, &known(&servers, &expired)).await).await;
    assert!(text.contains("expired"), "{text}");
    is_alive(&dial(addr, &known(&servers, &clients.issue("a.internal"))).await.unwrap()).await;
}

#[tokio::test]
async fn a_tls_client_of_a_server_without_is_told_so() {
    let authority = Authority::new("authority");
    let plain = Server::new();
    let addr = listen(&plain).await;
    let error = soon(dial(addr, &trusting(&authority))).await.unwrap_err();
    let text = error.chain().to_string();
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");
    assert!(text.contains("speaks no TLS on this port"), "{text}");

    // And a server of another kind, which answers in its own way, or not at all.
    for (answer, expected) in
        [(&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "no TLS on this port"), (b"", "no TLS on")]
    {
        let listener = TcpListener::bind("localhost:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut io, _) = listener.accept().await.unwrap();
            let _ = io.read(&mut [0; 4096]).await;
            io.write_all(answer).await.unwrap();
            io.shutdown().await.unwrap();
            let _ = io.read(&mut [0; 4096]).await;
        });
        let error = soon(dial(addr, &trusting(&authority))).await.unwrap_err();
        let text = error.chain().to_string();
        assert!(text.contains(expected), "{text}");
    }
}

#[tokio::test]
async fn a_client_without_tls_is_told_that_the_server_wants_it_and_nothing_has_run() {
    let authority = Authority::new("authority");
    let addr = listen(&server(&plain_server(&authority))).await;
    let client = Client::dial(addr).await.unwrap();
    let error = soon(client.call::<_, u64>("Echo.Number", &7)).await.unwrap_err();
    let text = error.chain().to_string();
    assert!(text.contains("this server takes only connections with TLS"), "{text}");
    assert!(!error.may_have_run(), "{error:?}");
}

#[test]
fn a_configuration_that_cannot_work_says_what_it_lacks() {
    let text = |error: netrpc::tls::TlsError| error.to_string();
    let missing = text(TlsServerConfig::builder().build().unwrap_err());
    assert!(missing.contains("TlsServerConfigBuilder::certificate"), "{missing}");
    let pair = Authority::new("authority").issue("localhost");
    let (certificate, key) = pair.sources();
    let unasked = TlsServerConfig::builder()
        .certificate(certificate.clone(), key)
        .revocation_lists(Authority::new("clients").revoked(&[1]));
    let unasked = text(unasked.build().unwrap_err());
    assert!(unasked.contains("none are asked for"), "{unasked}");
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----";
    let builder = TlsServerConfig::builder().certificate(certificate, Source::bytes(encrypted));
    let encrypted = text(builder.build().unwrap_err());
    assert!(encrypted.contains("it is encrypted; decrypt it first"), "{encrypted}");
    let nameless = TlsClientConfig::builder().roots(Authority::new("a").root()).server_name("a b");
    let nameless = text(nameless.build().unwrap_err());
    assert!(nameless.contains("\"a b\" is no name"), "{nameless}");
    // A key is not shown, whoever prints what there is.
    let debug =
        format!("{:?}", TlsServerConfig::builder().certificate(pair.sources().0, pair.sources().1));
    assert!(debug.contains("bytes given") && !debug.contains("PRIVATE"), "{debug}");
}
