//! The page as HTML: readable without its script, which only keeps it up to date.
//!
//! Everything is one document, and nothing is fetched from elsewhere. What comes from the program
//! (names, types, documentation) goes through [`Text`].

use std::{cmp::Reverse, fmt, fmt::Write as _, time::Duration};

use netrpc_core::service::Latency;

use super::{
    report::{MethodReport, Report, ServiceReport, Total},
    units,
};

/// How it looks. `POLICY` names the hash of it.
const STYLE: &str = include_str!("page.css");

/// What keeps it up to date. `POLICY` names the hash of it.
const SCRIPT: &str = include_str!("page.js");

/// What the page may do: apply its own style, run its own script, and fetch itself.
///
/// The hashes are those of `page.css` and `page.js`; a test says what they are to be.
pub(super) const POLICY: &str = "default-src 'none'; \
    style-src 'sha256-nSiJjqWVBtueQOBwQh6V6i+dosZjFyLH+V9CDEw26EU='; \
    script-src 'sha256-sCgbE4HSm0Hv+5HavbBYPp2+vVb8pEDZ8ypEnuEpBS8='; \
    connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Three bars, two long and one short.
const ICON: &str = "data:image/svg+xml,\
    %3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E\
    %3Crect width='16' height='16' rx='4' fill='%230b5cad'/%3E\
    %3Cpath d='M4 4.5h8M4 8h5M4 11.5h6.5' stroke='white' stroke-width='1.8' \
    stroke-linecap='round'/%3E\
    %3C/svg%3E";

/// What the methods of a service are sorted by, and whether the other way round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sort {
    column: Column,
    reversed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Column {
    #[default]
    Method,
    Calls,
    Rate,
    Errors,
    InFlight,
    P50,
    P90,
    P99,
    Max,
}

impl Column {
    const ALL: [Column; 9] = [
        Column::Method,
        Column::Calls,
        Column::Rate,
        Column::Errors,
        Column::InFlight,
        Column::P50,
        Column::P90,
        Column::P99,
        Column::Max,
    ];

    /// In the address.
    fn key(self) -> &'static str {
        match self {
            Column::Method => "method",
            Column::Calls => "calls",
            Column::Rate => "rate",
            Column::Errors => "errors",
            Column::InFlight => "in-flight",
            Column::P50 => "p50",
            Column::P90 => "p90",
            Column::P99 => "p99",
            Column::Max => "max",
        }
    }

    /// On the page.
    fn label(self) -> &'static str {
        match self {
            Column::Method => "Method",
            Column::Calls => "Calls",
            Column::Rate => "Calls/s",
            Column::Errors => "Errors",
            Column::InFlight => "In flight",
            Column::P50 => "p50",
            Column::P90 => "p90",
            Column::P99 => "p99",
            Column::Max => "max",
        }
    }

    fn explanation(self) -> &'static str {
        match self {
            Column::Method => "The name it is called by, its types, what it does",
            Column::Calls => "How many calls have ended, well or not",
            Column::Rate => "Calls that ended in the last second, or since the last look",
            Column::Errors => "How many calls ended in an error",
            Column::InFlight => "How many calls have begun and not ended",
            Column::P50 => "Half of the calls took no longer",
            Column::P90 => "Nine of ten calls took no longer",
            Column::P99 => "Ninety-nine of a hundred calls took no longer",
            Column::Max => "The longest call",
        }
    }
}

