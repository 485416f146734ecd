//! What can be spoken on a connection.

use std::fmt;

/// A protocol that a server can be spoken to in, on one and the same port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// Our own.
    Native,
    /// Go's default: `rpc.Dial`.
    Gob,
    /// `jsonrpc.Dial`: JSON-RPC 1.0.
    JsonRpc,
    /// HashiCorp's `net-rpc-msgpackrpc`, which Consul, Nomad and Serf speak.
    MsgpackRpc,
    /// HTTP `CONNECT`, after which any of the others is spoken: `rpc.DialHTTP`.
    Http,
}

impl Protocol {
    /// All of them, as far as the crate was built with them.
    pub const ALL: &[Protocol] = if cfg!(feature = "go") {
        &[Protocol::Native, Protocol::Gob, Protocol::JsonRpc, Protocol::MsgpackRpc, Protocol::Http]
    } else {
        &[Protocol::Native, Protocol::Http]
    };
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Native => "netrpc's own protocol",
            Protocol::Gob => "gob",
            Protocol::JsonRpc => "JSON-RPC",
            Protocol::MsgpackRpc => "MessagePack-RPC",
            Protocol::Http => "HTTP CONNECT",
        })
    }
}

/// A set of [`Protocol`]s.
///
/// ```
/// use netrpc_core::dialect::{Protocol, Protocols};
///
/// let some: Protocols = [Protocol::Native, Protocol::Gob].into_iter().collect();
/// assert!(some.contains(Protocol::Gob) && !some.contains(Protocol::Http));
/// assert!(Protocols::default().contains(Protocol::Native), "all, unless said otherwise");
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Protocols(u8);

impl Protocols {
    /// Whether `protocol` is one of them.
    pub fn contains(self, protocol: Protocol) -> bool {
        self.0 & bit(protocol) != 0
    }
}

impl Default for Protocols {
    fn default() -> Self {
        Protocol::ALL.iter().copied().collect()
    }
}

impl FromIterator<Protocol> for Protocols {
    fn from_iter<I: IntoIterator<Item = Protocol>>(protocols: I) -> Self {
        Protocols(protocols.into_iter().map(bit).fold(0, |all, one| all | one))
    }
}

impl fmt::Debug for Protocols {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(Protocol::ALL.iter().filter(|one| self.contains(**one))).finish()
    }
}

fn bit(protocol: Protocol) -> u8 {
    1 << protocol as u8
}

/// A foreign language: how calls and answers are written on a connection with a Go program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Language {
    /// Go's gob.
    Gob,
    /// JSON-RPC 1.0.
    JsonRpc,
    /// Pairs of MessagePack values.
    MsgpackRpc,
}

impl From<Language> for Protocol {
    fn from(language: Language) -> Protocol {
        match language {
            Language::Gob => Protocol::Gob,
            Language::JsonRpc => Protocol::JsonRpc,
            Language::MsgpackRpc => Protocol::MsgpackRpc,
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Protocol::from(*self).fmt(f)
    }
}
