//! What JSON does not have as it is, for values that borrow.

use std::fmt;

use elsa::sync::FrozenVec;

/// Texts without their escapes and bytes out of base64, to be borrowed by a value that is decoded with
/// it. It only grows, so that what it has lent stays where it is.
#[derive(Default)]
pub struct Loan {
    texts: FrozenVec<String>,
    bytes: FrozenVec<Vec<u8>>,
}

impl Loan {
    pub(super) fn text(&self, text: String) -> &str {
        self.texts.push_get(text)
    }

    pub(super) fn bytes(&self, bytes: Vec<u8>) -> &[u8] {
        self.bytes.push_get(bytes)
    }
}

impl fmt::Debug for Loan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loan")
            .field("texts", &self.texts.len())
            .field("bytes", &self.bytes.len())
            .finish()
    }
}