impl Sort {
    /// From the address: a column's key, with a minus in front for the other way round.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (key, reversed) = match text.strip_prefix('-') {
            Some(key) => (key, true),
            None => (text, false),
        };
        let column = Column::ALL.into_iter().find(|column| column.key() == key)?;
        Some(Sort { column, reversed })
    }

    /// Names from A to Z, and what is most first.
    fn sort(self, methods: &mut [&MethodReport]) {
        let latency = |of: fn(&Latency) -> Duration| {
            move |method: &MethodReport| method.latency.as_ref().map(of)
        };
        let by = |methods: &mut [&MethodReport], of: &dyn Fn(&MethodReport) -> Option<Duration>| {
            methods.sort_by_key(|method| Reverse(of(method)));
        };
        match self.column {
            Column::Method => methods.sort_by(|a, b| a.name.cmp(&b.name)),
            Column::Calls => methods.sort_by_key(|method| Reverse(method.calls)),
            Column::Rate => methods.sort_by(|a, b| {
                let rate = |method: &MethodReport| method.calls_per_second.unwrap_or(0.0);
                rate(b).total_cmp(&rate(a))
            }),
            Column::Errors => methods.sort_by_key(|method| Reverse(method.errors.total)),
            Column::InFlight => methods.sort_by_key(|method| Reverse(method.in_flight)),
            Column::P50 => by(methods, &latency(|latency| latency.p50)),
            Column::P90 => by(methods, &latency(|latency| latency.p90)),
            Column::P99 => by(methods, &latency(|latency| latency.p99)),
            Column::Max => by(methods, &latency(|latency| latency.max)),
        }
        if self.reversed {
            methods.reverse();
        }
    }
}

/// The whole document.
pub(super) fn page(report: &Report, sort: Sort) -> String {
    let mut page = String::with_capacity(32 * 1024);
    // A `String` takes everything that is written to it.
    let _ = write_page(&mut page, report, sort);
    page
}

fn write_page(out: &mut String, report: &Report, sort: Sort) -> fmt::Result {
    let title = Text(&report.title);
    write!(
        out,
        "<!doctype html>\n\
         <html lang=\"en\">\n\
         <head>\n\
         <meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title} · netrpc</title>\n\
         <link rel=\"icon\" href=\"{ICON}\">\n\
         <noscript><meta http-equiv=\"refresh\" content=\"5\"></noscript>\n\
         <style>{STYLE}</style>\n\
         </head>\n\
         <body>\n\
         <header>\n\
         <div>\n\
         <h1><bdi>{title}</bdi></h1>\n\
         <p id=\"since\">up {up} {counting}<span class=\"dot\">·</span> netrpc {version}</p>\n\
         </div>\n\
         <button id=\"live\" type=\"button\" hidden></button>\n\
         </header>\n\
         <main>\n",
        up = units::age(report.uptime),
        counting = counting(report),
        version = report.netrpc,
    )?;
    write_summary(out, report)?;
    out.write_str("<div id=\"services\">\n")?;
    if report.services.is_empty() {
        out.write_str(
            "<div class=\"empty\">\n\
             <h2>No services yet</h2>\n\
             <p>What is registered with <code>server.register(…)</code> appears here.</p>\n\
             </div>\n",
        )?;
    } else {
        write_table(out, report, sort)?;
    }
    write!(
        out,
        "</div>\n\
         </main>\n\
         <footer>\n\
         <p>A call’s time is from where the server takes it up to where its answer is ready. \
         Percentiles are at most 3.2 % off. <span class=\"graph\">On the scale, the ring is p50, \
         the strong line ends at p90, the pale one at p99, and the stroke is the longest \
         call.</span></p>\n\
         <p><a href=\"?format=json\">The same as JSON</a></p>\n\
         </footer>\n\
         <script>{SCRIPT}</script>\n\
         </body>\n\
         </html>\n"
    )
}

/// For how long calls have been counted, if that is not for as long as there is a server.
fn counting(report: &Report) -> String {
    if report.uptime.saturating_sub(report.counting) < Duration::from_secs(2) {
        return String::new();
    }
    let counting = units::age(report.counting);
    format!("<span class=\"dot\">·</span> calls counted for {counting} ")
}

