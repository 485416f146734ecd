//! What went wrong with TLS, in words that say what to do.

use std::{error::Error, fmt, io};

use tokio_rustls::TlsStream;

use super::rustls::{self, AlertDescription as Alert, CertificateError as Bad};

/// Whose words they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Server,
}

impl Side {
    pub(super) fn of<IO>(stream: &TlsStream<IO>) -> Self {
        match stream {
            TlsStream::Client(_) => Side::Client,
            TlsStream::Server(_) => Side::Server,
        }
    }
}

/// An error of rustls in words, with itself as the cause.
#[derive(Debug)]
struct InWords {
    words: &'static str,
    cause: rustls::Error,
}

impl fmt::Display for InWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words)
    }
}

impl Error for InWords {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.cause)
    }
}

/// The same error, saying what to do where it is TLS's.
#[cold]
pub(super) fn in_words(error: io::Error, side: Side) -> io::Error {
    let kind = error.kind();
    if let Some(cause) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        let cause = cause.clone();
        return io::Error::new(kind, InWords { words: words(&cause, side), cause });
    }
    if kind == io::ErrorKind::UnexpectedEof {
        return io::Error::new(kind, "the stream was cut off: it has no end by TLS (close_notify)");
    }
    error
}

/// The same for a client's stream on which nothing has come yet: a server that complains of the handshake
/// then has not read what is behind it, and says so with its error's kind.
pub(super) fn of_beginning(error: io::Error) -> io::Error {
    let refused = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
        .is_some_and(|error| matches!(error, rustls::Error::AlertReceived(_)));
    let error = in_words(error, Side::Client);
    if !refused {
        return error;
    }
    let words = error.into_inner().expect("it has words");
    io::Error::new(io::ErrorKind::ConnectionRefused, words)
}

/// The same for a handshake, which has no proper end but one.
pub(super) fn of_handshake(error: io::Error, side: Side) -> io::Error {
    let kind = error.kind();
    if kind == io::ErrorKind::UnexpectedEof {
        return io::Error::new(
            kind,
            match side {
                Side::Client => {
                    "the server closed the connection in the TLS handshake: it may speak no TLS on \
                     this port"
                }
                Side::Server => "the client closed the connection in the TLS handshake",
            },
        );
    }
    in_words(error, side)
}

fn words(error: &rustls::Error, side: Side) -> &'static str {
    use rustls::Error::{
        AlertReceived, DecryptError, InappropriateHandshakeMessage, InappropriateMessage,
        InvalidCertificate, InvalidMessage, NoApplicationProtocol, NoCertificatesPresented,
        PeerIncompatible, PeerMisbehaved,
    };
    match (error, side) {
        (InvalidCertificate(bad), Side::Client) => of_server(bad),
        (InvalidCertificate(bad), Side::Server) => of_client(bad),
        (AlertReceived(alert), Side::Client) => from_server(*alert),
        (AlertReceived(alert), Side::Server) => from_client(*alert),
        (NoCertificatesPresented, _) => {
            "the client shows no certificate, and this server wants one of every client"
        }
        (NoApplicationProtocol, _) => "the client asks for another protocol than netrpc/1",
        (InvalidMessage(_), Side::Client) => {
            "the server speaks no TLS on this port: dial it without, or find the port where it does"
        }
        (InvalidMessage(_), Side::Server) => "the client sent what is no TLS",
        (PeerIncompatible(_), Side::Client) => {
            "this client and the server have no TLS in common: it speaks version 1.3 and no older one"
        }
        (PeerIncompatible(_), Side::Server) => {
            "this server and the client have no TLS in common: it speaks version 1.3 and no older one"
        }
        (
            DecryptError
            | PeerMisbehaved(_)
            | InappropriateMessage { .. }
            | InappropriateHandshakeMessage { .. },
            _,
        ) => "the peer broke TLS, or somebody has changed bytes on the way",
        _ => "TLS failed",
    }
}

