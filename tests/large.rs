//! Large payloads: whole at every length, bounded, and not in the way of small ones.

mod common;

use common::{Raw, encoded, soon};
use netrpc::{Client, Context, Error, Server, SyncPolicy, service};
use netrpc_core::wire::Kind;
use tokio::io::duplex;

struct Bulk;

#[service]
impl Bulk {
    fn echo(&self, bytes: &[u8], reply: &mut Vec<u8>) {
        reply.extend_from_slice(bytes);
    }

    /// So many bytes, and something beside them.
    fn labelled(&self, cx: &Context, len: usize, reply: &mut Vec<u8>) {
        cx.set_reply_metadata("label", "seven");
        reply.resize(len, 7);
    }

    async fn later(&self, len: usize, reply: &mut Vec<u8>) {
        tokio::task::yield_now().await;
        reply.resize(len, 7);
    }

    fn zeros(&self, len: usize, reply: &mut Vec<u8>) {
        reply.resize(len, 0);
    }

    fn refuse(&self, len: usize) -> Result<Vec<u8>, String> {
        if len > 0 { Ok(vec![7; len]) } else { Err("nothing to give".to_owned()) }
    }
}

fn server(max_frame: u32) -> Server {
    let builder = Server::builder().sync_policy(SyncPolicy::Inline).max_frame(max_frame);
    let server = builder.build();
    server.register(Bulk).unwrap();
    server
}

fn connect(server: &Server, pipe: usize) -> Client {
    let (ours, theirs) = duplex(pipe);
    let server = server.clone();
    tokio::spawn(async move { server.serve_conn(theirs).await });
    Client::new(ours)
}

/// Whatever way a reply takes: in a frame's buffer, beside it, with metadata before it, or made later.
#[tokio::test]
async fn bytes_come_back_whole_at_every_length() {
    let client = connect(&server(4 << 20), 20_000);
    for len in [0, 1, 37, 38, 16_383, 32_767, 32_768, 32_769, 100_000, 1 << 20] {
        let bytes: Vec<u8> = (0..len).map(|n| ((n * 31) >> 4) as u8).collect();
        let echo: Vec<u8> = soon(client.call("Bulk.Echo", &bytes)).await.unwrap();
        assert!(echo == bytes, "{len} bytes");
        let call = client.go::<_, Vec<u8>>("Bulk.Labelled", &len).with_metadata();
        let (reply, metadata) = soon(call).await.unwrap();
        assert!(reply == vec![7; len], "{len} bytes");
        assert_eq!(metadata.get("label"), Some("seven"));
        let reply: Vec<u8> = soon(client.call("Bulk.Later", &len)).await.unwrap();
        assert!(reply == vec![7; len], "{len} bytes");
        let reply: Result<Vec<u8>, Error> = soon(client.call("Bulk.Refuse", &len)).await;
        match len {
            0 => assert_eq!(reply.unwrap_err().to_string(), "nothing to give"),
            _ => assert!(reply.unwrap() == vec![7; len], "{len} bytes"),
        }
    }
}

#[tokio::test]
async fn a_reply_over_the_limit_is_an_error_of_its_call_alone() {
    let client = connect(&server(64 * 1024), 20_000);
    let most = 64 * 1024 - 3; // of which three say how many
    for len in [most + 1, 200_000] {
        let error = soon(client.call::<_, Vec<u8>>("Bulk.Zeros", &len)).await.unwrap_err();
        assert!(matches!(error, Error::ReplyLost(_)), "{error:?}");
        assert!(error.may_have_run());
    }
    let reply: Vec<u8> = soon(client.call("Bulk.Zeros", &(most - 2))).await.unwrap();
    assert_eq!(reply.len(), most - 2);
}

/// The server stops answering while more than a MiB waits to be read. When it goes on, the small reply
/// comes before the large one that is not begun.
#[tokio::test]
async fn a_small_reply_does_not_wait_for_a_large_one_that_is_not_begun() {
    let (ours, theirs) = duplex(64 * 1024);
    let server = server(4 << 20);
    tokio::spawn(async move { server.serve_conn(theirs).await });
    let mut client = Raw::new(ours);
    client.greet().await;
    let large = encoded(&600_000);
    client.request(1, "Bulk.Zeros", &large).await;
    client.request(2, "Bulk.Zeros", &large).await;
    client.request(3, "Bulk.Echo", &encoded(&b"small".to_vec())).await;
    let mut order = Vec::new();
    for _ in 0..3 {
        let frame = soon(client.answer()).await.expect("three replies");
        assert_eq!(frame.kind, Kind::Reply);
        order.push((frame.seq, frame.body_slice().len() > 600_000));
    }
    assert_eq!(order, [(1, true), (3, false), (2, true)]);
}