fn write_summary(out: &mut String, report: &Report) -> fmt::Result {
    let total = report.total();
    let rate = total.per_second.map_or_else(|| "–".to_owned(), units::rate);
    let failed = if total.errors > 0 { " class=\"bad\"" } else { "" };
    write!(
        out,
        "<dl id=\"summary\">\n\
         <div class=\"wide\"><dt>Calls/s</dt><dd>{rate}</dd><dd class=\"more\">{spark}</dd></div>\n\
         <div><dt>Calls</dt><dd>{calls}</dd></div>\n\
         <div><dt>Errors</dt><dd{failed}>{errors}</dd><dd class=\"more\">{share}</dd></div>\n\
         <div><dt>In flight</dt><dd>{in_flight}</dd></div>\n\
         <div><dt>Connections</dt><dd>{connections}</dd></div>\n\
         </dl>\n",
        spark = Spark { of: "", rate: total.per_second },
        calls = units::count(total.calls),
        errors = units::count(total.errors),
        share =
            if total.errors > 0 { units::share(total.errors, total.calls) } else { String::new() },
        in_flight = units::count(total.in_flight),
        connections = units::count(report.connections as u64),
    )
}

// The roles say what the elements say already, because a narrow window lays them out as cards, and
// some browsers then no longer take a table for one.
fn write_table(out: &mut String, report: &Report, sort: Sort) -> fmt::Result {
    let scale = Scale::of(report);
    let total = report.total();
    if total.calls + total.in_flight == 0 {
        out.write_str("<p class=\"hint\">No calls yet.</p>\n")?;
    }
    out.write_str("<table role=\"table\">\n<caption>Methods by service</caption>\n<colgroup>")?;
    for class in ["method", "calls", "rate", "errors", "flight", "graph", "p", "p", "p", "p"] {
        write!(out, "<col class=\"c-{class}\">")?;
    }
    out.write_str("</colgroup>\n<thead role=\"rowgroup\">\n<tr role=\"row\">\n")?;
    for column in Column::ALL {
        if column == Column::P50 {
            let axis = Axis(&scale);
            writeln!(
                out,
                "<th role=\"columnheader\" scope=\"col\" class=\"graph\">\
                 <span class=\"unseen\">Latency, on a logarithmic scale</span>{axis}</th>"
            )?;
        }
        write_heading(out, column, sort)?;
    }
    out.write_str("</tr>\n</thead>\n")?;
    for service in &report.services {
        write_service(out, service, sort, &scale)?;
    }
    out.write_str("</table>\n")
}

fn write_heading(out: &mut String, column: Column, sort: Sort) -> fmt::Result {
    let sorted = sort.column == column;
    // Once more on the same column is the other way round.
    let minus = if sorted && !sort.reversed { "-" } else { "" };
    let order = match (sorted, (column == Column::Method) != sort.reversed) {
        (false, _) => "",
        (true, true) => " aria-sort=\"ascending\"",
        (true, false) => " aria-sort=\"descending\"",
    };
    writeln!(
        out,
        "<th role=\"columnheader\" scope=\"col\" class=\"{class}\"{order}>\
         <a href=\"?sort={minus}{key}\" title=\"{explanation}\">{label}</a></th>",
        class = if column == Column::Method { "method" } else { "number" },
        key = column.key(),
        explanation = column.explanation(),
        label = column.label(),
    )
}

fn write_service(
    out: &mut String,
    service: &ServiceReport,
    sort: Sort,
    scale: &Scale,
) -> fmt::Result {
    let total = Total::of(&service.methods);
    writeln!(
        out,
        "<tbody role=\"rowgroup\">\n\
         <tr role=\"row\" class=\"service\">\
         <th role=\"rowheader\" scope=\"rowgroup\" colspan=\"10\">\
         <h2><bdi>{name}</bdi></h2> <span>{methods}, {calls}</span></th></tr>",
        name = Text(&service.name),
        methods = units::counted(total.methods as u64, "method"),
        calls = units::counted(total.calls, "call"),
    )?;
    let mut methods: Vec<_> = service.methods.iter().collect();
    sort.sort(&mut methods);
    for method in methods {
        write_method(out, method, scale)?;
    }
    out.write_str("</tbody>\n")
}

