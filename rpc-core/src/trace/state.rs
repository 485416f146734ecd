//! `tracestate`: what tracing systems say to themselves, handed on within its limits.

use std::{fmt, str::FromStr, sync::Arc};

use thiserror::Error;

/// The most members of a list; one with more is not handed on.
const MEMBERS: usize = 32;

/// The most characters that are handed on; of a longer list, as much as fits.
const LEN: usize = 512;

/// Members longer than this go first where not all fit.
const LONG: usize = 128;

/// The most characters in a key, in the two parts of one with an `@`, and in a value.
const KEY: usize = 256;
const TENANT: usize = 241;
const SYSTEM: usize = 14;
const VALUE: usize = 256;

/// A list of `key=value`, newest first, of those systems that the trace has come by.
///
/// Nothing here reads or changes a member. What is longer than 512 characters loses members, those
/// of more than 128 characters first and then the oldest.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct TraceState {
    /// Well-formed, and within the limits.
    list: Option<Arc<str>>,
}

impl TraceState {
    /// Nothing.
    pub const NONE: TraceState = TraceState { list: None };

    /// Whether nobody has said anything.
    pub fn is_empty(&self) -> bool {
        self.list.is_none()
    }

    /// The list as it crosses the wire.
    pub fn as_str(&self) -> &str {
        self.list.as_deref().unwrap_or_default()
    }

    /// What the system of this name has said.
    pub fn get(&self, key: &str) -> Option<&str> {
        let mut members = self.as_str().split(',').filter_map(|member| member.split_once('='));
        members.find(|(name, _)| *name == key).map(|(_, value)| value)
    }
}

impl fmt::Display for TraceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A `tracestate` that is not handed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TraceStateError {
    /// It has more than 32 members.
    #[error("a tracestate has at most {MEMBERS} members")]
    Members,
    /// A member has no `=`, or its key is not of the form.
    #[error("a member of a tracestate is `key=value`, with a key of lower-case letters and digits")]
    Key,
    /// A value is empty, too long, ends in a space, or has characters that are not for it.
    #[error("a value in a tracestate is 1 to {VALUE} printable characters")]
    Value,
}

impl FromStr for TraceState {
    type Err = TraceStateError;

    fn from_str(text: &str) -> Result<Self, TraceStateError> {
        let space = |c| c == ' ' || c == '\t';
        let mut members = Vec::new();
        // A member may be empty.
        for member in text.split(',').filter(|member| !member.trim_matches(space).is_empty()) {
            if members.len() == MEMBERS {
                return Err(TraceStateError::Members);
            }
            let member = member.trim_matches(space);
            let (key, value) = member.split_once('=').ok_or(TraceStateError::Key)?;
            if !is_key(key.as_bytes()) {
                return Err(TraceStateError::Key);
            }
            if !is_value(value.as_bytes()) {
                return Err(TraceStateError::Value);
            }
            members.push(member);
        }
        let len = |members: &[&str]| {
            members.iter().map(|member| member.len() + 1).sum::<usize>().saturating_sub(1)
        };
        while len(&members) > LEN {
            let long = members.iter().rposition(|member| member.len() > LONG);
            members.remove(long.unwrap_or(members.len() - 1));
        }
        let list = (!members.is_empty()).then(|| members.join(",").into());
        Ok(TraceState { list })
    }
}

fn is_key(key: &[u8]) -> bool {
    let part = |part: &[u8], max, digit_first| {
        let first = part.first();
        (1..=max).contains(&part.len())
            && first.is_some_and(|c| c.is_ascii_lowercase() || digit_first && c.is_ascii_digit())
            && part.iter().all(|c| {
                c.is_ascii_lowercase()
                    || c.is_ascii_digit()
                    || matches!(c, b'_' | b'-' | b'*' | b'/')
            })
    };
    match key.iter().position(|c| *c == b'@') {
        Some(at) => part(&key[..at], TENANT, true) && part(&key[at + 1..], SYSTEM, false),
        None => part(key, KEY, false),
    }
}

