//! What goes wrong on the way from one host to another.

use std::{ops::Range, time::Duration};

/// What goes wrong on the way from one host to another, and how long the way takes.
///
/// Each `probability` is from 0.0 (never, which is what is set) to 1.0, and counts for one *message*: a
/// datagram, what a connection is given to send at once, or, on connections
/// [by message](Self::by_message), a request or an answer. A stream keeps its promise that what arrives
/// arrives once and in order, so some faults are others there:
///
/// | | on a stream | a datagram, or a message of a connection by message |
/// |---|---|---|
/// | [`drop`](Self::drop) | is sent again by the system: comes 200 ms later, or 400, 800, … | is lost |
/// | [`duplicate`](Self::duplicate) | – | comes twice |
/// | [`delay`](Self::delay) | holds up everything behind it | comes late |
/// | [`reorder`](Self::reorder) | – | is overtaken by some that follow |
/// | [`corrupt`](Self::corrupt) | a bit is flipped | a bit is flipped |
/// | [`cut`](Self::cut) | arrives in part, then both ends see a reset | the same |
/// | [`silence`](Self::silence) | nothing arrives any more, and nobody is told | the same |
///
/// ```
/// use std::time::Duration;
///
/// use netrpc::sim::Faults;
///
/// let millis = Duration::from_millis;
/// let bad_day = Faults::new()
///     .latency(millis(5)..millis(50))
///     .delay(0.05, millis(100)..millis(2000))
///     .cut(0.01);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use = "give it to `Network::set_faults` or `Network::set_faults_between`"]
pub struct Faults {
    pub(super) latency: Range<Duration>,
    pub(super) drop: f64,
    pub(super) duplicate: f64,
    pub(super) delay: (f64, Range<Duration>),
    pub(super) reorder: f64,
    pub(super) corrupt: f64,
    pub(super) cut: f64,
    pub(super) silence: f64,
    pub(super) refuse: f64,
    pub(super) by_message: bool,
}

impl Faults {
    /// None: everything arrives within 1 to 5 ms.
    pub fn new() -> Self {
        let millis = Duration::from_millis;
        Faults {
            latency: millis(1)..millis(6),
            drop: 0.0,
            duplicate: 0.0,
            delay: (0.0, millis(0)..millis(0)),
            reorder: 0.0,
            corrupt: 0.0,
            cut: 0.0,
            silence: 0.0,
            refuse: 0.0,
            by_message: false,
        }
    }

    /// A network that the labs of MIT's course 6.5840 call *unreliable*: each request and each answer takes up
    /// to 26 ms and is lost with a probability of 0.1. [By message](Self::by_message).
    pub fn unreliable() -> Self {
        let millis = Duration::from_millis;
        Self::new().by_message(true).latency(millis(1)..millis(27)).drop(0.1)
    }

    /// What those labs call *long reordering*, to be set for the way back from servers: two of three answers take
    /// 200 ms to 2.4 s more than they would.
    pub fn long_reordering(self) -> Self {
        let millis = Duration::from_millis;
        self.by_message(true).delay(2.0 / 3.0, millis(200)..millis(2400))
    }

    /// How long the way takes, where nothing goes wrong; whole milliseconds, at least 1.
    ///
    /// The shortest of all links is also the step in which the hosts' clocks advance, so that a long one makes a
    /// simulation quick.
    pub fn latency(mut self, range: Range<Duration>) -> Self {
        self.latency = range;
        self
    }

    /// A message is lost.
    pub fn drop(mut self, probability: f64) -> Self {
        self.drop = probability;
        self
    }

    /// A message comes twice.
    pub fn duplicate(mut self, probability: f64) -> Self {
        self.duplicate = probability;
        self
    }

    /// A message takes a time in `range` longer.
    pub fn delay(mut self, probability: f64, range: Range<Duration>) -> Self {
        self.delay = (probability, range);
        self
    }

    /// A message is overtaken by some of those that follow within 100 ms.
    pub fn reorder(mut self, probability: f64) -> Self {
        self.reorder = probability;
        self
    }

    /// A bit of a message is flipped.
    pub fn corrupt(mut self, probability: f64) -> Self {
        self.corrupt = probability;
        self
    }

    /// A connection ends in the middle of a message.
    pub fn cut(mut self, probability: f64) -> Self {
        self.cut = probability;
        self
    }

    /// From a message on nothing of a connection arrives in this direction, and neither end is told.
    pub fn silence(mut self, probability: f64) -> Self {
        self.silence = probability;
        self
    }

    /// An attempt to connect is refused.
    pub fn refuse(mut self, probability: f64) -> Self {
        self.refuse = probability;
        self
    }

    /// Whether connections that are made from now on are taken apart into requests and answers, each of which
    /// takes its own way, as in the labs of MIT's course 6.5840. Only netrpc's own protocol can be; pings,
    /// cancellations and the like are not lost.
    ///
    /// No network does that to TCP. It is the harder test of a protocol between hosts: connections stay, and any
    /// one call is lost. A call whose request or answer is lost ends when its time is over: give it one.
    pub fn by_message(mut self, by_message: bool) -> Self {
        self.by_message = by_message;
        self
    }
}

impl Default for Faults {
    fn default() -> Self {
        Self::new()
    }
}
