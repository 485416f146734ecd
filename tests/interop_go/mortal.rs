//! Servers that a case can end, ours and Go's.

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Result, bail};
use tokio::{
    runtime::Runtime,
    sync::{Mutex, Notify},
};

use super::{
    matrix::Protocol,
    peer::{GoServer, Peer},
    server::{builder, serve_until},
};

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
    Ours(Ours),
    #[expect(dead_code, reason = "it lives as long as this")]
    Gos(GoServer),
}

/// Our server in a runtime of its own, with which it ends.
struct Ours {
    runtime: Option<Runtime>,
    /// Asks it to end of its own accord.
    end: Arc<Notify>,
}

impl Drop for Ours {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
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
                let end = Arc::new(Notify::new());
                let runtime = Runtime::new()?;
                let ended = end.clone().notified_owned();
                let (_, addr) = runtime.spawn(serve_until(builder(), ended)).await??;
                *life = Some(Life::Ours(Ours { runtime: Some(runtime), end }));
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
        let life = self.life.lock().await;
        let Some(Life::Ours(ours)) = &*life else { bail!("only our server can do that") };
        ours.end.notify_one();
        Ok(())
    }
}