fn is_value(value: &[u8]) -> bool {
    (1..=VALUE).contains(&value.len())
        && value.last() != Some(&b' ')
        && value.iter().all(|c| matches!(c, b' '..=b'~') && !matches!(c, b',' | b'='))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Result<String, TraceStateError> {
        text.parse().map(|state: TraceState| state.to_string())
    }

    #[test]
    fn what_is_well_formed_is_handed_on_as_it_is() {
        let long_key = format!("{}=1", "z".repeat(KEY));
        let tenant = format!("{}@{}=1", "0".repeat(TENANT), "v".repeat(SYSTEM));
        let long_value = format!("a={}", "~".repeat(VALUE));
        let many = (0..MEMBERS).map(|i| format!("k{i}=1")).collect::<Vec<_>>().join(",");
        for text in
            ["foo=1", "a=1,b=2", "fw529a3039@dt=FfAc1;2", "a-_*/0= b", &long_key, &tenant, &many]
        {
            assert_eq!(parsed(text).as_deref(), Ok(text));
        }
        assert_eq!(parsed(&long_value).as_deref(), Ok(&*long_value));
        assert_eq!("a=1,b=2".parse::<TraceState>().unwrap().get("b"), Some("2"));
        // Keys that occur twice are somebody else's mistake.
        assert_eq!(parsed("a=1,a=2").as_deref(), Ok("a=1,a=2"));
    }

    #[test]
    fn space_and_empty_members_are_left_out() {
        assert_eq!(parsed("").as_deref(), Ok(""));
        assert_eq!(parsed(" , ,\t").as_deref(), Ok(""));
        assert_eq!(parsed("a=1 ,\t b=2,").as_deref(), Ok("a=1,b=2"));
    }

    #[test]
    fn anything_else_is_refused() {
        use TraceStateError::*;
        let many = (0..=MEMBERS).map(|i| format!("k{i}=1")).collect::<Vec<_>>().join(",");
        let long_key = format!("{}=1", "z".repeat(KEY + 1));
        let long_tenant = format!("{}@v=1", "t".repeat(TENANT + 1));
        let long_system = format!("t@{}=1", "v".repeat(SYSTEM + 1));
        let long_value = format!("a={}", "1".repeat(VALUE + 1));
        for (text, error) in [
            ("a", Key),
            ("=1", Key),
            ("A=1", Key),
            ("1a=1", Key),
            ("a b=1", Key),
            ("a@=1", Key),
            ("@a=1", Key),
            ("a@b@c=1", Key),
            ("a@1=1", Key),
            ("a.b=1", Key),
            ("é=1", Key),
            (&long_key, Key),
            (&long_tenant, Key),
            (&long_system, Key),
            ("a=", Value),
            ("a=1=2", Value),
            ("a=é", Value),
            ("a=\u{7f}", Value),
            ("a=1\t2", Value),
            (&long_value, Value),
            (&many, Members),
        ] {
            assert_eq!(parsed(text), Err(error), "{text}");
        }
    }

    #[test]
    fn what_is_too_long_loses_long_members_first_and_then_the_oldest() {
        let short = |name: char| format!("{name}={}", "1".repeat(98));
        let long = format!("long={}", "1".repeat(200));
        let text = format!(
            "{},{long},{}",
            short('a'),
            ('b'..='d').map(short).collect::<Vec<_>>().join(",")
        );
        let kept: Vec<_> = ('a'..='d').map(short).collect();
        assert_eq!(parsed(&text), Ok(kept.join(",")));
        let shorts: Vec<_> = ('a'..='h').map(short).collect();
        assert_eq!(parsed(&shorts.join(",")), Ok(shorts[..5].join(",")));
    }

    proptest! {
        #[test]
        fn what_is_handed_on_once_is_handed_on_again(text in "([a-c@ =1,~\t]{0,12},){0,40}") {
            if let Ok(once) = parsed(&text) {
                prop_assert!(once.len() <= LEN);
                prop_assert_eq!(parsed(&once), Ok(once.clone()));
            }
        }

        #[test]
        fn no_text_makes_it_panic(text: String) {
            let _ = parsed(&text);
        }
    }
}
