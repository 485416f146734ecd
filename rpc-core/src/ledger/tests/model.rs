//! All rules at once: clients, a network that loses, doubles and reorders, and a server that crashes at
//! any moment, against what was promised. With a protection switched off, the promise must break.

use std::collections::{BTreeMap, VecDeque};

use super::{states::check_counts, *};
use crate::semantics::{Grant, NotNow, Series, SeriesLimits};

/// A protection that is switched off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Without {
    Nothing,
    /// That a call has started is not kept.
    Starts,
    /// Outcomes are not kept.
    Outcomes,
    /// Floors are not kept, and yet confirmed.
    Floors,
    /// What is kept is forgotten by the disk in a crash, as without an fsync.
    Sync,
    /// Older incarnations are taken for the newest.
    Fencing,
    /// Calls of earlier lives are taken for calls of this one.
    Epochs,
}

/// A small generator of numbers: xorshift64*, by Marsaglia and Vigna.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() >> 16) as usize % end.max(1)
    }
}

/// A call, for ever: not even a new life of a server without memory changes it.
type Tag = u32;

/// How often things happened that a run is about.
#[derive(Default, Debug)]
struct Counts {
    crashes: u32,
    lost: u32,
    doubled: u32,
    executed: u32,
    replayed: u32,
    joined: u32,
    unknown: u32,
    stale: u32,
    fenced: u32,
    abandoned: u32,
    wrong_epoch: u32,
}

/// What a client knows of its calls.
struct Caller {
    series: Option<Series>,
    /// Calls that are not settled, by number.
    open: BTreeMap<u64, Tag>,
    resuming: bool,
}

/// What a store would do, with its disk in sight.
#[derive(Default)]
struct Disk {
    sessions: BTreeMap<u64, KeptSession>,
    calls: BTreeMap<(u64, u64), KeptCall>,
    next: u64,
}

impl Disk {
    fn keep(&mut self, change: &Change, without: Without) {
        let id = change.session().0;
        match change.clone() {
            Change::Opened { session, secret, owner } => {
                let (incarnation, floor) = (Incarnation(0), 0);
                let kept = KeptSession { session, secret, owner, incarnation, floor };
                self.sessions.insert(id, kept);
                self.next = self.next.max(id + 1);
            }
            Change::Resumed { incarnation, .. } => {
                self.sessions.get_mut(&id).expect("it is open").incarnation = incarnation;
            }
            Change::Closed { .. } => {
                self.sessions.remove(&id);
                self.calls.retain(|(session, _), _| *session != id);
            }
            Change::Started { .. } if without == Without::Starts => {}
            Change::Started { seq, fingerprint, .. } => {
                self.calls.insert((id, seq), KeptCall { seq, fingerprint, outcome: None });
            }
            Change::Withdrawn { seq, .. } => {
                self.calls.remove(&(id, seq));
            }
            Change::Completed { .. } if without == Without::Outcomes => {}
            Change::Completed { seq, fingerprint, outcome, .. } => {
                let outcome = Some(outcome);
                self.calls.insert((id, seq), KeptCall { seq, fingerprint, outcome });
            }
            Change::Floor { floor, .. } => {
                self.calls.retain(|(session, seq), _| *session != id || *seq > floor);
                if without != Without::Floors {
                    self.sessions.get_mut(&id).expect("it is open").floor = floor;
                }
            }
        }
    }
}

struct World {
    without: Without,
    random: Random,
    is_durable: bool,
    ledger: Ledger<Tag, usize>,
    epoch: u64,
    disk: Disk,
    /// What was given to the disk and is not kept yet.
    committing: VecDeque<Vec<Change>>,
    callers: Vec<Caller>,
    /// Whose calls are on their way; any of them may arrive at any time, or never.
    network: Vec<(usize, Tag, Stamp)>,
    /// Calls that were released to run.
    runnable: Vec<(Xid, Tag)>,
    running: Vec<(Xid, Tag)>,
    next_tag: Tag,
    executions: BTreeMap<Tag, u32>,
    /// What was answered to a call.
    answers: BTreeMap<Tag, Outcome>,
    /// Calls that never may begin from now on.
    dead: Vec<Tag>,
    /// Every call by its life (if the server has no memory), its session and its number.
    begun: BTreeMap<(u64, u64, u64), Tag>,
    /// The highest floor that was told to anyone.
    floors: BTreeMap<(u64, u64), u64>,
    counts: Counts,
}

