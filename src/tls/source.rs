//! Where certificates and keys come from.

use std::{borrow::Cow, fmt, fs, path::PathBuf, sync::Arc};

use super::{
    TlsError,
    rustls::{
        RootCertStore,
        pki_types::{
            CertificateDer, CertificateRevocationListDer, PrivateKeyDer,
            pem::{self, PemObject},
        },
    },
};

/// Where certificates or a key come from: a file, which is read again at each reload, or memory.
///
/// They are PEM, any number of them in one source, or DER, one certificate or key; which one is seen
/// from the bytes.
#[derive(Clone)]
pub struct Source(Kind);

#[derive(Clone)]
enum Kind {
    File(PathBuf),
    Bytes(Arc<[u8]>),
}

impl Source {
    /// What is in this file whenever it is read.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Source(Kind::File(path.into()))
    }

    /// These bytes.
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Source(Kind::Bytes(bytes.into().into()))
    }

    /// The certificates, at least one.
    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        self.items("certificate", |bytes| CertificateDer::from(bytes.to_vec()))
    }

    /// The lists of certificates that were revoked.
    pub(super) fn revocation_lists(
        &self,
    ) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
        self.items("list of revoked certificates", |bytes| {
            CertificateRevocationListDer::from(bytes.to_vec())
        })
    }

    /// The one private key.
    pub(super) fn key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        let bytes = self.read()?;
        if is_pem(&bytes) {
            return PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| match error {
                pem::Error::NoItemsFound => {
                    let encrypted = bytes.windows(9).any(|window| window == b"ENCRYPTED");
                    let help = if encrypted { ": it is encrypted; decrypt it first" } else { "" };
                    TlsError::new(format!("there is no private key in {self}{help}"))
                }
                error => TlsError::because(format!("the private key in {self} is damaged"), error),
            });
        }
        PrivateKeyDer::try_from(bytes.into_owned())
            .map_err(|why| TlsError::because(format!("there is no private key in {self}"), why))
    }

    /// Authorities to trust.
    pub(super) fn roots(&self, store: &mut RootCertStore) -> Result<(), TlsError> {
        for certificate in self.certificates()? {
            store.add(certificate).map_err(|error| {
                TlsError::because(format!("a certificate in {self} is no authority's"), error)
            })?;
        }
        Ok(())
    }

    fn items<T: PemObject>(
        &self,
        what: &str,
        der: impl Fn(&[u8]) -> T,
    ) -> Result<Vec<T>, TlsError> {
        let bytes = self.read()?;
        if !is_pem(&bytes) && bytes.first() == Some(&DER_SEQUENCE) {
            return Ok(vec![der(&bytes)]);
        }
        let items = T::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
        let items = items
            .map_err(|error| TlsError::because(format!("a {what} in {self} is damaged"), error))?;
        if items.is_empty() {
            return Err(TlsError::new(format!("there is no {what} in {self}")));
        }
        Ok(items)
    }

    fn read(&self) -> Result<Cow<'_, [u8]>, TlsError> {
        match &self.0 {
            Kind::Bytes(bytes) => Ok(Cow::Borrowed(bytes)),
            Kind::File(path) => fs::read(path)
                .map(Cow::Owned)
                .map_err(|error| TlsError::because(format!("cannot read {self}"), error)),
        }
    }
}

/// What every certificate in DER begins with.
const DER_SEQUENCE: u8 = 0x30;

fn is_pem(bytes: &[u8]) -> bool {
    const BEGIN: &[u8] = b"-----BEGIN";
    bytes.windows(BEGIN.len()).any(|window| window == BEGIN)
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::File(path) => path.display().fmt(f),
            Kind::Bytes(bytes) => write!(f, "the {} bytes given", bytes.len()),
        }
    }
}

/// The bytes are not shown: they may be a key.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({self})")
    }
}
