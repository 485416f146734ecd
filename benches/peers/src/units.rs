//! Figures with their units.

/// `348k/s`.
pub fn rate(per_second: f64) -> String {
    format!("{}/s", scaled(per_second))
}

/// `12.5 µs`.
pub fn time(seconds: f64) -> String {
    match seconds {
        s if s < 1e-3 => format!("{} µs", digits(s * 1e6)),
        s if s < 1.0 => format!("{} ms", digits(s * 1e3)),
        s => format!("{} s", digits(s)),
    }
}

/// `2.10 s`.
pub fn seconds(seconds: f64) -> String {
    format!("{} s", digits(seconds))
}

/// `6.0 KiB`.
pub fn memory(bytes: f64) -> String {
    format!("{} KiB", digits(bytes / 1024.0))
}

/// `3.2 GiB/s`.
pub fn throughput(bytes_per_second: f64) -> String {
    const MIB: f64 = (1 << 20) as f64;
    match bytes_per_second / MIB {
        mib if mib < 1024.0 => format!("{} MiB/s", digits(mib)),
        mib => format!("{} GiB/s", digits(mib / 1024.0)),
    }
}

fn scaled(figure: f64) -> String {
    match figure {
        f if f < 1e3 => digits(f),
        f if f < 1e6 => format!("{}k", digits(f / 1e3)),
        f => format!("{}M", digits(f / 1e6)),
    }
}

/// Three significant digits, as far as they stand behind the point.
pub fn digits(figure: f64) -> String {
    match figure.abs() {
        f if f < 9.995 => format!("{figure:.2}"),
        f if f < 99.95 => format!("{figure:.1}"),
        _ => format!("{figure:.0}"),
    }
}
