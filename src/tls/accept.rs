//! A server's handshake.

use std::io;

use netrpc_core::{
    Identity,
    dialect::{Language, ServerDialect, Sniffed, http, sniff},
    error::Disconnected,
    wire::{self, GoAwayCode, Preface},
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio_rustls::LazyConfigAcceptor;

use super::{
    Stream, TlsServerConfig,
    explain::{Side, of_handshake},
    names,
    rustls::server::Acceptor,
};
use crate::secure::TurnedAway;

/// Encrypts a stream that is in the clear, and finds out who is at its other end.
///
/// # Errors
/// If the peer does not want TLS, or does it wrong, or has not proved what it must. What is left in `io`
/// is to be closed with care: the peer may have sent more than was read.
pub(crate) async fn accept<IO: AsyncRead + AsyncWrite + Unpin>(
    tls: &TlsServerConfig,
    io: &mut Stream<IO>,
) -> Result<Option<Identity>, TurnedAway> {
    let Stream::Plain(mut plain) = std::mem::replace(io, Stream::Failed(None)) else {
        unreachable!("it is encrypted once");
    };
    let hello = match begin(&mut plain).await {
        Ok(hello) => hello,
        Err(refused) => {
            *io = Stream::Plain(plain);
            return Err(refused);
        }
    };
    // A failure is told by TLS itself.
    let failed = |error| {
        let cause = Disconnected::Tls(of_handshake(error, Side::Server));
        TurnedAway { cause, farewell: Vec::new() }
    };
    let mut hello = LazyConfigAcceptor::new(hello, plain);
    let start = match (&mut hello).await {
        Ok(start) => start,
        Err(error) => {
            *io = hello.take_io().map_or(Stream::Failed(None), Stream::Plain);
            return Err(failed(error));
        }
    };
    let stream = match start.into_stream(tls.current()).into_fallible().await {
        Ok(stream) => stream,
        Err((error, plain)) => {
            *io = Stream::Plain(plain);
            return Err(failed(error));
        }
    };
    let identity = names::identity(stream.get_ref().1.peer_certificates().unwrap_or_default());
    *io = Stream::tls(stream.into());
    identity.map_err(|error| {
        let text = format!("the names in the client's certificate cannot be read: {error}");
        failed(io::Error::new(io::ErrorKind::InvalidData, text))
    })
}

/// Reads as much as tells whether the peer wants TLS, and gives that to what reads the rest.
async fn begin<IO: AsyncRead + Unpin>(io: &mut IO) -> Result<Acceptor, TurnedAway> {
    // No more than a record's header: what is read here must not be all that the peer says.
    let mut first = [0; 5];
    let mut len = 0;
    let nothing = |cause| TurnedAway { cause, farewell: Vec::new() };
    loop {
        match io.read(&mut first[len..]).await {
            Ok(0) if len == 0 => return Err(nothing(Disconnected::Eof)),
            Ok(0) => break,
            Ok(n) => len += n,
            Err(error) => return Err(nothing(error.into())),
        }
        match &first[..len] {
            [0x16] => {}
            hello @ [0x16, 0x03, ..] => {
                let mut acceptor = Acceptor::default();
                let fed = acceptor.read_tls(&mut &*hello);
                debug_assert!(matches!(fed, Ok(fed) if fed == len), "a header fits");
                return Ok(acceptor);
            }
            other if sniff(other) != Sniffed::Undecided || len == first.len() => break,
            _ => {}
        }
    }
    let farewell = answer_in_the_clear(&first[..len]);
    Err(TurnedAway { cause: Disconnected::NotEncrypted, farewell })
}

/// Tells a peer who does not encrypt that he must, where his language has a way to say so.
fn answer_in_the_clear(bytes: &[u8]) -> Vec<u8> {
    let text = "this server takes only connections with TLS";
    let mut out = Vec::new();
    match sniff(bytes) {
        Sniffed::Native => {
            out.extend_from_slice(&Preface::OURS.to_bytes());
            wire::write_go_away(&mut out, GoAwayCode::Refused, text);
        }
        Sniffed::Http => {
            let refusal = http::refusal("400 Bad Request", &format!("400 {text}"));
            out.extend_from_slice(refusal.as_bytes());
        }
        Sniffed::Foreign(Language::JsonRpc) => {
            if let Some(json) = ServerDialect::new(Language::JsonRpc, wire::DEFAULT_MAX_FRAME) {
                json.complain(text, &mut out);
            }
        }
        // Gob and MessagePack answer calls, and this peer's will not be read.
        Sniffed::Foreign(_) | Sniffed::Undecided | Sniffed::Unknown => {}
    }
    out
}
