//! The plain text of a string.

/// How many bytes are looked at together.
const WORD: usize = size_of::<u64>();

/// Where the first byte is that means something in a string: the end, an escape, or a control
/// character, which must not be there.
#[inline]
pub(super) fn special(text: &[u8]) -> Option<usize> {
    let (words, _) = text.as_chunks::<WORD>();
    let plain = |word: &&[u8; WORD]| !has_special(u64::from_ne_bytes(**word));
    let at = words.iter().take_while(plain).count() * WORD;
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | ..0x20);
    text[at..].iter().position(is_special).map(|behind| at + behind)
}

/// Whether any byte of a word is special: "Determine if a word has a byte less than n", in Sean
/// Anderson's *Bit Twiddling Hacks*.
#[inline]
fn has_special(word: u64) -> bool {
    const EACH: u64 = u64::MAX / 0xFF;
    let below = |word: u64, n: u64| word.wrapping_sub(EACH * n) & !word;
    let is = |byte: u8| below(word ^ (EACH * u64::from(byte)), 1);
    (below(word, 0x20) | is(b'"') | is(b'\\')) & (EACH * 0x80) != 0
}

#[cfg(test)]
mod tests {
    use super::special;

    #[test]
    fn the_first_special_byte_is_found_wherever_it_is() {
        for byte in [b'"', b'\\', b'\n', 0, 0x1F] {
            for len in 0..100 {
                assert_eq!(special(&vec![b' '; len]), None);
                for at in 0..len {
                    let mut text = vec![0xFF; len];
                    text[at..].fill(b'"');
                    text[at] = byte;
                    assert_eq!(special(&text), Some(at));
                }
            }
        }
    }
}
