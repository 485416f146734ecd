//! Telling protocols apart by a connection's first bytes.

use super::Language;

/// What a connection's first bytes are the beginning of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sniffed {
    /// That cannot be told yet.
    Undecided,
    /// A preface of our own.
    Native,
    /// An HTTP request.
    Http,
    /// One of Go's.
    Foreign(Language),
    /// Nothing that is spoken here.
    Unknown,
}

/// White space before a JSON value that is still taken for its beginning.
const MAX_SPACE: usize = 64;

/// What `bytes`, the first ones of a connection, are the beginning of.
///
/// | first bytes | |
/// |---|---|
/// | `c1` | a preface |
/// | less than `80`, then `fd` or more | gob: a short length, then the negative id of a type's definition |
/// | two letters A–Z | HTTP |
/// | white space if any, then `{` | JSON |
/// | `80`–`8f`, `de`, `df` | a map of MessagePack |
///
/// Most need two bytes, for gob's lengths begin as the others do.
///
/// ```
/// use netrpc_core::dialect::{sniff, Language, Sniffed};
///
/// assert_eq!(sniff(b"C"), Sniffed::Undecided);
/// assert_eq!(sniff(b"CO"), Sniffed::Http);
/// assert_eq!(sniff(b"C\xff\x81"), Sniffed::Foreign(Language::Gob));
/// assert_eq!(sniff(b"\n {\"method\""), Sniffed::Foreign(Language::JsonRpc));
/// assert_eq!(sniff(b"\x16\x03\x01"), Sniffed::Unknown); // TLS
/// ```
pub fn sniff(bytes: &[u8]) -> Sniffed {
    match bytes {
        [0xC1, ..] => Sniffed::Native,
        [0x80..=0x8F | 0xDE | 0xDF, ..] => Sniffed::Foreign(Language::MsgpackRpc),
        [] | [0..=0x7F] => Sniffed::Undecided,
        [0..=0x7F, 0xFD..=0xFF, ..] => Sniffed::Foreign(Language::Gob),
        // SSH; no method of HTTP begins so.
        [b'S', b'S', ..] => Sniffed::Unknown,
        [b'A'..=b'Z', b'A'..=b'Z', ..] => Sniffed::Http,
        _ => match bytes.iter().position(|byte| !b" \t\r\n".contains(byte)) {
            Some(at) if at <= MAX_SPACE && bytes[at] == b'{' => Sniffed::Foreign(Language::JsonRpc),
            None if bytes.len() <= MAX_SPACE => Sniffed::Undecided,
            _ => Sniffed::Unknown,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_bytes_has_its_place_and_more_bytes_do_not_change_it() {
        for first in 0..=255u8 {
            for second in 0..=255u8 {
                let two = sniff(&[first, second]);
                let one = sniff(&[first]);
                assert!(one == two || one == Sniffed::Undecided, "{first:02x} {second:02x}");
                if two != Sniffed::Undecided {
                    for third in [0, b'{', b' ', 0xFF] {
                        assert_eq!(sniff(&[first, second, third]), two);
                    }
                } else {
                    assert!([first, second].iter().all(|byte| b" \t\r\n".contains(byte)));
                }
            }
        }
    }

    #[test]
    fn white_space_does_not_go_on_for_ever() {
        assert_eq!(sniff(&[b' '; MAX_SPACE]), Sniffed::Undecided);
        assert_eq!(sniff(&[b' '; MAX_SPACE + 1]), Sniffed::Unknown);
        let late = [&[b' '; MAX_SPACE + 1][..], b"{"].concat();
        assert_eq!(sniff(&late), Sniffed::Unknown, "however it arrives");
    }
}
