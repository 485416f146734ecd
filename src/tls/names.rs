//! The names in a certificate that was verified.

use std::net::IpAddr;

use netrpc_core::Identity;
use x509_cert::{
    Certificate,
    der::{
        self, Decode,
        asn1::{Any, PrintableStringRef, TeletexStringRef, Utf8StringRef},
        oid::db::rfc4519::COMMON_NAME,
    },
    ext::pkix::{SubjectAltName, name::GeneralName},
};

use super::rustls::pki_types::CertificateDer;

/// Who shows these certificates, the first of which was verified; `None` if there are none.
///
/// # Errors
/// If the certificate is not in order where only its names are: nobody is let in then.
pub(super) fn identity(chain: &[CertificateDer<'_>]) -> Result<Option<Identity>, der::Error> {
    let Some((own, issuers)) = chain.split_first() else { return Ok(None) };
    let certificate = Certificate::from_der(own)?;
    let mut identity = Identity::new(own.to_vec());
    for issuer in issuers {
        identity = identity.with_issuer(issuer.to_vec());
    }
    let subject = certificate.tbs_certificate();
    let mut common_names = subject
        .subject()
        .iter()
        .filter(|attribute| attribute.oid == COMMON_NAME)
        .map(|attribute| text(&attribute.value));
    // Of several, which one is meant is anybody's guess, and not ours.
    if let (Some(Some(name)), None) = (common_names.next(), common_names.next()) {
        identity = identity.with_common_name(name);
    }
    let Some((_, names)) = subject.get_extension::<SubjectAltName>()? else {
        return Ok(Some(identity));
    };
    for name in names.0 {
        identity = match name {
            GeneralName::DnsName(name) => identity.with_dns_name(name.as_str()),
            GeneralName::UniformResourceIdentifier(uri) => identity.with_uri(uri.as_str()),
            GeneralName::Rfc822Name(email) => identity.with_email(email.as_str()),
            GeneralName::IpAddress(addr) => match ip_address(addr.as_bytes()) {
                Some(addr) => identity.with_ip_address(addr),
                None => identity,
            },
            _ => identity,
        };
    }
    Ok(Some(identity))
}

fn text(value: &Any) -> Option<String> {
    use der::Tagged;
    match value.tag() {
        der::Tag::Utf8String => {
            Some(value.decode_as::<Utf8StringRef<'_>>().ok()?.as_str().to_owned())
        }
        der::Tag::PrintableString => {
            Some(value.decode_as::<PrintableStringRef<'_>>().ok()?.as_str().to_owned())
        }
        der::Tag::TeletexString => {
            Some(value.decode_as::<TeletexStringRef<'_>>().ok()?.as_str().to_owned())
        }
        _ => None,
    }
}

fn ip_address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(v4.into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}
