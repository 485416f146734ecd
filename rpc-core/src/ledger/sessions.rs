//! Sessions: opened, resumed, acknowledged, closed, and over when nothing was heard for long.

use std::time::Instant;

use super::{
    Change, ENTRY_BYTES, Later, Ledger, Owner, Refusal, Release,
    lease::{Lease, State},
};
use crate::semantics::{Domain, Grant, Incarnation, Secret, SessionId, Xid};

/// What somebody says to speak for a session.
#[derive(Clone, Copy, Debug)]
pub struct SessionClaim<'a> {
    /// The session's domain.
    pub domain: Domain,
    /// The session.
    pub session: SessionId,
    /// Its secret.
    pub secret: Secret,
    /// Whose the connection is.
    pub owner: Option<&'a Owner>,
}

impl<C, W> Ledger<C, W> {
    /// Opens a session; where there are too many, the oldest that was never used ends for it. It is [released](Release::Granted) when that is kept.
    ///
    /// # Errors
    /// If there are too many, or the server is shutting down.
    pub fn open(
        &mut self,
        now: Instant,
        secret: Secret,
        owner: Option<Owner>,
        waiter: W,
    ) -> Result<SessionId, Refusal> {
        if self.is_draining {
            return Err(Refusal::Later(Later::Draining));
        }
        if self.leases.len() >= self.limits.sessions && !self.make_room() {
            return Err(Refusal::Later(Later::Sessions));
        }
        let session = SessionId(self.next_session);
        self.next_session += 1;
        self.leases.insert(session, Lease::new(now, secret, owner.clone(), waiter));
        self.ends.push_back((now + self.limits.lease, session));
        self.unused.push_back(session);
        self.note(Change::Opened { session, secret, owner });
        Ok(session)
    }

    /// Resumes a session, and shuts out whoever spoke for it before; it is
    /// [released](Release::Granted) when that is kept.
    ///
    /// # Errors
    /// If there is no such session, or it is not the claimant's.
    pub fn resume(
        &mut self,
        now: Instant,
        claim: &SessionClaim<'_>,
        waiter: W,
    ) -> Result<Incarnation, Refusal> {
        let session = claim.session;
        let lease = self.claimed(claim)?;
        // A session that was resumed four thousand million times is nobody's any more.
        let next = lease.incarnation.0.checked_add(1).ok_or(Refusal::Fenced)?;
        lease.incarnation = Incarnation(next);
        let displaced = lease.opening.replace(waiter);
        self.releases.extend(displaced.map(|waiter| Release::Superseded { waiter }));
        self.touch(now, session);
        self.note(Change::Resumed { session, incarnation: Incarnation(next) });
        Ok(Incarnation(next))
    }

    /// A resumption that is asked for once more, by whoever got this incarnation for it, and may not have heard
    /// of that: the same answer again, so that nobody shuts out themselves.
    ///
    /// # Errors
    /// If there is no such session, it is not the claimant's, or was resumed since.
    pub fn resume_again(
        &mut self,
        now: Instant,
        claim: &SessionClaim<'_>,
        incarnation: Incarnation,
        waiter: W,
    ) -> Result<(), Refusal> {
        let session = claim.session;
        let lease = self.claimed(claim)?;
        if lease.incarnation != incarnation {
            return Err(Refusal::Fenced);
        }
        let displaced = lease.opening.replace(waiter);
        let is_kept = displaced.is_none();
        self.releases.extend(displaced.map(|waiter| Release::Superseded { waiter }));
        self.touch(now, session);
        if is_kept {
            self.granted(session);
        }
        Ok(())
    }

    /// Ends a session: what it has not begun never begins, and nothing of it is remembered.
    ///
    /// It is a courtesy: the server may forget it in a crash, and the session then ends in its time.
    ///
    /// # Errors
    /// If there is no such session, or it is not the claimant's.
    pub fn close(&mut self, claim: &SessionClaim<'_>) -> Result<(), Refusal> {
        self.claimed(claim)?;
        self.forget(claim.session);
        Ok(())
    }

    /// An acknowledgement that has come alone, up to `ack`. Whoever waits is
    /// [released](Release::Confirmed) when the floor is kept.
    ///
    /// # Errors
    /// If it does not come from the session's owner, or acknowledges calls that there cannot be.
    pub fn acknowledge(
        &mut self,
        now: Instant,
        (domain, session, incarnation): (Domain, SessionId, Incarnation),
        (ack, proof): (u64, u64),
        waiter: W,
    ) -> Result<(), Refusal> {
        let window = u64::from(self.limits.window);
        let lease = self.lease(domain, session)?;
        if lease.secret.prove_ack(domain, incarnation, ack) != proof {
            return Err(Refusal::NotYours);
        }
        if incarnation != lease.incarnation {
            return Err(Refusal::Fenced);
        }
        if ack > lease.calls.floor().saturating_add(window) {
            return Err(Refusal::Misuse);
        }
        self.touch(now, session);
        self.raise_floor(session, ack);
        let lease = self.lease(domain, session)?;
        let floor = lease.kept_floor;
        let is_kept = floor == lease.calls.floor();
        let waiting = if is_kept { Some(waiter) } else { lease.confirming.replace(waiter) };
        // Who waited for a lower floor learns what there is.
        self.releases.extend(waiting.map(|waiter| Release::Confirmed { session, floor, waiter }));
        Ok(())
    }

