//! How often what has gone wrong.

/// How often what has gone wrong in a simulation, so that a test can assert that it did.
///
/// ```
/// use netrpc::sim::Counts;
///
/// let mut all = Counts::default();
/// all += Counts { dropped: 3, cut: 1, ..Counts::default() };
/// assert_eq!(all.iter().find(|(name, _)| *name == "dropped"), Some(("dropped", 3)));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages that were lost; on streams, that had to be sent again by the system.
    pub dropped: u64,
    /// Messages that came twice.
    pub duplicated: u64,
    /// Messages that came late.
    pub delayed: u64,
    /// Messages that were to be overtaken.
    pub reordered: u64,
    /// Messages with a bit flipped.
    pub corrupted: u64,
    /// Connections that were cut.
    pub cut: u64,
    /// Connections that went silent in one direction.
    pub silenced: u64,
    /// Attempts to connect that were refused, by chance or because nobody listened.
    pub refused: u64,
    /// Messages that met a partition: lost, or on streams held until it was healed.
    pub partitioned: u64,
    /// Processes that were killed.
    pub killed: u64,
    /// Hosts whose power failed.
    pub power_lost: u64,
    /// Writes to a disk that a power failure undid, as if they had never been.
    pub writes_lost: u64,
    /// Writes to a disk of which a power failure left a part.
    pub writes_torn: u64,
}

impl Counts {
    /// All of them, with their names.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        [
            ("dropped", self.dropped),
            ("duplicated", self.duplicated),
            ("delayed", self.delayed),
            ("reordered", self.reordered),
            ("corrupted", self.corrupted),
            ("cut", self.cut),
            ("silenced", self.silenced),
            ("refused", self.refused),
            ("partitioned", self.partitioned),
            ("killed", self.killed),
            ("power_lost", self.power_lost),
            ("writes_lost", self.writes_lost),
            ("writes_torn", self.writes_torn),
        ]
        .into_iter()
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, more: Counts) {
        self.dropped += more.dropped;
        self.duplicated += more.duplicated;
        self.delayed += more.delayed;
        self.reordered += more.reordered;
        self.corrupted += more.corrupted;
        self.cut += more.cut;
        self.silenced += more.silenced;
        self.refused += more.refused;
        self.partitioned += more.partitioned;
        self.killed += more.killed;
        self.power_lost += more.power_lost;
        self.writes_lost += more.writes_lost;
        self.writes_torn += more.writes_torn;
    }
}

/// What has been sent to a host, and by it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Requests that arrived in netrpc's own protocol on connections. One that came twice counts twice.
    pub calls: u64,
    /// Bytes that arrived.
    pub bytes_in: u64,
    /// Bytes that were sent.
    pub bytes_out: u64,
}
