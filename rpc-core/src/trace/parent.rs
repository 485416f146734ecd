//! `traceparent`, to the letter.

use thiserror::Error;

use super::{SpanId, TraceContext, TraceId};

/// Bytes in a `traceparent` of version 00.
const LEN: usize = 55;

/// Where its parts are: version, trace, span and flags, with a dash between them.
const TRACE: usize = 3;
const SPAN: usize = 36;
const FLAGS: usize = 53;

/// The one flag that version 00 knows; the others are not ours to hand on.
const SAMPLED: u8 = 1;

/// A `traceparent` that means nothing: the call begins a trace of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TraceParentError {
    /// It is too short, or one of version 00 too long.
    #[error("a traceparent has {LEN} characters, this one has {0}")]
    Length(usize),
    /// Something other than a dash stands between its parts.
    #[error("the parts of a traceparent are joined by dashes")]
    Dash,
    /// A part is not lower-case hexadecimal.
    #[error("a traceparent is of lower-case hexadecimal digits")]
    Digit,
    /// Version `ff`, which cannot be.
    #[error("there is no traceparent of version ff")]
    Version,
    /// An id of zeros only, which says that there is none.
    #[error("an id in a traceparent is not all zeros")]
    Zero,
}

/// Reads a `traceparent` of this version, and of a later one what it has of this.
pub(super) fn parse(text: &[u8]) -> Result<TraceContext, TraceParentError> {
    let fixed: &[u8; LEN] = text.first_chunk().ok_or(TraceParentError::Length(text.len()))?;
    let [version] = hex(&fixed[..2])?;
    match (version, text.get(LEN)) {
        (0xff, _) => return Err(TraceParentError::Version),
        (0, Some(_)) => return Err(TraceParentError::Length(text.len())),
        // More parts may follow, and only parts.
        (1.., Some(next)) if *next != b'-' => return Err(TraceParentError::Dash),
        (_, Some(_) | None) => {}
    }
    if [TRACE, SPAN, FLAGS].iter().any(|part| fixed[part - 1] != b'-') {
        return Err(TraceParentError::Dash);
    }
    let trace = TraceId::from_bytes(hex(&fixed[TRACE..SPAN - 1])?);
    let span = SpanId::from_bytes(hex(&fixed[SPAN..FLAGS - 1])?);
    let [flags] = hex(&fixed[FLAGS..])?;
    let (trace, span) = trace.zip(span).ok_or(TraceParentError::Zero)?;
    Ok(TraceContext::new(trace, span, flags & SAMPLED != 0))
}

/// Writes one of version 00.
pub(super) fn format(context: &TraceContext) -> [u8; LEN] {
    let mut text = [b'-'; LEN];
    write_hex(&mut text[..2], &[0]);
    write_hex(&mut text[TRACE..], &context.trace.to_bytes());
    write_hex(&mut text[SPAN..], &context.span.to_bytes());
    write_hex(&mut text[FLAGS..], &[u8::from(context.sampled) * SAMPLED]);
    text
}

/// The bytes that these digits, two to a byte, are.
fn hex<const N: usize>(digits: &[u8]) -> Result<[u8; N], TraceParentError> {
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(TraceParentError::Digit),
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Ok(bytes)
}

fn write_hex(text: &mut [u8], bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn parsed(text: &str) -> Result<String, TraceParentError> {
        parse(text.as_bytes()).map(|context| context.to_string())
    }

    #[test]
    fn what_is_well_formed_is_read() {
        let unsampled = GOOD.replace("-01", "-00");
        assert_eq!(parsed(GOOD).unwrap(), GOOD);
        assert_eq!(parsed(&unsampled).unwrap(), unsampled);
        // Flags that this version does not know are read over, and not handed on.
        assert_eq!(parsed(&GOOD.replace("-01", "-ff")).unwrap(), GOOD);
        assert_eq!(parsed(&GOOD.replace("-01", "-fe")).unwrap(), unsampled);
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_this_one() {
        for later in ["01", "cc", "fe"] {
            let text = GOOD.replacen("00", later, 1);
            assert_eq!(parsed(&text).unwrap(), GOOD, "{text}");
            assert_eq!(parsed(&format!("{text}-what-the-future-will-be-like")).unwrap(), GOOD);
            assert_eq!(parsed(&format!("{text}-")).unwrap(), GOOD);
            assert_eq!(parsed(&format!("{text}.what")), Err(TraceParentError::Dash));
            assert_eq!(parsed(&text[..54]), Err(TraceParentError::Length(54)));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        use TraceParentError::*;
        let with = |at: usize, byte: &str| {
            let mut text = GOOD.to_owned();
            text.replace_range(at..at + byte.len(), byte);
            text
        };
        for (text, error) in [
            (String::new(), Length(0)),
            (GOOD[..54].to_owned(), Length(54)),
            (format!("{GOOD}-"), Length(56)),
            (format!("{GOOD}-00"), Length(58)),
            (format!(" {GOOD}"), Digit),
            (with(0, "ff"), Version),
            (with(0, "0x"), Digit),
            (with(2, "_"), Dash),
            (with(35, "0"), Dash),
            (with(52, "0"), Dash),
            (with(3, "."), Digit),
            (with(40, "g"), Digit),
            (with(54, "."), Digit),
            (with(3, "4B"), Digit),
            (with(53, "0A"), Digit),
            (with(3, &"0".repeat(32)), Zero),
            (with(36, &"0".repeat(16)), Zero),
        ] {
            assert_eq!(parsed(&text), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(trace: [u8; 16], span: [u8; 8], sampled: bool) {
            let (trace, span) = (TraceId::from_bytes(trace), SpanId::from_bytes(span));
            prop_assume!(trace.is_some() && span.is_some());
            let context = TraceContext::new(trace.unwrap(), span.unwrap(), sampled);
            prop_assert_eq!(parse(&format(&context)), Ok(context));
        }

        #[test]
        fn one_byte_changed_is_refused_or_another_context(at in 0..LEN, byte: u8) {
            let mut text = GOOD.as_bytes().to_vec();
            prop_assume!(text[at] != byte);
            text[at] = byte;
            if let Ok(read) = parse(&text) {
                let hexadecimal = byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
                prop_assert!(hexadecimal && ![2, 35, 52].contains(&at));
                // The version and the unknown flags do not survive.
                let same = read.to_string() == GOOD;
                let sampled = char::from(byte).to_digit(16).is_some_and(|flags| flags & 1 == 1);
                prop_assert_eq!(same, at < 2 || at == 53 || at == 54 && sampled);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(text: Vec<u8>) {
            let _ = parse(&text);
        }
    }
}
