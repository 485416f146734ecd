//! Durations, counts and rates, as people read them.

use std::time::Duration;

/// How long a call took: `850 ns`, `1.2 µs`, `12 µs`, `3.4 ms`, `5.6 s`, `2 min`.
///
/// Two digits, or the whole number: percentiles are not more exact.
pub(super) fn latency(took: Duration) -> String {
    const UNITS: [(&str, f64); 4] = [("ns", 1.0), ("µs", 1e3), ("ms", 1e6), ("s", 1e9)];
    let nanos = took.as_nanos() as f64;
    for (unit, size) in UNITS {
        let amount = nanos / size;
        // What is rounded up to the next unit is shown in it.
        if amount < 999.5 && !(unit == "s" && amount >= 99.5) {
            let decimals = usize::from(unit != "ns" && amount < 9.95);
            return format!("{amount:.decimals$}\u{a0}{unit}");
        }
    }
    age(took)
}

/// How long something has been going on: `12 s`, `3 min 12 s`, `4 h 5 min`, `3 d 4 h`.
pub(super) fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let parts = match (days, hours, minutes) {
        (0, 0, 0) => [(seconds, "s"), (0, "")],
        (0, 0, _) => [(minutes, "min"), (seconds % 60, "s")],
        (0, _, _) => [(hours, "h"), (minutes % 60, "min")],
        _ => [(days, "d"), (hours % 24, "h")],
    };
    let [(large, unit), (small, small_unit)] = parts;
    match small {
        0 => format!("{large}\u{a0}{unit}"),
        _ => format!("{large}\u{a0}{unit} {small}\u{a0}{small_unit}"),
    }
}

/// How many: `1,234,567`, and from ten millions on `12.34 M`.
pub(super) fn count(n: u64) -> String {
    if n >= 10_000_000 {
        let (millions, hundredths) = (n / 1_000_000, n / 10_000 % 100);
        return format!("{}.{hundredths:02}\u{a0}M", count(millions));
    }
    let digits = n.to_string();
    let mut grouped = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// How many a second: `0`, `0.3`, `7.5`, `12`, `1,234`.
pub(super) fn rate(per_second: f64) -> String {
    if per_second >= 9.95 {
        count(per_second.round() as u64)
    } else if per_second >= 0.05 {
        format!("{per_second:.1}")
    } else if per_second > 0.0 {
        "<\u{2009}0.1".to_owned()
    } else {
        "0".to_owned()
    }
}

/// A part of a whole: `0 %`, `0.04 %`, `1.2 %`, `34 %`.
pub(super) fn share(part: u64, whole: u64) -> String {
    let percent = part as f64 / whole.max(1) as f64 * 100.0;
    match percent {
        0.0 => "0\u{a0}%".to_owned(),
        ..0.01 => "<\u{2009}0.01\u{a0}%".to_owned(),
        ..0.095 => format!("{percent:.2}\u{a0}%"),
        ..9.95 => format!("{percent:.1}\u{a0}%"),
        _ => format!("{percent:.0}\u{a0}%"),
    }
}

/// `1 call`, `2 calls`.
pub(super) fn counted(n: u64, what: &str) -> String {
    format!("{}\u{a0}{what}{}", count(n), if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> String {
        text.replace(['\u{a0}', '\u{2009}'], " ")
    }

    #[test]
    fn latencies_have_two_digits_and_a_unit() {
        for (nanos, shown) in [
            (0, "0 ns"),
            (850, "850 ns"),
            (999, "999 ns"),
            (1_000, "1.0 µs"),
            (1_240, "1.2 µs"),
            (9_960, "10 µs"),
            (124_000, "124 µs"),
            (999_600, "1.0 ms"),
            (3_400_000, "3.4 ms"),
            (5_600_000_000, "5.6 s"),
            (99_600_000_000, "1 min 39 s"),
            (7_200_000_000_000, "2 h"),
        ] {
            assert_eq!(plain(&latency(Duration::from_nanos(nanos))), shown, "{nanos}");
        }
    }

    #[test]
    fn ages_have_their_two_largest_units() {
        for (seconds, shown) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (192, "3 min 12 s"),
            (3_600, "1 h"),
            (14_700, "4 h 5 min"),
            (273_600, "3 d 4 h"),
        ] {
            assert_eq!(plain(&age(Duration::from_secs(seconds))), shown);
        }
    }

    #[test]
    fn counts_are_grouped_and_small_rates_have_a_decimal() {
        let counts = [0, 999, 1000, 9_999_999, 12_345_678, 7_000_000_000].map(count);
        let shown = ["0", "999", "1,000", "9,999,999", "12.34 M", "7,000.00 M"];
        assert_eq!(counts.map(|count| plain(&count)), shown);
        let rates = [0.0, 0.01, 0.31, 7.49, 9.96, 1234.4].map(rate);
        assert_eq!(rates.map(|rate| plain(&rate)), ["0", "< 0.1", "0.3", "7.5", "10", "1,234"]);
        assert_eq!(
            [counted(1, "call"), counted(2, "call")].map(|n| plain(&n)),
            ["1 call", "2 calls"]
        );
    }

    #[test]
    fn a_share_that_is_not_nothing_is_not_shown_as_nothing() {
        let shares = [(0, 0), (0, 9), (1, 1_000_000), (4, 10_000), (12, 1000), (1, 3), (5, 5)];
        let shown = ["0 %", "0 %", "< 0.01 %", "0.04 %", "1.2 %", "33 %", "100 %"];
        assert_eq!(shares.map(|(part, whole)| plain(&share(part, whole))), shown);
    }
}