/// What was broken.
type Broken = String;

const CALLERS: usize = 2;

impl World {
    fn new(seed: u64, is_durable: bool, without: Without) -> Self {
        World {
            without,
            random: Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            is_durable,
            ledger: Ledger::volatile(DOMAIN, EPOCH, limits()),
            epoch: 0,
            disk: Disk { next: 1, ..Disk::default() },
            committing: VecDeque::new(),
            callers: (0..CALLERS)
                .map(|_| Caller { series: None, open: BTreeMap::new(), resuming: false })
                .collect(),
            network: Vec::new(),
            runnable: Vec::new(),
            running: Vec::new(),
            next_tag: 0,
            executions: BTreeMap::new(),
            answers: BTreeMap::new(),
            dead: Vec::new(),
            begun: BTreeMap::new(),
            floors: BTreeMap::new(),
            counts: Counts::default(),
        }
    }

    fn run(mut self, steps: usize) -> Result<Counts, Broken> {
        self.boot();
        for _ in 0..steps {
            self.step()?;
            check_counts(&mut self.ledger);
        }
        Ok(self.counts)
    }

    fn boot(&mut self) {
        self.epoch += 1;
        let epoch = Epoch(self.epoch);
        self.ledger = if self.is_durable {
            let sessions: Vec<_> = self.disk.sessions.values().cloned().collect();
            let next = SessionId(self.disk.next);
            Ledger::durable(start(), DOMAIN, epoch, limits(), sessions, next)
        } else {
            Ledger::volatile(DOMAIN, epoch, limits())
        };
    }

    fn crash(&mut self) {
        self.counts.crashes += 1;
        if self.is_durable && self.without != Without::Sync {
            // The disk may have got more than anyone was told.
            for _ in 0..self.random.below(self.committing.len() + 1) {
                for change in self.committing.pop_front().into_iter().flatten() {
                    self.disk.keep(&change, self.without);
                }
            }
        }
        self.committing.clear();
        self.runnable.clear();
        self.running.clear();
        for caller in &mut self.callers {
            caller.resuming = false;
        }
        self.boot();
    }

    fn step(&mut self) -> Result<(), Broken> {
        let who = self.random.below(CALLERS);
        match self.random.below(100) {
            0..20 => self.begin(who),
            20..30 => self.send_again(who),
            30..60 => self.deliver()?,
            60..70 => {
                if !self.runnable.is_empty() {
                    let at = self.random.below(self.runnable.len());
                    let (xid, tag) = self.runnable.swap_remove(at);
                    if self.ledger.start(xid) {
                        self.execute(tag)?;
                        self.running.push((xid, tag));
                    }
                }
            }
            70..80 => {
                if !self.running.is_empty() {
                    let at = self.random.below(self.running.len());
                    let (xid, tag) = self.running.swap_remove(at);
                    let body = Bytes::copy_from_slice(&tag.to_le_bytes());
                    let answer = Answer { is_fault: false, head: Bytes::new(), body };
                    self.ledger.complete(start(), xid, answer, LargeReply::Drop);
                }
            }
            80..90 => self.commit(),
            90..93 => self.give_up(who),
            93..95 => self.acknowledge(who)?,
            95..97 => self.resume(who),
            97..98 => self.crash(),
            _ => {
                if !self.network.is_empty() {
                    let at = self.random.below(self.network.len());
                    self.network.swap_remove(at);
                    self.counts.lost += 1;
                }
            }
        }
        self.turn()
    }

    /// Takes what the ledger has to say, as its driver does.
    fn turn(&mut self) -> Result<(), Broken> {
        let changes = self.ledger.changes();
        if !changes.is_empty() {
            self.committing.push_back(changes);
        }
        let released: Vec<_> = self.ledger.released().collect();
        for release in released {
            match release {
                Release::Run { xid, call } => self.runnable.push((xid, call)),
                Release::Answer { xid, waiter, outcome } => self.answered(waiter, xid, outcome)?,
                Release::Granted { grant, waiter } => self.granted(waiter, grant),
                Release::Confirmed { session, floor, waiter } => {
                    self.told(session, floor)?;
                    let xid = Xid { domain: DOMAIN, session, seq: 0 };
                    self.hear(waiter, xid, floor);
                }
                Release::Superseded { .. } | Release::GivenUp { .. } => {}
                Release::Unresolved { .. } => unreachable!("nobody resolves"),
            }
        }
        Ok(())
    }

