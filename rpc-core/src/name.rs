//! Names, compared.

/// Whether two names are the same. Most are short: a few moves know it before `memcmp` has begun.
#[inline]
pub(crate) fn same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let (words, rest) = one.as_chunks::<8>();
    let (other_words, other_rest) = other.as_chunks::<8>();
    // The last word overlaps the one before it.
    let tail = match (one.last_chunk::<8>(), other.last_chunk::<8>()) {
        (Some(last), Some(other_last)) => last == other_last,
        _ => short(rest) == short(other_rest),
    };
    tail && words.iter().zip(other_words).all(|(word, other)| word == other)
}

/// All there is of less than eight bytes; of names of one length, no two have the same.
#[inline]
fn short(name: &[u8]) -> u64 {
    match (name.first_chunk::<4>(), name.last_chunk::<4>(), name) {
        (Some(first), Some(last), _) => {
            u64::from(u32::from_ne_bytes(*first)) << 32 | u64::from(u32::from_ne_bytes(*last))
        }
        (_, _, &[first, .., last]) => u64::from_ne_bytes([first, name[1], last, 0, 0, 0, 0, 0]),
        (_, _, &[only]) => only.into(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_if_all_their_bytes_are() {
        let name: Vec<u8> = (1..=60).collect();
        for len in 0..name.len() {
            let (one, mut other) = (&name[..len], name[..len].to_vec());
            assert!(same(one, &other), "{len}");
            assert!(!same(one, &name[..=len]), "{len}");
            for at in 0..len {
                other[at] ^= 0x80;
                assert!(!same(one, &other), "byte {at} of {len}");
                other[at] ^= 0x80;
            }
        }
    }
}
