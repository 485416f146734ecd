//! What a handler knows of its call, and what it can send back beside its reply.

mod common;

use std::{collections::HashMap, time::Duration};

use common::{Raw, dial, encoded, listen, pipe, request_with};
use netrpc::{CallOptions, Context, Error, Fault, Metadata, Peer, Server, service};
use netrpc_core::wire::{FaultCode, RequestFields};
use serde::{Deserialize, Serialize};

struct Mirror;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Overdrawn {
    balance: i64,
}

#[service]
impl Mirror {
    fn metadata(&self, cx: &Context, (): (), reply: &mut HashMap<String, String>) {
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        reply.extend(cx.metadata().iter().map(|(key, value)| (key.to_owned(), text(value))));
        cx.set_reply_metadata("version", "3");
        cx.set_reply_metadata("seen", reply.len().to_string());
    }

    async fn later(&self, cx: &Context, (): (), reply: &mut u64) {
        tokio::task::yield_now().await;
        cx.set_reply_metadata("late", "yes");
        *reply = 1;
    }

    fn too_much(&self, cx: &Context, (): (), reply: &mut u64) {
        cx.set_reply_metadata("big", [0; 20_000]);
        *reply = 1;
    }

    fn time_left(&self, cx: &Context, (): (), reply: &mut Option<u64>) {
        *reply = cx.time_left().map(|left| left.as_micros() as u64);
    }

    fn peer(&self, cx: &Context, (): (), reply: &mut String) {
        *reply = cx.peer().to_string();
        assert_eq!(cx.peer().addr().is_some(), matches!(cx.peer(), Peer::Tcp(_)));
    }

    fn id(&self, cx: &Context, (): (), reply: &mut String) {
        *reply = cx.call_id().to_string();
    }

    fn withdraw(&self, amount: i64, _reply: &mut i64) -> anyhow::Result<()> {
        let fault = Fault::new("overdrawn").with_detail(&Overdrawn { balance: -amount });
        Err(anyhow::Error::new(fault).context("at the counter"))
    }
}

fn server() -> Server {
    let server = Server::new();
    server.register(Mirror).unwrap();
    server
}

#[tokio::test]
async fn metadata_reaches_the_handler_and_comes_back() {
    let client = dial(&server()).await.with(CallOptions::new().metadata("tenant", "blue"));
    let traced = client.with(CallOptions::new().metadata("trace", "7"));
    let call = traced.go::<_, HashMap<String, String>>("Mirror.Metadata", &());
    let (seen, back) = call.with_metadata().await.unwrap();
    let expected = [("tenant", "blue"), ("trace", "7")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    assert_eq!(seen, HashMap::from(expected));
    assert_eq!((back.get("version"), back.get("seen")), (Some("3"), Some("2")));

    let call = client.go::<_, u64>("Mirror.Later", &());
    assert_eq!(call.with_metadata().await.unwrap().1.get("late"), Some("yes"));
    let reply: HashMap<String, String> = client.call("Mirror.Metadata", &()).await.unwrap();
    assert_eq!(reply.len(), 1, "who does not ask for it gets the reply alone");
}

#[tokio::test]
async fn too_much_metadata_on_the_way_back_is_an_error_of_that_call() {
    let client = dial(&server()).await;
    let error = client.call::<_, u64>("Mirror.TooMuch", &()).await.unwrap_err();
    assert!(matches!(&error, Error::ReplyLost(text) if text.contains("metadata")), "{error:?}");
    assert!(client.call::<_, u64>("Mirror.Later", &()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_deadline_travels_as_remaining_time() {
    let client = pipe(&server());
    let left: Option<u64> = client.call("Mirror.TimeLeft", &()).await.unwrap();
    assert_eq!(left, None);
    let hasty = client.with(CallOptions::new().timeout(Duration::from_millis(1500)));
    let left: Option<u64> = hasty.call("Mirror.TimeLeft", &()).await.unwrap();
    assert_eq!(left, Some(1_500_000));
}

#[tokio::test]
async fn a_call_whose_time_is_over_is_not_begun() {
    let mut raw = Raw::dial(listen(&server()).await).await;
    let over = RequestFields { deadline: Some(Duration::ZERO), metadata: None };
    raw.send(&request_with(4, "Mirror.Id", &over, &encoded(&()))).await;
    assert_eq!(raw.fault(4).await.0, FaultCode::Expired);
    let ample = RequestFields { deadline: Some(Duration::MAX), metadata: None };
    raw.send(&request_with(5, "Mirror.TimeLeft", &ample, &encoded(&()))).await;
    assert!(raw.reply::<Option<u64>>(5).await.is_none_or(|left| left > 1 << 40));
}

#[tokio::test]
async fn a_handler_knows_its_peer_and_its_call() {
    let server = server();
    let client = dial(&server).await;
    let peer: String = client.call("Mirror.Peer", &()).await.unwrap();
    assert!(peer.starts_with("127.0.0.1:"), "{peer}");
    let peer: String = pipe(&server).call("Mirror.Peer", &()).await.unwrap();
    assert_eq!(peer, "stream");
    let ids = [(); 2].map(|()| client.go::<_, String>("Mirror.Id", &()));
    let [a, b] = ids;
    assert_ne!(a.await.unwrap(), b.await.unwrap());
}

#[cfg(unix)]
#[tokio::test]
async fn unix_sockets_serve_too() {
    let path = std::env::temp_dir().join(format!("netrpc-test-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    tokio::spawn(server().serve(listener));
    let client = netrpc::Client::dial_unix(&path).await.unwrap();
    let peer: String = client.call("Mirror.Peer", &()).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(peer, "unix");
    let error = netrpc::Client::dial_unix(&path).await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot connect to {}", path.display()));
}

#[tokio::test]
async fn a_fault_crosses_whole() {
    let client = dial(&server()).await;
    let error = client.call::<_, i64>("Mirror.Withdraw", &7).await.unwrap_err();
    let fault = error.fault().expect("the method failed");
    assert_eq!(fault.message(), "overdrawn");
    assert_eq!(fault.detail().unwrap(), Some(Overdrawn { balance: -7 }));
    assert!(fault.detail::<String>().is_err(), "of another type");
    assert_eq!(error.detail(), Some(Overdrawn { balance: -7 }));
    assert_eq!(error.detail::<String>(), None);
}

#[test]
fn metadata_is_an_ordered_map() {
    let mut metadata = Metadata::new();
    metadata.insert("b", "1");
    metadata.insert("a", [0xff]);
    metadata.insert("b", "2");
    assert_eq!(metadata.iter().map(|(key, _)| key).collect::<Vec<_>>(), ["b", "a"]);
    assert_eq!((metadata.get("b"), metadata.get("a")), (Some("2"), None));
    assert_eq!(metadata.get_bytes("a"), Some(&[0xff][..]));
}
