//! What fits, what is refused, and what is checked.

use std::time::Duration;

use netrpc::{CallInfo, CallOptions, Client, Error, Fault, Peer, Refusal, Semantics, Server};
use tokio::time::Instant;

use crate::{Setup, add, common, dial};

#[tokio::test(start_paused = true)]
async fn the_same_service_is_served_over_tcp_and_udp() {
    let setup = Setup::new().await;
    let over_udp = dial(setup.addr).await;
    let over_tcp = common::dial(&setup.server).await;
    assert_eq!(add(&over_udp, 1).await.unwrap(), 2);
    assert_eq!(add(&over_tcp, 1).await.unwrap(), 2);
    assert_eq!((setup.tally.runs(1), setup.server.connections()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_does_not_fit_says_so_and_has_not_run() {
    let setup = Setup::new().await;
    let client = dial(setup.addr).await;
    let length = |bytes: usize| {
        let client = &client;
        async move { client.call::<_, usize>("Tally.Length", &vec![7u8; bytes]).await }
    };
    // 1200 less the prelude, the header, the name and its length, and the deadline.
    let fits = 1200 - 32 - 20 - (1 + "Tally.Length".len()) - 11 - 3;
    assert_eq!(length(fits).await.unwrap(), fits);
    let error = length(fits + 1).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge(_)) && !error.may_have_run(), "{error:?}");
    let text = error.chain().to_string();
    assert!(text.contains("1149 bytes, and 1148 of them fit into a datagram"), "{text}");
    assert!(text.contains("ClientBuilder::max_datagram"), "{text}");
    // On a way that is known to carry more, more can be sent.
    let larger = Client::builder().max_datagram(9000).dial_udp(setup.addr).await.unwrap();
    assert_eq!(larger.call::<_, usize>("Tally.Length", &vec![7u8; 8000]).await.unwrap(), 8000);
}

/// `[datagram.reply-too-large]`
#[tokio::test(start_paused = true)]
async fn a_reply_that_does_not_fit_is_an_error_that_says_how_long_it_was() {
    let setup = Setup::new().await;
    let client = dial(setup.addr).await;
    let reply: Vec<u8> = client.call("Tally.Fill", &1145usize).await.unwrap();
    assert_eq!(reply.len(), 1145);
    for (length, said) in [(1146, 1149), (3_000_000, 3_000_005)] {
        let error = client.call::<_, Vec<u8>>("Tally.Fill", &length).await.unwrap_err();
        assert!(matches!(error, Error::ReplyLost(_)) && error.may_have_run(), "{error:?}");
        let text = error.chain().to_string();
        assert!(text.contains(&format!("the reply has {said} bytes, and 1148")), "{text}");
        assert!(text.contains("ServerBuilder::max_datagram"), "{text}");
    }
    // The same of a call that runs once: its outcome is that, and stays that.
    let once = client.with(CallOptions::new().semantics(Semantics::AtMostOnce));
    let error = once.call::<_, Vec<u8>>("Tally.Fill", &1146usize).await.unwrap_err();
    assert!(matches!(error, Error::ReplyLost(_)), "{error:?}");
    assert_eq!(add(&once, 1).await.unwrap(), 2);
}

/// `[datagram.reply-too-large]`
#[tokio::test(start_paused = true)]
async fn a_fault_that_does_not_fit_loses_its_end() {
    struct Grumpy;
    #[netrpc::service]
    impl Grumpy {
        fn grumble(&self, length: usize) -> Result<(), Fault> {
            Err(Fault::new("no ".repeat(length / 3)))
        }
    }
    let setup = Setup::new().await;
    setup.server.register(Grumpy).unwrap();
    let client = dial(setup.addr).await;
    let error = client.call::<_, ()>("Grumpy.Grumble", &9000usize).await.unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("no no no") && text.ends_with('…'), "{text}");
    assert!((1000..1200).contains(&text.len()), "{}", text.len());
}