/// What a client finds wrong with a server's certificate.
fn of_server(bad: &Bad) -> &'static str {
    match bad {
        Bad::Expired | Bad::ExpiredContext { .. } => {
            "the server's certificate has expired: the server needs a new one, unless this machine's \
             clock is wrong"
        }
        Bad::NotValidYet | Bad::NotValidYetContext { .. } => {
            "the server's certificate is not valid yet: is this machine's clock right?"
        }
        Bad::NotValidForName | Bad::NotValidForNameContext { .. } => {
            "the server's certificate is for another name than was dialled: dial a name it is for, or \
             set TlsClientConfigBuilder::server_name"
        }
        Bad::UnknownIssuer => {
            "the server's certificate is not from an authority that this client trusts: if it is the \
             right server, name its authority with TlsClientConfigBuilder::roots"
        }
        Bad::BadSignature => {
            "the server's certificate is not signed with the key of the authority that this client \
             trusts under that name: was the authority made anew? Give its present certificate to \
             TlsClientConfigBuilder::roots"
        }
        Bad::Revoked => "the server's certificate was revoked: the server needs a new one",
        Bad::InvalidPurpose | Bad::InvalidPurposeContext { .. } => {
            "the server's certificate is not one for servers (its extended key usage)"
        }
        _ => "the server's certificate cannot be verified",
    }
}

/// What a server finds wrong with a client's certificate.
fn of_client(bad: &Bad) -> &'static str {
    match bad {
        Bad::Expired | Bad::ExpiredContext { .. } => "the client's certificate has expired",
        Bad::NotValidYet | Bad::NotValidYetContext { .. } => {
            "the client's certificate is not valid yet"
        }
        Bad::UnknownIssuer => {
            "the client's certificate is not from an authority that this server accepts \
             (TlsServerConfigBuilder::require_client_certificates)"
        }
        Bad::BadSignature => {
            "the client's certificate is not signed with the key of the authority that this server \
             accepts under that name: was the authority made anew?"
        }
        Bad::Revoked => "the client's certificate was revoked",
        Bad::UnknownRevocationStatus
        | Bad::ExpiredRevocationList
        | Bad::ExpiredRevocationListContext { .. } => {
            "nobody can tell whether the client's certificate was revoked: its authority has no list \
             here that is up to date (TlsServerConfigBuilder::revocation_lists)"
        }
        Bad::InvalidPurpose | Bad::InvalidPurposeContext { .. } => {
            "the client's certificate is not one for clients (its extended key usage)"
        }
        _ => "the client's certificate cannot be verified",
    }
}

/// What a server says to a client.
fn from_server(alert: Alert) -> &'static str {
    match alert {
        Alert::CertificateRequired => {
            "the server wants this client's certificate: TlsClientConfigBuilder::certificate"
        }
        Alert::UnknownCA => {
            "the server does not accept the authority that has issued this client's certificate"
        }
        Alert::CertificateExpired => {
            "the server finds this client's certificate expired: it needs a new one"
        }
        Alert::CertificateRevoked => {
            "the server says that this client's certificate was revoked: it needs a new one"
        }
        Alert::BadCertificate
        | Alert::UnsupportedCertificate
        | Alert::CertificateUnknown
        | Alert::AccessDenied
        | Alert::DecryptError => "the server refuses this client's certificate",
        Alert::ProtocolVersion => {
            "the server speaks no TLS on this port, or not version 1.3: dial it without TLS, or find \
             the port where it does"
        }
        Alert::NoApplicationProtocol => {
            "the server does not speak netrpc/1: some other service is at this address"
        }
        Alert::UnrecognisedName => {
            "the server does not go by the name that was dialled \
             (TlsClientConfigBuilder::server_name)"
        }
        Alert::InternalError => {
            "the server has no room for this client now, or something in it failed"
        }
        _ => "the server gave up TLS",
    }
}

/// What a client says to a server.
fn from_client(alert: Alert) -> &'static str {
    match alert {
        Alert::UnknownCA => {
            "the client does not trust the authority that has issued this server's certificate"
        }
        Alert::CertificateExpired => "the client finds this server's certificate expired",
        Alert::BadCertificate
        | Alert::UnsupportedCertificate
        | Alert::CertificateUnknown
        | Alert::CertificateRevoked => {
            "the client refuses this server's certificate: it may be for other names than the client \
             has dialled"
        }
        _ => "the client gave up TLS",
    }
}
