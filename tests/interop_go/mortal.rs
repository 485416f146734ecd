//! Servers that a case can end, ours and Go's. Each is a process: nothing else dies so suddenly.

use std::{env, net::SocketAddr, process::Stdio, sync::Arc};

use anyhow::{Context, Result, bail};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, Command},
    sync::{Mutex, oneshot},
};

use super::{
    matrix::Protocol,
    peer::{GoServer, Peer},
    server::{builder, serve_until},
};

/// The test that is our server when this program starts itself again.
const OUR_SERVER: &str = "a_server_to_be_killed";

/// Says that it is.
const IS_SERVER: &str = "NETRPC_INTEROP_SERVER";

/// What stands before its address.
const LISTENS: &str = "our server listens on ";

/// Whose server it is.
#[derive(Clone, Copy)]
pub enum Whose {
    Ours,
    Gos(Protocol),
}

/// A server that dies, with all its connections, when another one is to take its place.
pub struct Mortal {
    peer: Arc<Peer>,
    whose: Whose,
    /// What lives now.
    life: Mutex<Option<Life>>,
}

enum Life {
    Ours(OurServer),
    #[expect(dead_code, reason = "it lives as long as this")]
    Gos(GoServer),
}

/// It is killed when it is dropped.
struct OurServer {
    input: ChildStdin,
    _child: Child,
}

impl Mortal {
    pub async fn start(peer: Arc<Peer>, whose: Whose) -> Result<(Arc<Self>, SocketAddr)> {
        let mortal = Arc::new(Mortal { peer, whose, life: Mutex::new(None) });
        let addr = mortal.restart().await?;
        Ok((mortal, addr))
    }

    /// Ends the server, and gives the address of the next one.
    pub async fn restart(&self) -> Result<SocketAddr> {
        let mut life = self.life.lock().await;
        *life = None;
        match self.whose {
            Whose::Ours => {
                let (server, addr) = OurServer::start().await?;
                *life = Some(Life::Ours(server));
                Ok(addr)
            }
            Whose::Gos(protocol) => {
                let server = self.peer.serve(&[protocol]).await?;
                let addr = server.addrs[&protocol];
                *life = Some(Life::Gos(server));
                Ok(addr)
            }
        }
    }

    /// Has our server end when it has answered what it has begun.
    pub async fn shut_down(&self) -> Result<()> {
        let mut life = self.life.lock().await;
        let Some(Life::Ours(server)) = &mut *life else { bail!("only our server can do that") };
        Ok(server.input.write_all(b"!").await?)
    }
}

impl OurServer {
    async fn start() -> Result<(OurServer, SocketAddr)> {
        let mut command = Command::new(env::current_exe()?);
        command.args(["--exact", OUR_SERVER, "--ignored", "--nocapture"]).env(IS_SERVER, "1");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.kill_on_drop(true).spawn()?;
        let input = child.stdin.take().context("piped")?;
        let mut lines = BufReader::new(child.stdout.take().context("piped")?).lines();
        loop {
            let line = lines.next_line().await?.context("a server that says where it listens")?;
            // The test harness has its say before it, maybe in the same line.
            if let Some((_, addr)) = line.split_once(LISTENS) {
                return Ok((OurServer { input, _child: child }, addr.parse()?));
            }
        }
    }
}

/// The server's side: serves until its standard input ends, or something in it asks for a graceful end.
/// Nothing, if this program was not started for that.
pub async fn be_our_server() -> Result<()> {
    if env::var_os(IS_SERVER).is_none() {
        return Ok(());
    }
    let (end, ended) = oneshot::channel::<()>();
    let (_, addr) = serve_until(builder(), async {
        let _ = ended.await;
    })
    .await?;
    println!("{LISTENS}{addr}");
    let mut input = tokio::io::stdin();
    if input.read(&mut [0]).await? > 0 {
        let _ = end.send(());
        while input.read(&mut [0]).await? > 0 {}
    }
    Ok(())
}
