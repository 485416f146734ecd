//! Ping-pong on `std::net`: what a thread pays for a request and its reply without any RPC.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
};

use anyhow::Result;
use serde::{Deserialize, Serialize};

/// How many bytes go each way for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    pub request: usize,
    pub reply: usize,
}

/// Answers every request of as many bytes as a connection's first eight say.
pub fn serve(listener: &TcpListener) -> Result<()> {
    loop {
        let (stream, _) = listener.accept()?;
        // A connection ends when its client does.
        thread::spawn(move || answer(stream).ok());
    }
}

fn answer(mut stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut sizes = [[0; 4]; 2];
    stream.read_exact(sizes.as_flattened_mut())?;
    let [mut request, reply] = sizes.map(|size| vec![0; u32::from_le_bytes(size) as usize]);
    loop {
        stream.read_exact(&mut request)?;
        stream.write_all(&reply)?;
    }
}

/// The client's end.
#[derive(Debug)]
pub struct PingPong {
    stream: TcpStream,
    request: Vec<u8>,
    reply: Vec<u8>,
}

impl PingPong {
    pub fn dial(addr: SocketAddr, sizes: Sizes) -> Result<Self> {
        let mut stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        for size in [sizes.request, sizes.reply] {
            stream.write_all(&u32::try_from(size)?.to_le_bytes())?;
        }
        Ok(PingPong { stream, request: vec![0; sizes.request], reply: vec![0; sizes.reply] })
    }

    /// Sends a request and waits for the reply.
    pub fn call(&mut self) -> Result<()> {
        self.stream.write_all(&self.request)?;
        self.stream.read_exact(&mut self.reply)?;
        Ok(())
    }
}
