//! Where a server is.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
};

/// What can be dialled: `"localhost:1234"`, `("localhost", 1234)`, a socket address, several of them.
///
/// Implemented for what tokio can resolve, and for a [`Target`].
pub trait Address {
    /// The same, to be kept: a client that connects again resolves it again.
    fn target(&self) -> Target;
}

/// Where a server is, as it was given: names are resolved anew at every attempt to connect.
///
/// ```
/// use netrpc::{Address, Target};
///
/// let target: Target = "example.org:1234".target();
/// assert_eq!(target.host(), Some("example.org"));
/// assert_eq!(target.to_string(), "example.org:1234");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target(Place);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Place {
    Host(String, u16),
    Addrs(Vec<SocketAddr>),
    /// Neither; nothing can be dialled there.
    Text(String),
}

impl Target {
    /// The host as it was named: what a certificate has to be for. `None` if there is no one name.
    pub fn host(&self) -> Option<&str> {
        match &self.0 {
            Place::Host(host, _) => Some(host),
            Place::Addrs(_) | Place::Text(_) => None,
        }
    }

    /// The addresses that were given instead of a name.
    pub fn addrs(&self) -> &[SocketAddr] {
        match &self.0 {
            Place::Addrs(addrs) => addrs,
            Place::Host(..) | Place::Text(_) => &[],
        }
    }

    /// The addresses there are now: at least one.
    pub(crate) async fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        let addrs: Vec<_> = match &self.0 {
            Place::Host(host, port) => {
                tokio::net::lookup_host((host.as_str(), *port)).await?.collect()
            }
            Place::Addrs(addrs) => addrs.clone(),
            Place::Text(text) => return Err(malformed(text)),
        };
        if addrs.is_empty() {
            let nowhere = "there is no address to connect to";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, nowhere));
        }
        Ok(addrs)
    }
}

/// What is wrong with a text that is no address, and what would be one.
fn malformed(text: &str) -> io::Error {
    let help = match text.rsplit_once(':') {
        // An IPv6 address has colons of its own.
        Some(_) if text.parse::<Ipv6Addr>().is_ok() => {
            format!("the port is missing: write \"[{text}]:1234\", with the server's own")
        }
        Some(("", _)) => "the host is missing: write \"localhost:1234\"".to_owned(),
        Some((_, port)) if !port.is_empty() => {
            format!("the port is a number from 0 to 65535, not {port:?}")
        }
        _ => {
            let host = text.trim_end_matches(':');
            format!("the port is missing: write \"{host}:1234\", with the server's own")
        }
    };
    io::Error::new(io::ErrorKind::InvalidInput, help)
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Host(host, port) => write!(f, "{host}:{port}"),
            Place::Text(text) => f.write_str(text),
            Place::Addrs(addrs) => match &addrs[..] {
                [addr] => addr.fmt(f),
                addrs => f.debug_list().entries(addrs).finish(),
            },
        }
    }
}

impl Address for Target {
    fn target(&self) -> Target {
        self.clone()
    }
}

impl Address for str {
    fn target(&self) -> Target {
        if let Ok(addr) = self.parse() {
            return Target(Place::Addrs(vec![addr]));
        }
        let parts = self.rsplit_once(':').filter(|_| self.parse::<Ipv6Addr>().is_err());
        Target(match parts.map(|(host, port)| (host, port.parse())) {
            Some((host, Ok(port))) if !host.is_empty() => Place::Host(host.to_owned(), port),
            _ => Place::Text(self.to_owned()),
        })
    }
}

impl Address for String {
    fn target(&self) -> Target {
        self.as_str().target()
    }
}

impl Address for (&str, u16) {
    fn target(&self) -> Target {
        let (host, port) = *self;
        match host.parse::<IpAddr>() {
            Ok(ip) => (ip, port).target(),
            Err(_) => Target(Place::Host(host.to_owned(), port)),
        }
    }
}

impl Address for (String, u16) {
    fn target(&self) -> Target {
        (self.0.as_str(), self.1).target()
    }
}

impl Address for [SocketAddr] {
    fn target(&self) -> Target {
        Target(Place::Addrs(self.to_vec()))
    }
}

impl Address for Vec<SocketAddr> {
    fn target(&self) -> Target {
        self[..].target()
    }
}

impl<const N: usize> Address for [SocketAddr; N] {
    fn target(&self) -> Target {
        self[..].target()
    }
}

impl<A: Address + ?Sized> Address for &A {
    fn target(&self) -> Target {
        (**self).target()
    }
}

macro_rules! one_address {
    ($($address:ty),*) => {$(
        impl Address for $address {
            fn target(&self) -> Target {
                Target(Place::Addrs(vec![(*self).into()]))
            }
        }
    )*};
}

one_address!(
    SocketAddr,
    SocketAddrV4,
    SocketAddrV6,
    (IpAddr, u16),
    (Ipv4Addr, u16),
    (Ipv6Addr, u16)
);