    /// Ends the sessions whose time is over.
    pub fn expire(&mut self, now: Instant) {
        while let Some(&(end, session)) = self.ends.front() {
            if end > now {
                return;
            }
            self.ends.pop_front();
            let Some(lease) = self.leases.get(&session) else { continue };
            let left = lease.left(now, self.limits.lease);
            if left.is_zero() {
                self.forget(session);
            } else {
                self.ends.push_back((now + left, session));
            }
        }
    }

    /// When [`expire`](Self::expire) is to be asked next.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.ends.front().map(|(end, _)| *end)
    }

    /// A session's client was heard.
    pub(super) fn touch(&mut self, now: Instant, session: SessionId) {
        let limit = self.limits.lease;
        if let Some(lease) = self.leases.get_mut(&session)
            && !lease.left(now, limit).is_zero()
        {
            lease.touched = lease.touched.max(now);
        }
    }

    pub(super) fn granted(&mut self, session: SessionId) {
        let Some(lease) = self.leases.get_mut(&session) else { return };
        let Some(waiter) = lease.opening.take() else { return };
        let grant = Grant {
            domain: self.domain,
            epoch: self.epoch,
            session,
            incarnation: lease.incarnation,
            secret: lease.secret,
            is_durable: self.is_durable,
            window: self.limits.window,
            lease: self.limits.lease,
            floor: lease.kept_floor,
        };
        self.releases.push(Release::Granted { grant, waiter });
    }

    pub(super) fn floor_kept(&mut self, session: SessionId, floor: u64) {
        let Some(lease) = self.leases.get_mut(&session) else { return };
        lease.kept_floor = lease.kept_floor.max(floor);
        let floor = lease.kept_floor;
        // One that waits for a higher floor waits on.
        if floor == lease.calls.floor() {
            let waiting = lease.confirming.take();
            self.releases.extend(waiting.map(|waiter| Release::Confirmed {
                session,
                floor,
                waiter,
            }));
        }
    }

    /// Ends the oldest session that was opened and never used: who only opens sessions keeps nobody out.
    fn make_room(&mut self) -> bool {
        while let Some(session) = self.unused.pop_front() {
            if self.leases.get(&session).is_some_and(Lease::is_unused) {
                self.forget(session);
                return true;
            }
        }
        false
    }

    fn lease(&mut self, domain: Domain, session: SessionId) -> Result<&mut Lease<C, W>, Refusal> {
        if domain != self.domain {
            return Err(Refusal::WrongDomain);
        }
        let ended = session.0 < self.next_session;
        let missing = if ended { Refusal::Expired } else { Refusal::Unknown };
        self.leases.get_mut(&session).ok_or(missing)
    }

    fn claimed(&mut self, claim: &SessionClaim<'_>) -> Result<&mut Lease<C, W>, Refusal> {
        let lease = self.lease(claim.domain, claim.session)?;
        if lease.secret != claim.secret || !lease.is_of(claim.owner) {
            return Err(Refusal::NotYours);
        }
        Ok(lease)
    }

    fn forget(&mut self, session: SessionId) {
        let Some(mut lease) = self.leases.remove(&session) else { return };
        for (seq, entry) in lease.calls.drain() {
            self.bytes -= ENTRY_BYTES + entry.state.len();
            let xid = Xid { domain: self.domain, session, seq };
            let (call, waiter) = match entry.state {
                State::Ended(_) | State::Interrupted => continue,
                State::Accepted { call, waiter } | State::Resolving { call, waiter } => {
                    (Some(call), waiter)
                }
                State::Ready { waiter }
                | State::Running { waiter }
                | State::Ending { waiter, .. } => (None, waiter),
            };
            self.releases.push(Release::GivenUp { xid, call, waiter });
        }
        let waiting = [lease.opening.take(), lease.confirming.take()];
        let waiting = waiting.into_iter().flatten();
        self.releases.extend(waiting.map(|waiter| Release::Superseded { waiter }));
        self.note(Change::Closed { session });
        // Sessions that are opened and closed all the time leave nothing behind.
        if self.ends.len() > 2 * self.leases.len() + 64 {
            let leases = &self.leases;
            self.ends.retain(|(_, session)| leases.contains_key(session));
        }
        if self.unused.len() > 2 * self.leases.len() + 64 {
            let leases = &self.leases;
            self.unused.retain(|session| leases.get(session).is_some_and(Lease::is_unused));
        }
    }
}
