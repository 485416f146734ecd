//! What a caller sends along with its arguments.

use std::slice;

use thiserror::Error;

/// The most entries that cross the wire with one call.
pub const MAX_ENTRIES: usize = 64;

/// The most bytes, [as encoded](Metadata::encoded_len), that cross the wire with one call: 16 KiB.
pub const MAX_BYTES: usize = 16 * 1024;

/// The longest key, in bytes of UTF-8.
pub const MAX_KEY: usize = u8::MAX as usize;

/// What goes along with a call besides its arguments: an ordered list of keys and values.
///
/// For what is about the call and not about the method: a trace id, a tenant, a token. Keys are
/// text of 1 to 255 bytes, compared exactly; values are bytes, text more often than not. An empty
/// `Metadata` allocates nothing and takes no byte on the wire.
///
/// The limits, 64 entries and 16 KiB [as encoded](Self::encoded_len), are checked when the call is
/// sent.
///
/// ```
/// use netrpc_core::Metadata;
///
/// let mut metadata = Metadata::new();
/// metadata.insert("tenant", "blue");
/// metadata.insert("trace", [0x4b, 0xf9]);
/// assert_eq!(metadata.get("tenant"), Some("blue"));
/// assert_eq!(metadata.get_bytes("trace"), Some(&[0x4b, 0xf9][..]));
/// ```
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Metadata {
    /// No key occurs twice.
    entries: Vec<(String, Vec<u8>)>,
}

impl Metadata {
    /// No entries.
    pub const fn new() -> Metadata {
        Metadata { entries: Vec::new() }
    }

    /// Sets the value of a key; a new key goes to the end, a known one keeps its place.
    ///
    /// Returns the value that was there.
    pub fn insert(&mut self, key: impl Into<String>, value: impl AsRef<[u8]>) -> Option<Vec<u8>> {
        let (key, value) = (key.into(), value.as_ref().to_vec());
        match self.entries.iter_mut().find(|entry| entry.0 == key) {
            Some((_, known)) => Some(std::mem::replace(known, value)),
            None => {
                self.entries.push((key, value));
                None
            }
        }
    }

    /// The value of a key, if there is one and it is text.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.get_bytes(key).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The value of a key.
    pub fn get_bytes(&self, key: &str) -> Option<&[u8]> {
        self.iter().find(|entry| entry.0 == key).map(|entry| entry.1)
    }

    /// Takes a key out and returns its value.
    pub fn remove(&mut self, key: &str) -> Option<Vec<u8>> {
        let at = self.entries.iter().position(|entry| entry.0 == key)?;
        Some(self.entries.remove(at).1)
    }

    /// Keys and values, in the order in which they were inserted.
    pub fn iter(&self) -> Iter<'_> {
        Iter { entries: self.entries.iter() }
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes that the entries take on the wire: three for each entry, its key and its value.
    pub fn encoded_len(&self) -> usize {
        self.iter().map(|(key, value)| 3 + key.len() + value.len()).sum()
    }

    /// Whether all of it can be sent.
    ///
    /// # Errors
    ///
    /// The first limit it is over.
    pub fn check(&self) -> Result<(), MetadataError> {
        if self.len() > MAX_ENTRIES {
            return Err(MetadataError::TooManyEntries { entries: self.len() });
        }
        if let Some((key, _)) = self.iter().find(|(key, _)| !(1..=MAX_KEY).contains(&key.len())) {
            return Err(MetadataError::Key { length: key.len() });
        }
        let bytes = self.encoded_len();
        if bytes > MAX_BYTES {
            return Err(MetadataError::TooLarge { bytes });
        }
        Ok(())
    }
}

/// Metadata that cannot be sent: which limit it is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// More entries than [`MAX_ENTRIES`].
    #[error("metadata has at most {MAX_ENTRIES} entries, this has {entries}")]
    TooManyEntries {
        /// How many there are.
        entries: usize,
    },
    /// More bytes than [`MAX_BYTES`].
    #[error(
        "metadata takes at most {MAX_BYTES} bytes on the wire, this takes {bytes}; larger things belong in the arguments"
    )]
    TooLarge {
        /// How many there are.
        bytes: usize,
    },
    /// A key that is empty or longer than [`MAX_KEY`].
    #[error("a metadata key has 1 to {MAX_KEY} bytes, this one has {length}")]
    Key {
        /// Bytes in the key.
        length: usize,
    },
}

impl<K: Into<String>, V: AsRef<[u8]>> FromIterator<(K, V)> for Metadata {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Metadata {
        let mut metadata = Metadata::new();
        metadata.extend(entries);
        metadata
    }
}

impl<K: Into<String>, V: AsRef<[u8]>> Extend<(K, V)> for Metadata {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        for (key, value) in entries {
            self.insert(key, value);
        }
    }
}

impl<'a> IntoIterator for &'a Metadata {
    type Item = (&'a str, &'a [u8]);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// The entries of a [`Metadata`], in the order in which they were inserted.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    entries: slice::Iter<'a, (String, Vec<u8>)>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        self.entries.next().map(|(key, value)| (key.as_str(), value.as_slice()))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.entries.size_hint()
    }
}

impl ExactSizeIterator for Iter<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_keeps_its_place_and_takes_its_last_value() {
        let mut metadata = Metadata::new();
        assert_eq!(metadata.insert("a", "1"), None);
        assert_eq!(metadata.insert("b", "2"), None);
        assert_eq!(metadata.insert("a", "3"), Some(b"1".to_vec()));
        assert!(metadata.iter().eq([("a", &b"3"[..]), ("b", b"2")]));
        assert_eq!((metadata.len(), metadata.iter().len()), (2, 2));

        assert_eq!(metadata.remove("a"), Some(b"3".to_vec()));
        assert_eq!(metadata.remove("a"), None);
        assert_eq!((metadata.get("a"), metadata.get("b")), (None, Some("2")));
        let collected: Metadata = [("b", "1"), ("b", "2")].into_iter().collect();
        assert_eq!(collected, metadata);
    }

    #[test]
    fn a_value_that_is_not_text_is_bytes_only() {
        let metadata: Metadata = [("key", b"\xFF")].into_iter().collect();
        assert_eq!(metadata.get("key"), None);
        assert_eq!(metadata.get_bytes("key"), Some(&b"\xFF"[..]));
    }

    #[test]
    fn an_empty_one_owns_nothing() {
        assert_eq!(Metadata::default().entries.capacity(), 0);
        let none: [(String, Vec<u8>); 0] = [];
        assert_eq!(none.into_iter().collect::<Metadata>().entries.capacity(), 0);
    }

    #[test]
    fn the_limits_are_named() {
        let text = |metadata: Metadata| metadata.check().unwrap_err().to_string();
        let many = (0..65).map(|i| (i.to_string(), "")).collect();
        assert_eq!(text(many), "metadata has at most 64 entries, this has 65");
        let long = [("x".repeat(256), "")].into_iter().collect();
        assert_eq!(text(long), "a metadata key has 1 to 255 bytes, this one has 256");
        let large = [("key", vec![0; MAX_BYTES])].into_iter().collect();
        assert_eq!(
            text(large),
            "metadata takes at most 16384 bytes on the wire, this takes 16390; \
             larger things belong in the arguments"
        );
    }
}