fn write_method(out: &mut String, method: &MethodReport, scale: &Scale) -> fmt::Result {
    let quiet = if method.calls + method.in_flight == 0 { " class=\"quiet\"" } else { "" };
    write!(
        out,
        "<tr role=\"row\"{quiet}>\n<th role=\"rowheader\" scope=\"row\" class=\"method\">"
    )?;
    write_name(out, method)?;
    out.write_str("</th>\n")?;

    let rate = method.calls_per_second.map_or_else(|| "–".to_owned(), units::rate);
    let spark = Spark { of: &method.name, rate: method.calls_per_second };
    cell(out, Column::Calls, "", &units::count(method.calls), "")?;
    cell(out, Column::Rate, " rate", &rate, &spark.to_string())?;
    let failed = if method.errors.total > 0 { " bad" } else { " zero" };
    cell(out, Column::Errors, failed, &units::count(method.errors.total), &errors(method))?;
    let flying = if method.in_flight > 0 { "" } else { " zero" };
    cell(out, Column::InFlight, flying, &units::count(method.in_flight), "")?;

    let bar = method.latency.as_ref().map(|latency| Bar { scale, latency }.to_string());
    writeln!(out, "<td role=\"cell\" class=\"graph\">{}</td>", bar.unwrap_or_default())?;
    for (column, of) in [
        (Column::P50, (|latency| latency.p50) as fn(&Latency) -> Duration),
        (Column::P90, |latency| latency.p90),
        (Column::P99, |latency| latency.p99),
        (Column::Max, |latency| latency.max),
    ] {
        match &method.latency {
            Some(latency) => cell(out, column, "", &units::latency(of(latency)), "")?,
            None => cell(out, column, " zero", "–", "")?,
        }
    }
    out.write_str("</tr>\n")
}

fn write_name(out: &mut String, method: &MethodReport) -> fmt::Result {
    let (service, name) = method.parts();
    write!(
        out,
        "<span class=\"name\"><bdi class=\"of\">{}</bdi><wbr><b><bdi>{}</bdi></b></span>",
        Text(service),
        Text(name)
    )?;
    if method.on_pool {
        out.write_str(
            " <span class=\"tag\" title=\"It blocks its thread, or was seen doing so: it runs on the \
             thread pool\">pool</span>",
        )?;
    }
    let (arguments, reply) = (&*method.arguments, &*method.reply);
    if !(arguments.is_empty() && reply.is_empty()) {
        // The parentheses of a tuple or `()` are those of the call.
        let (open, close) = if arguments.starts_with('(') { ("", "") } else { ("(", ")") };
        write!(
            out,
            "<bdi class=\"types\" title=\"{} → {}\">{open}{}{close} <span>→</span> {}</bdi>",
            Text(method.types.0),
            Text(method.types.1),
            Text(arguments),
            Text(reply),
        )?;
    }
    // Every method answers to its Rust name too; that is not worth a line.
    let same = |alias: &str| alias.replace('_', "").eq_ignore_ascii_case(name);
    let mut aliases = method.aliases.iter().filter(|alias| !same(alias)).enumerate().peekable();
    if aliases.peek().is_some() {
        out.write_str("<span class=\"aliases\">also ")?;
        for (i, alias) in aliases {
            let comma = if i > 0 { ", " } else { "" };
            write!(out, "{comma}<bdi>{}</bdi>", Text(alias))?;
        }
        out.write_str("</span>")?;
    }
    if !method.doc.is_empty() {
        write!(out, "<bdi class=\"doc\">{}</bdi>", Doc(&method.doc))?;
    }
    Ok(())
}

fn cell(out: &mut String, column: Column, class: &str, value: &str, more: &str) -> fmt::Result {
    writeln!(
        out,
        "<td role=\"cell\" class=\"number{class}\" data-label=\"{label}\">\
         <span>{value}</span>{more}</td>",
        label = column.label(),
    )
}

