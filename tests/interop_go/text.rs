//! Values described so that Go can say the same of them: an echo alone would not notice an encoder and a
//! decoder that are wrong in the same way. The other half is `tests/go/text.go`.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write,
};

/// Numbers are decimal, floats are their bits, maps are sorted, times are seconds since 1970
/// and those east of UTC.
pub trait Text {
    fn describe(&self, out: &mut String);

    fn text(&self) -> String {
        let mut out = String::new();
        self.describe(&mut out);
        out
    }
}

macro_rules! displayed {
    ($($type:ty)*) => {$(
        impl Text for $type {
            fn describe(&self, out: &mut String) {
                let _ = write!(out, "{self}");
            }
        }
    )*};
}

displayed!(bool i8 i16 i32 i64 u8 u16 u32 u64);

impl Text for f32 {
    fn describe(&self, out: &mut String) {
        let _ =
            if self.is_nan() { write!(out, "NaN") } else { write!(out, "{:08x}", self.to_bits()) };
    }
}

impl Text for f64 {
    fn describe(&self, out: &mut String) {
        let _ =
            if self.is_nan() { write!(out, "NaN") } else { write!(out, "{:016x}", self.to_bits()) };
    }
}

impl Text for str {
    fn describe(&self, out: &mut String) {
        out.push('"');
        out.push_str(self);
        out.push('"');
    }
}

impl Text for String {
    fn describe(&self, out: &mut String) {
        self.as_str().describe(out);
    }
}

impl Text for () {
    fn describe(&self, out: &mut String) {
        out.push_str("()");
    }
}

impl<T: Text> Text for [T] {
    fn describe(&self, out: &mut String) {
        out.push('[');
        for (i, value) in self.iter().enumerate() {
            if i > 0 {
                out.push(' ');
            }
            value.describe(out);
        }
        out.push(']');
    }
}

impl<T: Text> Text for Vec<T> {
    fn describe(&self, out: &mut String) {
        self.as_slice().describe(out);
    }
}

impl<T: Text, const N: usize> Text for [T; N] {
    fn describe(&self, out: &mut String) {
        self.as_slice().describe(out);
    }
}

/// As Go has it: an array.
impl<T: Text> Text for (T, T) {
    fn describe(&self, out: &mut String) {
        [&self.0, &self.1].describe(out);
    }
}

impl<T: Text + ?Sized> Text for &T {
    fn describe(&self, out: &mut String) {
        (**self).describe(out);
    }
}

impl<T: Text> Text for Option<T> {
    fn describe(&self, out: &mut String) {
        match self {
            None => out.push_str("nil"),
            Some(value) => {
                out.push('&');
                value.describe(out);
            }
        }
    }
}

impl<T: Text + ?Sized> Text for Box<T> {
    fn describe(&self, out: &mut String) {
        (**self).describe(out);
    }
}

impl<K: Text, V: Text> Text for HashMap<K, V> {
    fn describe(&self, out: &mut String) {
        describe_map(self, out);
    }
}

impl<K: Text, V: Text> Text for BTreeMap<K, V> {
    fn describe(&self, out: &mut String) {
        describe_map(self, out);
    }
}

fn describe_map<'a, K: Text + 'a, V: Text + 'a>(
    map: impl IntoIterator<Item = (&'a K, &'a V)>,
    out: &mut String,
) {
    let entries = map.into_iter().map(|(key, value)| format!("{}:{}", key.text(), value.text()));
    let mut entries: Vec<_> = entries.collect();
    entries.sort();
    let _ = write!(out, "{{{}}}", entries.join(" "));
}

/// As Go's `encoding/json` makes it of an `interface{}`: all numbers are floats.
impl Text for serde_json::Value {
    fn describe(&self, out: &mut String) {
        use serde_json::Value;
        match self {
            Value::Null => out.push_str("nil"),
            Value::Bool(value) => value.describe(out),
            Value::Number(value) => value.as_f64().unwrap_or(f64::NAN).describe(out),
            Value::String(value) => value.describe(out),
            Value::Array(values) => values.describe(out),
            Value::Object(entries) => describe_map(entries, out),
        }
    }
}

/// Describes bytes that are too many for [`Text`].
pub fn digest(bytes: &[u8]) -> String {
    format!("{}:{:08x}", bytes.len(), crc32c::crc32c(bytes))
}

/// Bytes that all runs agree on.
pub fn noise(size: usize) -> Vec<u8> {
    let mut state = size as u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..size).map(|_| next()).collect()
}

/// A text that fits into a line.
pub fn brief(long: &str) -> String {
    const MOST: usize = 160;
    match long.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}… ({} bytes)", &long[..end], long.len()),
        None => long.to_owned(),
    }
}
