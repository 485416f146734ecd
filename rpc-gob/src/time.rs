//! Go's `time.Time`.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, SeqAccess, Visitor},
};

/// As [`marshaled`](crate::marshaled) has it.
const NAME: &str = "$gob.GobEncoder:Time";
/// From the beginning of year 1, where Go's time begins, to that of 1970.
const EPOCH: i64 = 62_135_596_800;

/// A `time.Time`: an instant, and how far the clocks were from UTC where it was taken.
///
/// ```
/// use netrpc_gob::{from_slice, time::GoTime, to_vec};
///
/// let time = GoTime { seconds: 1_700_000_000, nanoseconds: 5, offset: Some(3600) };
/// assert_eq!(from_slice::<GoTime>(&to_vec(&time)?)?, time);
///
/// let now = std::time::SystemTime::now();
/// assert_eq!(GoTime::from(now).to_system_time(), Some(now));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Other formats see the bytes that Go's `MarshalBinary` makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GoTime {
    /// Since the beginning of 1970, UTC.
    pub seconds: i64,
    /// Since that second; less than 1,000,000,000.
    pub nanoseconds: u32,
    /// Seconds east of UTC; `None` is UTC itself.
    pub offset: Option<i32>,
}

impl GoTime {
    /// The instant, if the system's clock can show it.
    ///
    /// ```
    /// use std::time::UNIX_EPOCH;
    ///
    /// let time = netrpc_gob::time::GoTime::from(UNIX_EPOCH);
    /// assert_eq!(time.to_system_time(), Some(UNIX_EPOCH));
    /// ```
    pub fn to_system_time(self) -> Option<SystemTime> {
        let seconds = Duration::from_secs(self.seconds.unsigned_abs());
        let whole = match self.seconds {
            0.. => UNIX_EPOCH.checked_add(seconds)?,
            _ => UNIX_EPOCH.checked_sub(seconds)?,
        };
        whole.checked_add(Duration::from_nanos(self.nanoseconds.into()))
    }

    fn to_bytes(self) -> Result<([u8; 16], usize), &'static str> {
        // Go has -1 minute for UTC, and so no place that far east.
        let offset = self.offset.unwrap_or(-60);
        let (minutes, seconds) = (offset / 60, offset % 60);
        let minutes = i16::try_from(minutes)
            .ok()
            .filter(|minutes| *minutes != -1 || self.offset.is_none())
            .ok_or("Go has no time zone with that offset")?;
        let since_year_1 =
            self.seconds.checked_add(EPOCH).ok_or("Go has no time that far in the future")?;
        let mut bytes = [0; 16];
        bytes[0] = if seconds == 0 { 1 } else { 2 };
        bytes[1..9].copy_from_slice(&since_year_1.to_be_bytes());
        bytes[9..13].copy_from_slice(&self.nanoseconds.to_be_bytes());
        bytes[13..15].copy_from_slice(&minutes.to_be_bytes());
        bytes[15] = seconds as u8;
        Ok((bytes, if seconds == 0 { 15 } else { 16 }))
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            return Some(GoTime::default());
        }
        let (version, rest) = bytes.split_first()?;
        let (seconds, rest) = rest.split_first_chunk()?;
        let (nanoseconds, rest) = rest.split_first_chunk()?;
        let (minutes, rest) = rest.split_first_chunk()?;
        let minutes = i16::from_be_bytes(*minutes);
        let more = match (version, rest) {
            (1, []) => 0,
            (2, [seconds]) => *seconds as i8,
            _ => return None,
        };
        Some(GoTime {
            seconds: i64::from_be_bytes(*seconds).checked_sub(EPOCH)?,
            nanoseconds: u32::from_be_bytes(*nanoseconds),
            offset: (minutes != -1).then_some(i32::from(minutes) * 60 + i32::from(more)),
        })
    }
}

/// Go's zero time: the beginning of year 1, UTC.
impl Default for GoTime {
    fn default() -> Self {
        GoTime { seconds: -EPOCH, nanoseconds: 0, offset: None }
    }
}

/// In UTC.
impl From<SystemTime> for GoTime {
    fn from(time: SystemTime) -> Self {
        let seconds = |duration: Duration| duration.as_secs().try_into().unwrap_or(i64::MAX);
        let (seconds, nanoseconds) = match time.duration_since(UNIX_EPOCH) {
            Ok(since) => (seconds(since), since.subsec_nanos()),
            Err(error) => match (seconds(error.duration()), error.duration().subsec_nanos()) {
                (before, 0) => (-before, 0),
                (before, nanoseconds) => (-before - 1, 1_000_000_000 - nanoseconds),
            },
        };
        GoTime { seconds, nanoseconds, offset: None }
    }
}

impl Serialize for GoTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Bytes<'a>(&'a [u8]);

        impl Serialize for Bytes<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_bytes(self.0)
            }
        }

        let (bytes, len) = self.to_bytes().map_err(serde::ser::Error::custom)?;
        serializer.serialize_newtype_struct(NAME, &Bytes(&bytes[..len]))
    }
}

impl<'de> Deserialize<'de> for GoTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(NAME, TimeVisitor)
    }
}

struct TimeVisitor;

impl<'de> Visitor<'de> for TimeVisitor {
    type Value = GoTime;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time, in the 15 or 16 bytes that Go makes of it")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<GoTime, D::Error> {
        inner.deserialize_bytes(self)
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<GoTime, E> {
        GoTime::from_bytes(bytes)
            .ok_or_else(|| E::invalid_value(de::Unexpected::Bytes(bytes), &self))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<GoTime, A::Error> {
        let mut bytes = Vec::new();
        while let Some(byte) = access.next_element()? {
            // Longer ones are none; that they are is found below.
            if bytes.len() <= 16 {
                bytes.push(byte);
            }
        }
        self.visit_bytes(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_back() {
        for seconds in [0, 1, -1, 1_700_000_000, -EPOCH, i64::MAX - EPOCH, i64::MIN + EPOCH] {
            for offset in [None, Some(0), Some(3600), Some(-3600), Some(-12_601), Some(59)] {
                let time = GoTime { seconds, nanoseconds: 999_999_999, offset };
                let (bytes, len) = time.to_bytes().unwrap();
                assert_eq!(GoTime::from_bytes(&bytes[..len]), Some(time));
                assert_eq!(len == 16, offset.is_some_and(|offset| offset % 60 != 0));
            }
        }
        assert!(GoTime { offset: Some(-60), ..GoTime::default() }.to_bytes().is_err());
        assert!(GoTime { seconds: i64::MAX, ..GoTime::default() }.to_bytes().is_err());
        assert_eq!(GoTime::from_bytes(&[1; 16]), None);
        assert_eq!(GoTime::from_bytes(&[3; 15]), None);
    }

    #[test]
    fn the_systems_time_before_and_after_1970() {
        for nanoseconds in [0, 1, 1_500_000_000] {
            for time in [
                UNIX_EPOCH + Duration::from_nanos(nanoseconds),
                UNIX_EPOCH - Duration::from_nanos(nanoseconds),
            ] {
                assert_eq!(GoTime::from(time).to_system_time(), Some(time));
            }
        }
    }
}
