//! A client's calls within a session: numbered without gaps, and acknowledged in order.
//!
//! Calling contract: [`begin`](Series::begin) a call, [`stamp`](Series::stamp) it whenever it is
//! sent, tell what its answers say ([`heard`](Series::heard)), and [`settle`](Series::settle) it
//! once its outcome is consumed for good: for a client with a log, once the log says so durably.
//! Giving a call up is settling it too, and becomes definitive when the server confirms it.
//!
//! ```text
//!        confirmed       ack                    next
//!  ──────────┼────────────┼──────────────────────┼──────────▶ seq
//!  forgotten │  settled   │ settled or not       │ not begun
//!            └──────────── at most `window` ─────┘
//! ```
//!
//! An acknowledgement rides on the next call. Alone it travels only after a second without one, when
//! it is half a window ahead of what was sent, or when the client parts.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{
    Domain, Epoch, Fingerprint, Incarnation, Secret, Semantics, SessionId, Stamp, Standing, Xid,
};

/// A session as the server grants it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grant {
    /// Where it is known.
    pub domain: Domain,
    /// The server's life.
    pub epoch: Epoch,
    /// Its number.
    pub session: SessionId,
    /// How often it was resumed.
    pub incarnation: Incarnation,
    /// What its owner proves with.
    pub secret: Secret,
    /// Whether the ledger survives the server.
    pub is_durable: bool,
    /// How many calls beyond the floor the server keeps apart.
    pub window: u32,
    /// How long the session lives without traffic.
    pub lease: Duration,
    /// Calls up to this one are forgotten.
    pub floor: u64,
}

/// When a series speaks up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SeriesLimits {
    /// How long an acknowledgement waits for a call to ride on.
    pub ack_idle: Duration,
    /// No call begins so shortly before the session may end, nor in the last quarter of its life.
    pub lease_margin: Duration,
}

impl Default for SeriesLimits {
    fn default() -> Self {
        SeriesLimits { ack_idle: Duration::from_secs(1), lease_margin: Duration::from_secs(60) }
    }
}

/// Why no call can begin now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotNow {
    /// The server would not keep it apart: earlier calls have to be settled, and that confirmed.
    Window,
    /// The session may end before the call does: another is to be opened.
    LeaseEnds,
}

/// The calls of a session, seen from its client.
#[derive(Debug)]
pub struct Series {
    limits: SeriesLimits,
    grant: Grant,
    /// The next call's number.
    next: u64,
    /// All calls up to this one are settled. `confirmed <= ack < next`
    ack: u64,
    /// Whether the calls from `ack + 1` to `next - 1` are settled; the first is not.
    settled: VecDeque<bool>,
    /// The highest floor that the server has confirmed.
    confirmed: u64,
    /// The highest ack that has left on this connection.
    sent_ack: u64,
    /// When something that carries an ack left last.
    spoke: Instant,
    /// When the server may forget the session, by a careful estimate.
    lease_end: Instant,
}

impl Series {
    /// A session that has just been granted, with no call yet. It was asked for at `asked`.
    pub fn new(asked: Instant, grant: Grant, limits: SeriesLimits) -> Self {
        Self::resume(asked, grant, limits, [])
    }

    /// A session that was resumed after a crash, with the calls that are not settled yet, in order.
    pub fn resume(
        asked: Instant,
        grant: Grant,
        limits: SeriesLimits,
        unsettled: impl IntoIterator<Item = u64>,
    ) -> Self {
        let mut series = Series {
            limits,
            grant,
            next: grant.floor + 1,
            ack: grant.floor,
            settled: VecDeque::new(),
            confirmed: grant.floor,
            sent_ack: grant.floor,
            spoke: asked,
            lease_end: asked + grant.lease,
        };
        for seq in unsettled {
            // One that the server has forgotten was settled before the crash.
            if series.next <= seq {
                series.skip_to(seq - 1);
                series.settled.push_back(false);
                series.next += 1;
            }
        }
        series
    }

    /// Gives no number up to `seq` again: they are known to have been given, and settled.
    pub fn skip_to(&mut self, seq: u64) {
        while self.next <= seq {
            self.settled.push_back(true);
            self.next += 1;
        }
        self.advance();
    }

    /// The last number that was given.
    pub fn begun(&self) -> u64 {
        self.next - 1
    }

    /// The session, as it was granted last.
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// Begins a call and gives its number. Each number that is given must be settled some time, also
    /// if the call never leaves.
    ///
    /// # Errors
    /// If it has to wait, or another session is needed.
    pub fn begin(&mut self, now: Instant) -> Result<Xid, NotNow> {
        if self.is_ending(now) {
            return Err(NotNow::LeaseEnds);
        }
        if self.next > self.confirmed + u64::from(self.grant.window) {
            return Err(NotNow::Window);
        }
        let seq = self.next;
        self.next += 1;
        self.settled.push_back(false);
        Ok(self.xid(seq))
    }