    fn commit(&mut self) {
        let Some(changes) = self.committing.pop_front() else { return };
        if self.without != Without::Sync {
            for change in &changes {
                self.disk.keep(change, self.without);
            }
        }
        self.ledger.kept(&changes);
    }

    fn secret(who: usize) -> Secret {
        Secret::new([who as u8; 16])
    }

    fn begin(&mut self, who: usize) {
        let caller = &mut self.callers[who];
        let Some(series) = &mut caller.series else {
            if !std::mem::replace(&mut caller.resuming, true) {
                let opened = self.ledger.open(start(), Self::secret(who), None, who);
                assert!(opened.is_ok());
            }
            return;
        };
        let xid = match series.begin(start()) {
            Ok(xid) => xid,
            Err(NotNow::Window) => return,
            Err(NotNow::LeaseEnds) => unreachable!("time stands still"),
        };
        self.next_tag += 1;
        caller.open.insert(xid.seq, self.next_tag);
        let life = if self.is_durable { 0 } else { series.grant().epoch.0 };
        self.begun.insert((life, xid.session.0, xid.seq), self.next_tag);
        self.send(who, xid.seq, self.next_tag, 1);
    }

    fn send(&mut self, who: usize, seq: u64, tag: Tag, attempt: u16) {
        let Some(series) = &mut self.callers[who].series else { return };
        let fingerprint = Self::secret(who).fingerprint("A.B", &tag.to_le_bytes());
        let stamp = series.stamp(start(), seq, attempt, Semantics::AtMostOnce, fingerprint);
        self.network.push((who, tag, stamp));
    }

    fn send_again(&mut self, who: usize) {
        let open: Vec<_> = self.callers[who].open.iter().map(|(seq, tag)| (*seq, *tag)).collect();
        if let Some((seq, tag)) = open.get(self.random.below(open.len())) {
            self.send(who, *seq, *tag, 2);
        }
    }

    fn deliver(&mut self) -> Result<(), Broken> {
        if self.network.is_empty() {
            return Ok(());
        }
        let at = self.random.below(self.network.len());
        let (who, tag, mut stamp) = self.network[at];
        if self.random.below(3) > 0 {
            self.network.swap_remove(at);
        } else {
            self.counts.doubled += 1;
        }
        let truth = stamp;
        if self.without == Without::Epochs {
            stamp.epoch = self.ledger.epoch();
        }
        if self.without == Without::Fencing
            && let Some(lease) = self.ledger.leases.get(&stamp.xid.session)
        {
            stamp.incarnation = lease.incarnation;
        }
        let stamp = stamp.proved(&Self::secret(who));
        let class = Some(Class::Recorded);
        let ask = Ask { stamp: &stamp, owner: None, class, is_overloaded: false };
        let mut decision = self.ledger.admit(start(), &ask, || (tag, who));
        if decision == Decision::Recall {
            let session = stamp.xid.session;
            let calls = self.disk.calls.range((session.0, 0)..(session.0 + 1, 0));
            let calls = calls.map(|(_, call)| call.clone()).collect();
            self.ledger.recalled(session, calls);
            decision = self.ledger.admit(start(), &ask, || (tag, who));
        }
        let current = self.callers[who].series.as_ref().map(|it| it.grant().incarnation);
        match decision {
            Decision::Accepted => {
                let same = self.callers[who].series.as_ref().map(|it| it.grant().session)
                    == Some(truth.xid.session);
                if same && current.is_some_and(|current| truth.incarnation < current) {
                    return Err(format!("call {tag} of an older incarnation was accepted"));
                }
            }
            Decision::Joined { .. } => self.counts.joined += 1,
            Decision::Replay(outcome) => {
                self.counts.replayed += 1;
                self.answered(who, stamp.xid, outcome)?;
            }
            Decision::Resolve => {
                self.ledger.resolved(start(), stamp.xid, Resolution::Unknown);
            }
            Decision::Recall | Decision::NoMethod => unreachable!("{decision:?}"),
            Decision::Refused(refusal) => self.refused(who, tag, &truth, refusal),
        }
        Ok(())
    }

