//! Go programs over TLS, live, in both directions.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use netrpc::{Client, Wire};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process,
};

use crate::{
    Authority, Pair, common::soon, identity::refusal, is_alive, known, listen, mutual_server,
    plain_server, server, trusting,
};

/// The Go program, and what it reads, in a folder of one test.
struct Go {
    folder: PathBuf,
}

impl Go {
    /// Builds it; `None` where there is no Go.
    fn build(test: &str) -> Option<Go> {
        if Command::new("go").arg("version").output().is_err() {
            assert!(env::var_os("NETRPC_REQUIRE_GO").is_none(), "`go` is not installed");
            eprintln!("SKIPPED: no TLS with Go programs: `go` is not installed");
            return None;
        }
        let name = format!("tls-go-{test}-{}", std::process::id());
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&folder).unwrap();
        let go = Go { folder };
        let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls/go");
        let built = Command::new("go")
            .args(["build", "-o", &go.path("peer"), "."])
            .env("GOFLAGS", "-buildvcs=false")
            .current_dir(sources)
            .output()
            .unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        Some(go)
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, content: &str) -> String {
        fs::write(self.folder.join(name), content).unwrap();
        self.path(name)
    }

    fn pair(&self, pair: &Pair) -> [String; 2] {
        [self.write("own.pem", &pair.certificate), self.write("own.key", &pair.key)]
    }

    /// What a client prints.
    async fn client(&self, version: &str, args: &[String]) -> String {
        let mut command = process::Command::new(self.path("peer"));
        let output = soon(command.arg(version).args(args).kill_on_drop(true).output()).await;
        String::from_utf8(output.unwrap().stdout).unwrap()
    }
}

impl Drop for Go {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[tokio::test]
async fn a_go_program_that_dials_with_tls_is_served() {
    let Some(go) = Go::build("client") else { return };
    let authority = Authority::new("authority");
    let addr = listen(&server(&plain_server(&authority))).await.to_string();
    let roots = go.write("roots.pem", &authority.pem());
    let printed = go.client("client", &[addr.clone(), roots.clone()]).await;
    assert_eq!(printed, "7  somebody\n7  somebody\n");
    let printed = go.client("old", &[addr.clone(), roots]).await;
    assert!(printed.contains("protocol version not supported"), "{printed}");
    let stranger = go.write("strangers.pem", &Authority::new("stranger").pem());
    let printed = go.client("client", &[addr, stranger]).await;
    assert!(printed.contains("certificate signed by unknown authority"), "{printed}");
}

#[tokio::test]
async fn a_go_program_can_prove_who_it_is() {
    let Some(go) = Go::build("mutual") else { return };
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let addr = listen(&server(&mutual_server(&servers, &clients))).await.to_string();
    let roots = go.write("roots.pem", &servers.pem());
    let [own, key] = go.pair(&clients.issue("go.internal"));
    let printed = go.client("client", &[addr.clone(), roots.clone(), own, key]).await;
    assert_eq!(printed, "7 go.internal <nil>\n7 go.internal <nil>\n");
    let printed = go.client("client", &[addr, roots]).await;
    assert!(printed.contains("error:"), "it proves nothing: {printed}");
    assert!(!printed.contains('7'), "and is not served: {printed}");
}

#[tokio::test]
async fn a_go_server_with_tls_can_be_called() {
    let Some(go) = Go::build("server") else { return };
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let [own, key] = go.pair(&servers.issue("localhost"));
    let roots = go.write("clients.pem", &clients.pem());
    let mut child = process::Command::new(go.path("peer"))
        .args(["server", &own, &key, &roots])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let addr = soon(lines.next_line()).await.unwrap().expect("where it listens");
    let port: u16 = addr.rsplit(':').next().unwrap().parse().unwrap();
    let connect = |stream| move || tokio::net::TcpStream::connect(("127.0.0.1", stream));
    let tls = known(&servers, &clients.issue("a.internal"));
    let tls = tls.with_server_name("localhost").unwrap();
    let client = Client::builder().tls(&tls).wire(Wire::Gob).connect_with(connect(port)).await;
    is_alive(&client.unwrap()).await;
    let tls = trusting(&servers).with_server_name("localhost").unwrap();
    let client = Client::builder().tls(&tls).wire(Wire::Gob).connect_with(connect(port)).await;
    let text = refusal(client).await;
    assert!(text.contains("certificate"), "{text}");
}