    /// Whether no call begins any more, because the session may end.
    pub fn is_ending(&self, now: Instant) -> bool {
        // A session that lives for less than the margin is of use too.
        let margin = self.limits.lease_margin.min(self.grant.lease / 4);
        now + margin >= self.lease_end
    }

    /// A call's identity by its number.
    pub fn xid(&self, seq: u64) -> Xid {
        Xid { domain: self.grant.domain, session: self.grant.session, seq }
    }

    /// What call `seq` carries when it is sent now, for the `attempt`th time.
    pub fn stamp(
        &mut self,
        now: Instant,
        seq: u64,
        attempt: u16,
        semantics: Semantics,
        fingerprint: Fingerprint,
    ) -> Stamp {
        // A call that is sent again does not acknowledge itself.
        let ack = self.ack.min(seq.saturating_sub(1));
        self.spoke = now;
        self.sent_ack = self.sent_ack.max(ack);
        let stamp = Stamp {
            xid: self.xid(seq),
            epoch: self.grant.epoch,
            incarnation: self.grant.incarnation,
            ack,
            attempt,
            semantics,
            fingerprint,
            proof: 0,
        };
        stamp.proved(&self.grant.secret)
    }

    /// Calls up to this one are settled, and the server has confirmed that.
    pub fn confirmed(&self) -> u64 {
        self.confirmed
    }

    /// How many calls have begun of which the server has not confirmed that they are settled.
    pub fn unconfirmed(&self) -> u64 {
        self.next - 1 - self.confirmed
    }

    /// Nobody will ask about call `seq` any more: its outcome is consumed, or it is given up.
    pub fn settle(&mut self, seq: u64) {
        let Some(index) = seq.checked_sub(self.ack + 1) else { return };
        if let Some(settled) = usize::try_from(index).ok().and_then(|i| self.settled.get_mut(i)) {
            *settled = true;
            self.advance();
        }
    }

    /// Whether call `seq` is settled, and the server has confirmed that it can never begin any more.
    pub fn is_dead(&self, seq: u64) -> bool {
        seq <= self.confirmed
    }

    /// What an answer says, to something that was sent at `asked`. What is not about this session is
    /// ignored.
    pub fn heard(&mut self, asked: Instant, standing: &Standing) {
        if (standing.xid.domain, standing.xid.session) != (self.grant.domain, self.grant.session) {
            return;
        }
        // What is not settled is not forgotten, whatever a server says.
        self.confirmed = self.confirmed.max(standing.floor.min(self.ack));
        self.lease_end = self.lease_end.max(asked + standing.lease_left);
    }

    /// The server is another life of the same domain, and the session goes on in it.
    pub fn moved(&mut self, epoch: Epoch) {
        self.grant.epoch = epoch;
    }

    /// What was sent on the connection may not have arrived.
    pub fn disconnected(&mut self) {
        self.sent_ack = self.confirmed;
    }

    /// The acknowledgement to be sent alone, if one is due.
    pub fn ack_due(&self, now: Instant) -> Option<u64> {
        let ahead = self.ack.saturating_sub(self.sent_ack);
        let half = u64::from(self.grant.window / 2).max(1);
        let is_due = ahead >= half || ahead > 0 && now >= self.spoke + self.limits.ack_idle;
        is_due.then_some(self.ack)
    }

    /// The acknowledgement that nothing has carried yet: due at once where somebody waits for what it frees.
    pub fn unsent_ack(&self) -> Option<u64> {
        (self.ack > self.sent_ack).then_some(self.ack)
    }

    /// The acknowledgement to part with, if the server does not know it yet.
    pub fn last_ack(&self) -> Option<u64> {
        (self.ack > self.confirmed).then_some(self.ack)
    }

    /// An acknowledgement has left alone; gives its proof.
    pub fn acknowledged(&mut self, now: Instant, ack: u64) -> u64 {
        self.spoke = now;
        self.sent_ack = self.sent_ack.max(ack);
        let Grant { domain, incarnation, secret, .. } = self.grant;
        secret.prove_ack(domain, incarnation, ack)
    }

    /// When [`ack_due`](Self::ack_due) is worth asking.
    pub fn next_timeout(&self) -> Option<Instant> {
        (self.ack > self.sent_ack).then(|| self.spoke + self.limits.ack_idle)
    }