    fn refused(&mut self, who: usize, tag: Tag, stamp: &Stamp, refusal: Refusal) {
        match refusal {
            Refusal::Stale => {
                self.counts.stale += 1;
                self.dead.push(tag);
            }
            Refusal::Fenced => self.counts.fenced += 1,
            Refusal::WrongEpoch | Refusal::Expired | Refusal::Unknown | Refusal::NotYours => {
                self.counts.wrong_epoch += u32::from(refusal == Refusal::WrongEpoch);
                // Its client opens another session, unless it has.
                let caller = &mut self.callers[who];
                if caller.series.as_ref().is_some_and(|it| {
                    (it.grant().session, it.grant().epoch) == (stamp.xid.session, stamp.epoch)
                }) {
                    caller.series = None;
                    caller.open.clear();
                }
            }
            Refusal::WrongDomain | Refusal::Misuse => {
                assert!(self.without != Without::Nothing, "{refusal:?}");
            }
            Refusal::Later(_) => {}
        }
    }

    fn execute(&mut self, tag: Tag) -> Result<(), Broken> {
        self.counts.executed += 1;
        let executions = self.executions.entry(tag).or_default();
        *executions += 1;
        if *executions > 1 {
            return Err(format!("call {tag} ran twice"));
        }
        if self.dead.contains(&tag) {
            return Err(format!("call {tag} was given up, and ran after that"));
        }
        Ok(())
    }

    fn answered(&mut self, who: usize, xid: Xid, outcome: Outcome) -> Result<(), Broken> {
        let caller = &mut self.callers[who];
        let is_current = caller.series.as_ref().is_some_and(|it| it.xid(xid.seq) == xid);
        let Some(tag) = caller.open.get(&xid.seq).copied().filter(|_| is_current) else {
            return Ok(());
        };
        match &outcome {
            Outcome::Answer(answer) => {
                if answer.body[..] != tag.to_le_bytes() {
                    return Err(format!("call {tag} got the answer of another"));
                }
                if self.executions.get(&tag) != Some(&1) {
                    return Err(format!("call {tag} was answered and has not run"));
                }
            }
            Outcome::Unknown => self.counts.unknown += 1,
            Outcome::Dropped => unreachable!("all answers are small"),
        }
        if let Some(before) = self.answers.insert(tag, outcome.clone())
            && before != outcome
        {
            return Err(format!("call {tag} was answered {before:?}, then {outcome:?}"));
        }
        let floor = self.ledger.standing(start(), xid).floor;
        self.told(xid.session, floor)?;
        self.hear(who, xid, floor);
        // Sometimes the answer is lost, and the call is asked for again.
        if self.random.below(4) > 0 {
            let caller = &mut self.callers[who];
            caller.open.remove(&xid.seq);
            caller.series.as_mut().expect("it is current").settle(xid.seq);
        }
        Ok(())
    }

    /// A floor was told to somebody: what lies below never may begin, and it never may fall.
    fn told(&mut self, session: SessionId, floor: u64) -> Result<(), Broken> {
        // Another life of a server without memory counts its sessions anew.
        let life = if self.is_durable { 0 } else { self.epoch };
        let highest = self.floors.entry((life, session.0)).or_default();
        if floor < *highest {
            return Err(format!("the floor of session {session} fell from {highest} to {floor}"));
        }
        *highest = floor;
        let forgotten = (life, session.0, 0)..=(life, session.0, floor);
        let forgotten = self.begun.range(forgotten).map(|(_, tag)| *tag);
        let never: Vec<_> = forgotten.filter(|tag| !self.executions.contains_key(tag)).collect();
        self.counts.abandoned += never.len() as u32;
        self.dead.extend(never);
        Ok(())
    }

    fn hear(&mut self, who: usize, xid: Xid, floor: u64) {
        let standing = Standing { floor, ..self.ledger.standing(start(), xid) };
        if let Some(series) = &mut self.callers[who].series {
            series.heard(start(), &standing);
        }
    }

    fn give_up(&mut self, who: usize) {
        let caller = &mut self.callers[who];
        if let Some(series) = &mut caller.series
            && let Some((seq, _)) = caller.open.pop_first()
        {
            series.settle(seq);
        }
    }

