//! CRC-32C, for frames of any length (`[frame.crc]`).
//!
//! The crate `crc32c` is made for long inputs: it goes to an aligned address byte by byte and then
//! keeps three sums going. For the 30 to 70 bytes of most frames that takes three times as long as
//! one sum over words that lie where they lie, which is what short ones get here where the
//! processor has the instruction.

/// The checksum of `bytes`.
#[inline]
pub(crate) fn checksum(bytes: &[u8]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    if bytes.len() < short::BELOW
        && let Some(sse) = *short::SSE
    {
        return short::checksum(sse, &[], bytes);
    }
    crc32c::crc32c(bytes)
}

/// The checksum of the bytes of `words`, little-endian, with `bytes` behind them: of words that need not
/// be written first. To read what has just been written in other pieces takes as long as all the rest.
#[inline]
pub(super) fn of_words(words: &[u64; 2], bytes: &[u8]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    if bytes.len() < short::BELOW
        && let Some(sse) = *short::SSE
    {
        return short::checksum(sse, words, bytes);
    }
    let [first, second] = words.map(u64::to_le_bytes);
    append(append(crc32c::crc32c(&first), &second), bytes)
}

/// The checksum of what `before` is the checksum of with `bytes` behind it.
pub(crate) fn append(before: u32, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(before, bytes)
}

/// The checksum of what `first` is the checksum of with the `len` bytes behind it whose checksum is `second`.
///
/// `crc32c_combine` squares matrices, with branches that nobody foresees. Here powers are multiplied that are
/// known beforehand, as zlib does it by now.
pub(super) fn join(first: u32, second: u32, len: u32) -> u32 {
    // The bytes behind move what is before by as many places: x^(8 len).
    let powers = (0..u32::BITS).zip(&POWERS[3..]).filter(|(bit, _)| (len >> bit) & 1 == 1);
    powers.fold(first, |shifted, (_, power)| multiply(*power, shifted)) ^ second
}

/// The polynomial, the coefficient of x^31 in the lowest bit.
const POLYNOMIAL: u32 = 0x82F6_3B78;

/// x^(2^n) modulo the polynomial.
const POWERS: [u32; 35] = {
    let mut powers = [1 << 30; 35];
    let mut n = 1;
    while n < powers.len() {
        powers[n] = multiply(powers[n - 1], powers[n - 1]);
        n += 1;
    }
    powers
};

/// `a` times `b` modulo the polynomial. Without branches: the processor could not foresee them.
const fn multiply(a: u32, mut b: u32) -> u32 {
    let mut product = 0;
    let mut left = a;
    while left != 0 {
        product ^= b & 0u32.wrapping_sub(left >> 31);
        left <<= 1;
        b = (b >> 1) ^ (POLYNOMIAL & 0u32.wrapping_sub(b & 1));
    }
    product
}

#[cfg(target_arch = "x86_64")]
mod short {
    use std::{
        arch::x86_64::{_mm_crc32_u8, _mm_crc32_u16, _mm_crc32_u32, _mm_crc32_u64},
        sync::LazyLock,
    };

    use fearless_simd::{Level, Sse4_2};

    /// From here on three sums are faster than one: each step of a sum waits three cycles for the
    /// one before it.
    pub(super) const BELOW: usize = 512;

    /// The proof that the processor has the instruction.
    pub(super) static SSE: LazyLock<Option<Sse4_2>> = LazyLock::new(|| Level::new().as_sse4_2());

    fearless_simd::kernel!(
        #[inline]
        pub(super) fn checksum(_sse: Sse4_2, before: &[u64], bytes: &[u8]) -> u32 {
            let sum =
                before.iter().fold(u64::from(u32::MAX), |sum, word| _mm_crc32_u64(sum, *word));
            let (words, mut rest) = bytes.as_chunks();
            let sum =
                words.iter().fold(sum, |sum, word| _mm_crc32_u64(sum, u64::from_le_bytes(*word)));
            let mut sum = sum as u32;
            if let Some((four, left)) = rest.split_first_chunk() {
                sum = _mm_crc32_u32(sum, u32::from_le_bytes(*four));
                rest = left;
            }
            if let Some((two, left)) = rest.split_first_chunk() {
                sum = _mm_crc32_u16(sum, u16::from_le_bytes(*two));
                rest = left;
            }
            if let [one] = rest {
                sum = _mm_crc32_u8(sum, *one);
            }
            !sum
        }
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Short and long inputs go different ways, wherever they lie, to the same sum.
    #[test]
    fn every_length_at_every_address_has_the_checksum_of_its_bytes() {
        let bytes: Vec<u8> = (0..2000u32).map(|n| ((n * n) >> 3) as u8).collect();
        for length in (0..600).chain([767, 768, 1023, 1024, 1990]) {
            for start in 0..9 {
                let bytes = &bytes[start..start + length];
                assert_eq!(checksum(bytes), crc32c::crc32c(bytes), "{length} bytes from {start}");
                if let Some((words, rest)) = bytes.split_first_chunk::<16>() {
                    let words = words.as_chunks().0;
                    let words = [0, 1].map(|at| u64::from_le_bytes(words[at]));
                    assert_eq!(
                        of_words(&words, rest),
                        checksum(bytes),
                        "{length} bytes from {start}"
                    );
                }
            }
        }
        assert_eq!(checksum(b"123456789"), 0xE306_9283);
        assert_eq!(append(checksum(b"1234"), b"56789"), 0xE306_9283);
        assert_eq!(join(checksum(b"1234"), checksum(b"56789"), 5), 0xE306_9283);
    }

    #[test]
    fn checksums_are_joined_whatever_the_length() {
        for len in [1, 7, 255, 65_536, 1_048_575, u32::MAX] {
            for (first, second) in [(0, 7), (7, 0), (0xDEAD_BEEF, 0x0123_4567)] {
                let combined = crc32c::crc32c_combine(first, second, len as usize);
                assert_eq!(join(first, second, len), combined, "{len} bytes");
            }
        }
    }

    /// What the check above compares would be the same way twice.
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn the_short_way_is_taken_where_there_is_the_instruction() {
        assert_eq!(short::SSE.is_some(), is_x86_feature_detected!("sse4.2"));
    }
}
