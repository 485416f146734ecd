//! Who a peer has proved to be.

use core::net::IpAddr;
use std::fmt;

/// A peer's verified identity: the certificate by which it has proved who it is, and the names in it.
///
/// It is there only if the certificate was verified: issued by an authority this server trusts for
/// that, valid at the time, and the peer holds its key. What the names *mean* is up to whoever
/// issues them: a handler that lets in whoever has a certificate at all lets in everybody that the
/// authority has ever given one.
///
/// ```
/// use netrpc_core::Identity;
///
/// let billing = Identity::new(b"the certificate's DER".to_vec())
///     .with_common_name("billing")
///     .with_dns_name("billing.internal")
///     .with_uri("spiffe://internal/billing");
/// assert!(billing.uris().iter().any(|uri| uri == "spiffe://internal/billing"));
/// assert_eq!(billing.to_string(), "spiffe://internal/billing", "the most specific of its names");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// Apart, because most connections have none.
    known: Box<Known>,
}

/// What a certificate says.
#[derive(Clone, PartialEq, Eq)]
struct Known {
    /// DER, the peer's own first; never empty.
    chain: Vec<Vec<u8>>,
    common_name: Option<String>,
    dns_names: Vec<String>,
    uris: Vec<String>,
    emails: Vec<String>,
    ip_addresses: Vec<IpAddr>,
}

impl Identity {
    /// An identity without names, proved by this certificate (DER). What the names are, whoever has
    /// verified it adds.
    pub fn new(certificate: Vec<u8>) -> Self {
        let known = Known {
            chain: vec![certificate],
            common_name: None,
            dns_names: Vec::new(),
            uris: Vec::new(),
            emails: Vec::new(),
            ip_addresses: Vec::new(),
        };
        Identity { known: Box::new(known) }
    }

    /// Adds the certificate (DER) of whoever issued the last one.
    #[must_use]
    pub fn with_issuer(mut self, certificate: Vec<u8>) -> Self {
        self.known.chain.push(certificate);
        self
    }

    /// Sets the subject's common name.
    #[must_use]
    pub fn with_common_name(mut self, name: impl Into<String>) -> Self {
        self.known.common_name = Some(name.into());
        self
    }

    /// Adds a DNS name.
    #[must_use]
    pub fn with_dns_name(mut self, name: impl Into<String>) -> Self {
        self.known.dns_names.push(name.into());
        self
    }

    /// Adds a URI.
    #[must_use]
    pub fn with_uri(mut self, uri: impl Into<String>) -> Self {
        self.known.uris.push(uri.into());
        self
    }

    /// Adds an email address.
    #[must_use]
    pub fn with_email(mut self, email: impl Into<String>) -> Self {
        self.known.emails.push(email.into());
        self
    }

    /// Adds an IP address.
    #[must_use]
    pub fn with_ip_address(mut self, addr: IpAddr) -> Self {
        self.known.ip_addresses.push(addr);
        self
    }

    /// The peer's certificate: DER.
    pub fn certificate(&self) -> &[u8] {
        &self.known.chain[0]
    }

    /// The certificates the peer has sent, its own first: DER. The authority that the server knows
    /// itself need not be among them.
    pub fn chain(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.known.chain.iter().map(Vec::as_slice)
    }

    /// The subject's common name, if it has exactly one. Newer certificates have their names in the
    /// other fields; prefer those.
    pub fn common_name(&self) -> Option<&str> {
        self.known.common_name.as_deref()
    }

    /// The DNS names among the subject's alternative names, as they are written there.
    pub fn dns_names(&self) -> &[String] {
        &self.known.dns_names
    }

    /// The URIs among the subject's alternative names, SPIFFE's identities for example.
    pub fn uris(&self) -> &[String] {
        &self.known.uris
    }

    /// The email addresses among the subject's alternative names.
    pub fn emails(&self) -> &[String] {
        &self.known.emails
    }

    /// The IP addresses among the subject's alternative names.
    pub fn ip_addresses(&self) -> &[IpAddr] {
        &self.known.ip_addresses
    }
}

/// One of its names, for logs: a URI, a DNS name, an email address, the common name, an IP address,
/// whatever is there first. Not to decide anything by.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [&self.known.uris, &self.known.dns_names, &self.known.emails];
        let name = names.into_iter().flatten().chain(&self.known.common_name).next();
        match (name, self.known.ip_addresses.first()) {
            // Whoever got the certificate chose its names, and a log is not to show what is none.
            (Some(name), _) => write!(f, "{}", name.escape_debug()),
            (None, Some(addr)) => addr.fmt(f),
            (None, None) => f.write_str("a certificate without names"),
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("common_name", &self.known.common_name)
            .field("dns_names", &self.known.dns_names)
            .field("uris", &self.known.uris)
            .field("emails", &self.known.emails)
            .field("ip_addresses", &self.known.ip_addresses)
            .field("chain", &self.known.chain.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_shows_the_most_specific_name_and_nothing_that_is_none() {
        let nobody = Identity::new(vec![1]);
        assert_eq!(nobody.to_string(), "a certificate without names");
        let host = nobody.clone().with_ip_address([10, 0, 0, 1].into());
        assert_eq!(host.to_string(), "10.0.0.1");
        let named = host.with_common_name("line\nbreak");
        assert_eq!(named.to_string(), "line\\nbreak");
        let mailed = named.with_email("ops@example.org");
        assert_eq!(mailed.to_string(), "ops@example.org");
        let dns = mailed.with_dns_name("a.internal").with_dns_name("b.internal");
        assert_eq!(dns.to_string(), "a.internal");
        assert_eq!(dns.dns_names(), ["a.internal", "b.internal"]);
    }

    #[test]
    fn the_chain_begins_with_the_peers_own_certificate() {
        let identity = Identity::new(vec![1]).with_issuer(vec![2]).with_issuer(vec![3]);
        assert_eq!(identity.certificate(), [1]);
        assert_eq!(identity.chain().collect::<Vec<_>>(), [[1], [2], [3]]);
        assert!(format!("{identity:?}").contains("chain: 3"), "not its bytes");
    }
}