    /// The calls that have begun and are not settled, in order.
    pub fn unsettled(&self) -> impl Iterator<Item = u64> + '_ {
        let first = self.ack + 1;
        let open = self.settled.iter().enumerate().filter(|(_, settled)| !**settled);
        open.map(move |(index, _)| first + index as u64)
    }

    fn advance(&mut self) {
        while self.settled.front() == Some(&true) {
            self.settled.pop_front();
            self.ack += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::now as start;

    const WINDOW: u32 = 8;

    fn grant() -> Grant {
        Grant {
            domain: Domain(1),
            epoch: Epoch(1),
            session: SessionId(1),
            incarnation: Incarnation(0),
            secret: Secret::new([3; 16]),
            is_durable: false,
            window: WINDOW,
            lease: Duration::from_secs(1800),
            floor: 0,
        }
    }

    fn series() -> Series {
        Series::new(start(), grant(), SeriesLimits::default())
    }

    fn begin(series: &mut Series) -> u64 {
        series.begin(start()).expect("there is room").seq
    }

    fn send(series: &mut Series, now: Instant, seq: u64) -> Stamp {
        series.stamp(now, seq, 1, Semantics::AtMostOnce, Fingerprint([0; 16]))
    }

    fn standing(floor: u64, lease_left: Duration) -> Standing {
        Standing {
            xid: series().xid(1),
            epoch: Epoch(1),
            floor,
            lease_left,
            retry_after: Duration::ZERO,
            is_final: true,
            is_replayed: false,
        }
    }

    #[test]
    fn an_ack_never_passes_a_call_that_is_not_settled() {
        let mut series = series();
        let [a, b, c] = [(); 3].map(|()| begin(&mut series));
        assert_eq!([a, b, c], [1, 2, 3], "no gaps");
        series.settle(c);
        series.settle(b);
        assert_eq!((series.ack, send(&mut series, start(), a).ack), (0, 0));
        assert_eq!(series.unsettled().collect::<Vec<_>>(), [1]);
        series.settle(a);
        series.settle(a);
        series.settle(99);
        assert_eq!(series.ack, 3);
        let d = begin(&mut series);
        assert_eq!(send(&mut series, start(), d).ack, 3);
    }

    #[test]
    fn a_call_that_is_sent_again_does_not_acknowledge_itself() {
        let mut series = series();
        let [a, b] = [(); 2].map(|()| begin(&mut series));
        series.settle(a);
        series.settle(b);
        assert_eq!(send(&mut series, start(), b).ack, 1);
    }

    #[test]
    fn the_window_opens_when_the_server_confirms() {
        let mut series = series();
        for _ in 0..WINDOW {
            let seq = begin(&mut series);
            series.settle(seq);
        }
        assert_eq!(series.begin(start()), Err(NotNow::Window), "settled is not confirmed");
        series.heard(start(), &standing(1, Duration::ZERO));
        assert_eq!(begin(&mut series), 9);
        assert_eq!(series.begin(start()), Err(NotNow::Window));
        assert!(series.is_dead(1) && !series.is_dead(2));
    }

    #[test]
    fn an_answer_about_another_session_says_nothing() {
        let mut series = series();
        let seq = begin(&mut series);
        series.settle(seq);
        let mut other = standing(1, Duration::ZERO);
        other.xid.session = SessionId(2);
        series.heard(start(), &other);
        assert!(!series.is_dead(1));
        begin(&mut series);
        series.heard(start(), &standing(1000, Duration::ZERO));
        assert_eq!(series.confirmed, 1, "no floor lies above what is settled");
    }

    #[test]
    fn no_call_begins_in_the_last_minute_of_a_lease() {
        let mut series = series();
        let margin = SeriesLimits::default().lease_margin;
        let last = start() + grant().lease - margin;
        assert_eq!(series.begin(last), Err(NotNow::LeaseEnds));
        assert!(series.begin(last - Duration::from_nanos(1)).is_ok());
        let asked = start() + Duration::from_secs(10);
        series.heard(asked, &standing(0, grant().lease));
        assert!(series.begin(last).is_ok(), "traffic extends it");
        series.heard(asked, &standing(0, Duration::ZERO));
        assert!(series.begin(last).is_ok(), "an answer that comes late does not shorten it");
    }

    #[test]
    fn a_session_that_lives_shorter_than_the_margin_is_of_use() {
        let lease = Duration::from_secs(8);
        let grant = Grant { lease, ..grant() };
        let mut series = Series::new(start(), grant, SeriesLimits::default());
        let last = start() + lease - lease / 4;
        assert!(series.begin(last - Duration::from_nanos(1)).is_ok());
        assert!(series.is_ending(last));
        assert_eq!(series.begin(last), Err(NotNow::LeaseEnds));
    }

    #[test]
    fn what_is_settled_is_unsent_until_something_has_carried_it() {
        let mut series = series();
        assert_eq!((series.unsent_ack(), series.unconfirmed()), (None, 0));
        let seqs = [begin(&mut series), begin(&mut series)];
        series.settle(seqs[0]);
        assert_eq!((series.unsent_ack(), series.unconfirmed()), (Some(1), 2));
        send(&mut series, start(), seqs[1]);
        assert_eq!(series.unsent_ack(), None);
        series.heard(start(), &standing(1, Duration::ZERO));
        assert_eq!((series.confirmed(), series.unconfirmed()), (1, 1));
    }

    #[test]
    fn an_ack_travels_alone_after_a_second_or_at_half_a_window() {
        let mut series = series();
        let idle = SeriesLimits::default().ack_idle;
        let seq = begin(&mut series);
        send(&mut series, start(), seq);
        assert_eq!(series.next_timeout(), None);
        series.settle(seq);
        assert_eq!(series.next_timeout(), Some(start() + idle));
        assert_eq!(series.ack_due(start() + idle - Duration::from_nanos(1)), None);
        assert_eq!(series.ack_due(start() + idle), Some(1));
        series.acknowledged(start() + idle, 1);
        assert_eq!((series.ack_due(start() + 2 * idle), series.next_timeout()), (None, None));
        assert_eq!(series.last_ack(), Some(1), "not confirmed");

        for _ in 0..WINDOW / 2 {
            let seq = begin(&mut series);
            assert_eq!(series.ack_due(start() + idle), None);
            series.settle(seq);
        }
        assert_eq!(series.ack_due(start() + idle), Some(5), "half a window, at once");
        series.acknowledged(start() + idle, 5);
        series.disconnected();
        assert_eq!(series.ack_due(start() + idle), Some(5), "it may be lost");
        series.heard(start(), &standing(5, Duration::ZERO));
        assert_eq!(series.last_ack(), None);
    }

    #[test]
    fn an_ack_rides_on_the_next_call() {
        let mut series = series();
        let seq = begin(&mut series);
        series.settle(seq);
        let seq = begin(&mut series);
        assert_eq!(send(&mut series, start(), seq).ack, 1);
        assert_eq!(series.next_timeout(), None);
    }

    #[test]
    fn a_resumed_session_goes_on_where_its_log_ends() {
        let grant = Grant { floor: 3, incarnation: Incarnation(1), ..grant() };
        let resume = |unsettled: &[u64]| {
            let unsettled = unsettled.iter().copied();
            Series::resume(start(), grant, SeriesLimits::default(), unsettled)
        };
        let mut series = resume(&[5, 7]);
        assert_eq!(series.unsettled().collect::<Vec<_>>(), [5, 7]);
        assert_eq!((series.ack, begin(&mut series)), (4, 8));
        assert_eq!(send(&mut series, start(), 5).incarnation, Incarnation(1));
        let mut series = resume(&[]);
        assert_eq!((series.ack, begin(&mut series)), (3, 4));
        let series = resume(&[2]);
        assert_eq!(series.unsettled().count(), 0, "the server has forgotten it");
    }

    proptest! {
        /// Against the naive model: the set of what is settled.
        #[test]
        fn it_behaves_like_a_set(operations in prop::collection::vec((0u8..4, 1u64..40), 1..200)) {
            let mut series = series();
            let mut begun = 0u64;
            let mut settled = std::collections::BTreeSet::new();
            let mut confirmed = 0;
            for (operation, pick) in operations {
                match operation {
                    0 => match series.begin(start()) {
                        Ok(xid) => {
                            begun += 1;
                            prop_assert_eq!(xid.seq, begun);
                            prop_assert!(begun <= confirmed + u64::from(WINDOW));
                        }
                        Err(_) => prop_assert!(begun == confirmed + u64::from(WINDOW)),
                    },
                    1 if pick <= begun => {
                        series.settle(pick);
                        settled.insert(pick);
                    }
                    2 => {
                        // A server's floor never passes what was acknowledged to it.
                        let floor = pick.min(series.sent_ack);
                        confirmed = confirmed.max(floor);
                        series.heard(start(), &standing(floor, Duration::ZERO));
                    }
                    3 if (1..=begun).contains(&pick) => {
                        let stamp = send(&mut series, start(), pick);
                        prop_assert!(stamp.ack < pick);
                        prop_assert!((1..=stamp.ack).all(|seq| settled.contains(&seq)));
                    }
                    _ => {}
                }
                let ack = (1..=begun).take_while(|seq| settled.contains(seq)).last().unwrap_or(0);
                prop_assert_eq!(series.ack, ack);
                let open: Vec<_> = (1..=begun).filter(|seq| !settled.contains(seq)).collect();
                prop_assert_eq!(series.unsettled().collect::<Vec<_>>(), open);
                prop_assert!(series.confirmed <= series.ack);
            }
        }
    }
}
