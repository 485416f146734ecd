//! The page on a port of its own.

use std::{convert::Infallible, future::ready, time::Duration};

use http::{Request, Response, StatusCode};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinSet,
};

use super::{Body, DebugPage, PATH, text};
use crate::Listener;

/// Enough for some people with some windows each, and for a browser's habit to open more
/// connections than it uses.
const CONNECTIONS: usize = 32;

/// How long a connection may take, from its first byte to its last. It bounds everything a peer can
/// be slow at: sending its request, reading the answer, or doing nothing.
const TIME: Duration = Duration::from_secs(10);

/// The largest head of a request.
const HEAD: usize = 16 * 1024;

/// How long to wait after an accept that failed.
const BACKOFF: Duration = Duration::from_millis(500);

/// Takes connections for ever. They end with it.
pub(super) async fn serve<L: Listener>(page: DebugPage, mut listener: L) -> Infallible {
    let mut connections = JoinSet::new();
    loop {
        if connections.len() >= CONNECTIONS {
            connections.join_next().await;
        }
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(tokio::time::timeout(TIME, connection(page.clone(), stream)));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections to the debug page");
                    tokio::time::sleep(BACKOFF).await;
                }
            },
            // So that those that have ended are not kept.
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(page: DebugPage, stream: impl AsyncRead + AsyncWrite + Unpin) {
    let service = service_fn(|request| ready(Ok::<_, Infallible>(answer(&page, &request))));
    let served = http1::Builder::new()
        // One request: a page that is looked at every second does not need more.
        .keep_alive(false)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to the debug page ended early");
    }
}

fn answer(page: &DebugPage, request: &Request<Incoming>) -> Response<Body> {
    match request.uri().path() {
        PATH | "/" => page.answer(request),
        _ => text(StatusCode::NOT_FOUND, "There is nothing here. The page is at /debug/rpc.\n"),
    }
}