/// What kinds of errors there were, if it is not clear.
fn errors(method: &MethodReport) -> String {
    let errors = &method.errors;
    if errors.total == 0 {
        return String::new();
    }
    let share = units::share(errors.total, method.calls);
    let mut text = format!("<small>{share}</small>");
    for (n, what, class) in [
        (errors.panics, if errors.panics == 1 { "panic" } else { "panics" }, " class=\"worst\""),
        (errors.given_up, "given\u{a0}up", ""),
        (errors.other, "other", ""),
    ] {
        if n > 0 {
            let _ = write!(text, "<small{class}>{}\u{a0}{what}</small>", units::count(n));
        }
    }
    text
}

/// The rates of a method lately; the script draws it, from what it has seen.
struct Spark<'a> {
    of: &'a str,
    rate: Option<f64>,
}

impl fmt::Display for Spark<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<svg class=\"spark\" aria-hidden=\"true\" viewBox=\"0 0 59 16\" ")?;
        write!(f, "preserveAspectRatio=\"none\" data-of=\"{}\"", Text(self.of))?;
        if let Some(rate) = self.rate {
            write!(f, " data-rate=\"{rate:.3}\"")?;
        }
        f.write_str("><path class=\"area\"/><path class=\"line\"/></svg>")
    }
}

/// The logarithmic scale that all latencies are drawn on: from one power of ten to another, in
/// nanoseconds.
struct Scale {
    from: i32,
    to: i32,
}

impl Scale {
    /// As much as there is to show, and four powers at least, so that a unit's name is among them.
    fn of(report: &Report) -> Self {
        let latencies = || report.methods().filter_map(|method| method.latency.as_ref());
        let power = |duration: Duration| (duration.as_nanos().max(1) as f64).log10();
        let shortest = latencies().map(|latency| power(latency.p50)).reduce(f64::min);
        let longest = latencies().map(|latency| power(latency.max)).reduce(f64::max);
        let from = shortest.map_or(3, |power| power.floor() as i32);
        let to = longest.map_or(6, |power| power.ceil() as i32).max(from + 4);
        Scale { from, to }
    }

    /// Where a duration is, in percent of the width.
    fn at(&self, duration: Duration) -> f64 {
        let power = (duration.as_nanos().max(1) as f64).log10();
        let part = (power - f64::from(self.from)) / f64::from(self.to - self.from);
        (part * 100.0).clamp(0.0, 100.0)
    }

    /// Every power of ten, and where it is.
    fn ticks(&self) -> impl Iterator<Item = (i32, f64)> {
        let width = f64::from(self.to - self.from);
        (self.from..=self.to)
            .map(move |power| (power, f64::from(power - self.from) / width * 100.0))
    }
}

/// The scale's names.
struct Axis<'a>(&'a Scale);

impl fmt::Display for Axis<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<svg class=\"axis\" aria-hidden=\"true\">")?;
        for (power, x) in self.0.ticks() {
            let label = match power {
                0 => "1 ns",
                3 => "1 µs",
                6 => "1 ms",
                9 => "1 s",
                12 => "1000 s",
                _ => continue,
            };
            let anchor = match x {
                ..5.0 => "start",
                95.0.. => "end",
                _ => "middle",
            };
            write!(f, "<text x=\"{x:.2}%\" y=\"15\" text-anchor=\"{anchor}\">{label}</text>")?;
        }
        f.write_str("</svg>")
    }
}

/// One method's latencies: a ring at the median, a strong line to p90, a pale one to p99, a stroke at
/// the longest.
struct Bar<'a> {
    scale: &'a Scale,
    latency: &'a Latency,
}

