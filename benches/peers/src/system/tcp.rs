//! TCP connections without Nagle's delay, which every system here does without.

use std::{io, net::SocketAddr};

use tokio::net::{TcpListener, TcpStream};

/// Takes the next connection.
pub async fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Opens a connection.
pub async fn dial(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