    fn acknowledge(&mut self, who: usize) -> Result<(), Broken> {
        let Some(series) = &mut self.callers[who].series else { return Ok(()) };
        let Some(ack) = series.last_ack() else { return Ok(()) };
        let grant = *series.grant();
        let proof = series.acknowledged(start(), ack);
        if !self.is_durable && grant.epoch != self.ledger.epoch() {
            return Ok(());
        }
        let claim = (DOMAIN, grant.session, grant.incarnation);
        match self.ledger.acknowledge(start(), claim, (ack, proof), who) {
            Ok(()) | Err(Refusal::Fenced) => Ok(()),
            Err(refusal) => {
                let lost = matches!(self.without, Without::Sync | Without::Floors);
                assert!(lost, "{refusal:?}");
                Ok(())
            }
        }
    }

    /// The client crashes, and resumes with what its log says.
    fn resume(&mut self, who: usize) {
        let Some(series) = &self.callers[who].series else { return };
        let grant = *series.grant();
        if !self.is_durable && grant.epoch != self.ledger.epoch() {
            return;
        }
        let (domain, session) = (DOMAIN, grant.session);
        let claim = SessionClaim { domain, session, secret: Self::secret(who), owner: None };
        let resumed = self.ledger.resume(start(), &claim, who);
        assert!(resumed.is_ok() || self.without == Without::Sync, "{resumed:?}");
    }

    fn granted(&mut self, who: usize, grant: Grant) {
        let caller = &mut self.callers[who];
        caller.resuming = false;
        let unsettled: Vec<_> = caller.open.keys().copied().collect();
        let highest = caller.series.as_ref().and_then(|series| series.unsettled().last());
        let resumes = caller.series.as_ref().is_some_and(|it| it.grant().session == grant.session);
        if !resumes {
            assert!(unsettled.is_empty() && highest.is_none());
        }
        // A log that is complete: its last number is not given again.
        let begun = caller.series.as_ref().filter(|_| resumes).map_or(0, Series::begun);
        let mut series = Series::resume(start(), grant, SeriesLimits::default(), unsettled);
        series.skip_to(begun);
        caller.series = Some(series);
    }
}

const STEPS: usize = 400;

/// Runs many seeds; gives what happened in all, or the first seed that breaks something.
fn run_seeds(seeds: u64, is_durable: bool, without: Without) -> Result<Counts, String> {
    let mut all = Counts::default();
    for seed in 1..=seeds {
        let counts = World::new(seed, is_durable, without)
            .run(STEPS)
            .map_err(|broken| format!("seed {seed}: {broken}"))?;
        all.crashes += counts.crashes;
        all.lost += counts.lost;
        all.doubled += counts.doubled;
        all.executed += counts.executed;
        all.replayed += counts.replayed;
        all.joined += counts.joined;
        all.unknown += counts.unknown;
        all.stale += counts.stale;
        all.fenced += counts.fenced;
        all.abandoned += counts.abandoned;
        all.wrong_epoch += counts.wrong_epoch;
    }
    Ok(all)
}

const SEEDS: u64 = 300;

#[test]
fn no_call_runs_twice_whatever_is_lost_doubled_or_crashes() {
    for is_durable in [true, false] {
        let counts = run_seeds(SEEDS, is_durable, Without::Nothing).unwrap();
        let happened = [
            counts.crashes,
            counts.lost,
            counts.doubled,
            counts.executed,
            counts.replayed,
            counts.joined,
            counts.stale,
            counts.fenced,
            counts.abandoned,
            if is_durable { counts.unknown } else { counts.wrong_epoch },
        ];
        assert!(happened.iter().all(|count| *count > 50), "{counts:?}");
    }
}

/// Each protection is needed: without it, some seed breaks a promise.
#[test]
fn without_a_protection_a_promise_breaks() {
    for (is_durable, without) in [
        (true, Without::Starts),
        (true, Without::Outcomes),
        (true, Without::Floors),
        (true, Without::Sync),
        (true, Without::Fencing),
        (false, Without::Epochs),
    ] {
        let result = run_seeds(SEEDS, is_durable, without);
        assert!(result.is_err(), "without {without:?} nothing broke: {result:?}");
    }
}