impl fmt::Display for Bar<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Latency { p50, p90, p99, max, .. } = *self.latency;
        let [p50, p90, p99, max] = [p50, p90, p99, max].map(|duration| self.scale.at(duration));
        f.write_str("<svg class=\"bar\" aria-hidden=\"true\">")?;
        for (_, x) in self.scale.ticks() {
            write!(f, "<line class=\"tick\" x1=\"{x:.2}%\" x2=\"{x:.2}%\" y1=\"0\" y2=\"100%\"/>")?;
        }
        write!(
            f,
            "<line class=\"p99\" x1=\"{p50:.2}%\" x2=\"{p99:.2}%\" y1=\"50%\" y2=\"50%\"/>\
             <line class=\"p90\" x1=\"{p50:.2}%\" x2=\"{p90:.2}%\" y1=\"50%\" y2=\"50%\"/>\
             <circle class=\"p50\" cx=\"{p50:.2}%\" cy=\"50%\" r=\"4.5\"/>\
             <line class=\"max\" x1=\"{max:.2}%\" x2=\"{max:.2}%\" y1=\"30%\" y2=\"70%\"/>\
             </svg>"
        )
    }
}

/// Text, as HTML: also within quotes.
struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some(at) = rest.find(['&', '<', '>', '"', '\'']) {
            f.write_str(&rest[..at])?;
            f.write_str(match rest.as_bytes()[at] {
                b'&' => "&amp;",
                b'<' => "&lt;",
                b'>' => "&gt;",
                b'"' => "&quot;",
                _ => "&#39;",
            })?;
            rest = &rest[at + 1..];
        }
        f.write_str(rest)
    }
}

/// A line of documentation: what is between backticks is code, and a link is its text.
struct Doc<'a>(&'a str);

impl fmt::Display for Doc<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let doc = self.0.replace("[`", "`").replace("`]", "`");
        let parts: Vec<_> = doc.split('`').collect();
        // Backticks that do not go together are left as they are.
        if parts.len() % 2 == 0 {
            return Text(&doc).fmt(f);
        }
        for (i, part) in parts.iter().enumerate() {
            if i % 2 == 0 {
                Text(part).fmt(f)?;
            } else {
                write!(f, "<code>{}</code>", Text(part))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_code_is_marked() {
        assert_eq!(Text("a<b>&\"'ü").to_string(), "a&lt;b&gt;&amp;&quot;&#39;ü");
        assert_eq!(
            Doc("see [`A<B>`] & `c`").to_string(),
            "see <code>A&lt;B&gt;</code> &amp; <code>c</code>"
        );
        assert_eq!(Doc("one ` only <").to_string(), "one ` only &lt;");
    }

    #[test]
    fn every_column_is_sorted_by_its_key() {
        for column in Column::ALL {
            for reversed in [false, true] {
                let key = format!("{}{}", if reversed { "-" } else { "" }, column.key());
                assert_eq!(Sort::parse(&key), Some(Sort { column, reversed }));
            }
        }
        assert_eq!(Sort::parse("name"), None);
        assert_eq!(Sort::parse("--calls"), None);
    }

    #[test]
    fn names_come_from_a_and_numbers_from_the_largest() {
        let [a, b, c] = [("A", 2, None), ("B", 9, Some(1.5)), ("C", 1, Some(0.5))].map(
            |(name, calls, calls_per_second)| MethodReport {
                name: name.to_owned(),
                aliases: &[],
                doc: String::new(),
                arguments: String::new(),
                reply: String::new(),
                types: ("", ""),
                on_pool: false,
                calls,
                calls_per_second,
                errors: Default::default(),
                in_flight: 0,
                latency: None,
            },
        );
        let sorted = |key| {
            let mut methods = vec![&b, &c, &a];
            Sort::parse(key).unwrap().sort(&mut methods);
            methods.into_iter().map(|method| &*method.name).collect::<String>()
        };
        let keys = ["method", "-method", "calls", "-calls", "rate", "p50"];
        assert_eq!(keys.map(sorted), ["ABC", "CBA", "BAC", "CAB", "BCA", "BCA"]);
    }

    #[test]
    fn the_scale_holds_what_is_drawn_on_it() {
        let scale = Scale { from: 3, to: 7 };
        let at = [0, 1_000, 10_000, 10_000_000, u64::MAX].map(Duration::from_nanos);
        assert_eq!(at.map(|duration| scale.at(duration).round()), [0.0, 0.0, 25.0, 100.0, 100.0]);
    }
}