#[tokio::test(start_paused = true)]
async fn a_call_without_a_timeout_has_one() {
    let setup = Setup::new().await;
    let client = dial(setup.addr).await;
    let begun = Instant::now();
    let error = client.call::<_, u64>("Tally.Slow", &(1u64, 100_000u64)).await.unwrap_err();
    assert!(matches!(error, Error::Deadline { may_have_run: true }), "{error:?}");
    assert_eq!(begun.elapsed().as_secs(), 30);
    let patient = client.with(CallOptions::new().no_timeout());
    assert_eq!(patient.call::<_, u64>("Tally.Slow", &(2u64, 100_000u64)).await.unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_client_too_many_is_told_the_limit_and_nothing_of_it_has_run() {
    let setup = Setup::of(Server::builder().max_connections_per_peer(2).build()).await;
    let (first, second) = (dial(setup.addr).await, dial(setup.addr).await);
    add(&first, 1).await.unwrap();
    add(&second, 2).await.unwrap();
    let third = dial(setup.addr).await;
    let error = add(&third, 3).await.unwrap_err();
    assert!(!error.may_have_run(), "{error:?}");
    let text = error.chain().to_string();
    assert!(text.contains("max_connections_per_peer"), "{text}");
    assert_eq!(setup.tally.runs(3), 0);
    first.close().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(add(&third, 4).await.unwrap(), 5, "there is room again");
}

#[tokio::test(start_paused = true)]
async fn the_owners_checks_hold_and_know_where_a_datagram_comes_from() {
    let server = Server::builder()
        .authorize(|call: CallInfo| async move {
            let Peer::Udp(addr) = call.peer() else { panic!("{}", call.peer()) };
            assert!(addr.ip().is_loopback());
            match call.full_name() {
                "Tally.Add" => Ok(()),
                _ => Err(Fault::denied("not for you")),
            }
        })
        .build();
    let setup = Setup::of(server).await;
    let client = dial(setup.addr).await;
    add(&client, 1).await.unwrap();
    let error = client.call::<_, Vec<u8>>("Tally.Fill", &1usize).await.unwrap_err();
    assert!(
        matches!(error, Error::Refused { refusal: Refusal::Denied, .. }) && !error.may_have_run()
    );
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn who_asks_for_tls_gets_no_datagrams() {
    use netrpc::tls::{Source, TlsClientConfig, TlsServerConfig};
    let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = Source::bytes(issued.cert.pem());
    let key = Source::bytes(issued.signing_key.serialize_pem());
    let tls = TlsServerConfig::builder().certificate(certificate.clone(), key).build().unwrap();
    let server = Server::builder().tls(&tls).build();
    let error = server.serve_datagrams(crate::socket().await.0).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
    assert!(error.to_string().contains("no TLS for datagrams"), "{error}");

    let setup = Setup::new().await;
    let tls = TlsClientConfig::builder().roots(certificate).build().unwrap();
    let error = Client::builder().tls(&tls).dial_udp(setup.addr).await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }) && !error.may_have_run());
    let text = error.chain().to_string();
    assert!(text.contains("there is no TLS for datagrams"), "{text}");
    assert_eq!(setup.server.datagram_counts().received, 0, "not a byte was sent");
}

#[cfg(feature = "go")]
#[tokio::test]
async fn gos_protocols_are_not_spoken_over_datagrams() {
    let setup = Setup::new().await;
    let builder = Client::builder().wire(netrpc::Wire::Gob);
    let text = builder.dial_udp(setup.addr).await.unwrap_err().chain().to_string();
    assert!(text.contains("Go's protocols are not spoken over datagrams"), "{text}");
}

#[cfg(feature = "blocking")]
#[test]
fn a_thread_without_a_runtime_calls_over_udp() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let setup = runtime.block_on(Setup::new());
    let client = netrpc::blocking::Client::dial_udp(setup.addr).unwrap();
    let client = client.with(CallOptions::new().semantics(Semantics::AtLeastOnce));
    assert_eq!(client.call::<_, u64>("Tally.Add", &1u64).unwrap(), 2);
    assert_eq!(setup.tally.runs(1), 1);
}
