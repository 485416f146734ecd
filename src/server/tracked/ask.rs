//! From a connection to the ledger: requests with a stamp, and questions about sessions.

use std::{sync::Arc, time::Instant};

use netrpc_core::{
    Cancellation, Fault,
    error::Disconnected,
    fault::FaultCode,
    ledger::{Ask, Class, Refusal, SessionClaim},
    semantics::{Stamp, Standing},
    session::Admission,
    wire::{self, AckFrame, Frame, MalformedSession, RequestHead, SessionFrame},
};

use super::{
    super::{
        Shared, SyncPolicy,
        answer::write_fault,
        call::WAITING,
        connection::{Connection, Stream},
        driver::{Driver, Request},
        passage::{Missing, Target},
    },
    Decided, Kept, Tracked, Waiter, answer,
};
use crate::{client::now, sync::MutexGuard};

/// A request that is asked about.
struct Asked {
    stamp: Stamp,
    class: Option<Class>,
    is_overloaded: bool,
    target: Target,
    frame: Frame,
    /// Until the ledger has it.
    kept: Option<Box<Kept>>,
}

/// What is said to whoever asked.
enum Said {
    /// Nothing now.
    Nothing,
    /// Nothing before the store has been read.
    Recall,
    /// This frame.
    Answer(Vec<u8>),
    /// This one: the call does not run.
    Refused(Vec<u8>, FaultCode),
}

impl<IO: Stream> Connection<IO> {
    /// A request that must not run twice: asks the ledger, or has it wait until it may.
    ///
    /// # Errors
    /// What ends the connection, if the peer breaks the protocol.
    pub(in crate::server) fn stamped(
        self: &Arc<Self>,
        driver: &mut MutexGuard<'_, Driver<IO>>,
        target: Target,
        frame: Frame,
        deadline: Option<Instant>,
    ) -> Result<(), Disconnected> {
        let seq = frame.seq;
        let Some(tracked) = &self.server.tracked else {
            // Run like any other it might run twice, and its caller relies on that it does not.
            self.refuse(driver, seq, (None, frame.head()), &no_ledger());
            return Ok(());
        };
        // Whether it is too late is asked when it would begin: what has ended can still be asked for.
        match driver.session.admit(seq, None, now) {
            Admission::Run => self.ask_ledger(driver, frame, target, deadline),
            Admission::Wait => {
                let bytes = wire::HEADER_LEN + frame.payload().len() + WAITING;
                let frame = frame.detach();
                let request = Request { frame, target, deadline, stamped: true };
                driver.session.wait(seq, bytes, request);
            }
            Admission::Refuse(fault) => {
                let standing = tracked.standing_again(stamp(&frame).xid);
                if let Said::Refused(mut frame, _) =
                    self.refused((&target, &frame), &fault, standing)
                {
                    driver.output.push(&mut frame);
                }
            }
            Admission::SeqInUse => return Err(Disconnected::SeqInUse(seq)),
        }
        Ok(())
    }

    /// Asks the ledger what is done with a request that has a slot.
    pub(in crate::server) fn ask_ledger(
        self: &Arc<Self>,
        driver: &mut MutexGuard<'_, Driver<IO>>,
        frame: Frame,
        target: Target,
        deadline: Option<Instant>,
    ) {
        let tracked = self.server.tracked.as_ref().expect("it was there when the request came");
        let stamp = stamp(&frame);
        let (seq, bytes) = (frame.seq, frame.body_slice().len());
        let classed = target.and_then(|entry| match tracked.class(&entry, stamp.semantics) {
            Ok(class) => Ok((entry, class)),
            Err(fault) => Err(Missing::new(entry.full_name(), fault)),
        });
        let class = classed.as_ref().ok().map(|(_, class)| *class);
        let target = classed.map(|(entry, _)| entry);
        // Before this call counts itself.
        let is_overloaded = self.is_overloaded(driver).is_some();
        let cancellation = Cancellation::new();
        let what = (frame.clone(), target.clone(), deadline);
        let recorded = class.unwrap_or(Class::Recorded);
        let kept = Some(Kept::new(self, what, recorded, cancellation.clone()));
        let mut asked = Asked { stamp, class, is_overloaded, target, frame, kept };
        // Whoever is told something by this may do anything.
        let said = MutexGuard::unlocked(driver, || {
            self.decide(tracked, &mut asked, self.server.policy == SyncPolicy::Inline)
        });
        match said {
            Said::Nothing => driver.awaits(seq, bytes, cancellation),
            Said::Recall => {
                driver.awaits(seq, bytes, cancellation);
                let (connection, tracked) = (self.clone(), tracked.clone());
                self.workers.handle().spawn_blocking(move || {
                    match connection.decide(&tracked, &mut asked, true) {
                        Said::Answer(mut frame) | Said::Refused(mut frame, _) => {
                            connection.post(seq, &mut frame);
                        }
                        Said::Nothing | Said::Recall => {}
                    }
                });
            }
            Said::Answer(mut frame) => driver.output.push(&mut frame),
            Said::Refused(mut frame, code) => {
                driver.counts.refused(code, &self.server.limits);
                driver.output.push(&mut frame);
            }
        }
    }

    /// What the ledger has decided about a request; what it has to read first, it reads if it may block.
    fn decide(
        self: &Arc<Self>,
        tracked: &Arc<Tracked>,
        asked: &mut Asked,
        may_block: bool,
    ) -> Said {
        let Asked { stamp, class, is_overloaded, target, frame, kept } = asked;
        let (xid, seq) = (stamp.xid, frame.seq);
        let owner = self.owner();
        let ask = Ask { stamp, owner, class: *class, is_overloaded: *is_overloaded };
        let call = || (kept.take().expect("asked once"), Waiter::new(self, seq));
        let decided = match may_block {
            true => tracked.book.admit(now(), &ask, call),
            false => tracked.book.with(|ledger| ledger.admit(now(), &ask, call)),
        };
        // After a failure nothing is answered: the connection ends, as all of the server do.
        let Ok(decided) = decided else { return Said::Nothing };
        match decided {
            Decided::Accepted => Said::Nothing,
            Decided::Joined { displaced } => {
                tracked.pending(&displaced, xid);
                Said::Nothing
            }
            Decided::Resolve => {
                tracked.resolve(xid, target, &self.workers);
                Said::Nothing
            }
            Decided::Recall => Said::Recall,
            Decided::Replay(outcome) => {
                let Some(standing) = tracked.standing(xid) else { return Said::Nothing };
                let standing = Standing { is_replayed: true, ..standing };
                let (mut out, max_frame) = (Vec::new(), self.server.limits.max_frame);
                answer::outcome(&mut out, seq, &outcome, &standing, max_frame);
                Said::Answer(out)
            }
            Decided::Refused(refusal) => {
                let standing = match refusal {
                    Refusal::Later(_) => tracked.standing_again(xid),
                    _ => tracked.standing(xid),
                };
                self.refused((target, frame), &refusal.fault(), standing)
            }
            Decided::NoMethod => match (&*target, kept.take()) {
                // Whether there is such a method, only those may know who pass.
                (Err(_), Some(mut kept)) if self.server.passes => {
                    kept.waiter = Some(Waiter::new(self, seq));
                    kept.run(tracked.clone(), xid);
                    Said::Nothing
                }
                (Err(missing), _) => {
                    let standing = tracked.standing(xid);
                    let standing = standing.map(|it| Standing { is_final: false, ..it });
                    self.refused((target, frame), &missing.fault, standing)
                }
                (Ok(_), _) => unreachable!("it has a class"),
            },
        }
    }

    /// The answer to a stamped request that does not run; nothing, where the ledger has failed.
    fn refused(
        &self,
        (target, frame): (&Target, &Frame),
        fault: &Fault,
        standing: Option<Standing>,
    ) -> Said {
        let Some(standing) = standing else { return Said::Nothing };
        let Shared { observer, limits, .. } = &*self.server;
        observer.refused(target.as_ref().ok(), self.arrival(frame.seq, frame.head()), fault);
        let mut out = Vec::new();
        answer::fault(&mut out, frame.seq, fault, &standing, limits.max_frame);
        Said::Refused(out, fault.code())
    }

    /// A frame about a session; what is an answer was not asked for, and is left alone.
    ///
    /// # Errors
    /// What ends the connection, if the peer breaks the protocol.
    pub(in crate::server) fn session_frame(
        self: &Arc<Self>,
        driver: &mut MutexGuard<'_, Driver<IO>>,
        frame: &Frame,
    ) -> Result<(), Disconnected> {
        let asked = SessionFrame::parse(frame.body_slice());
        let Some((asked, tracked)) = self.question(driver, frame, asked, SessionFrame::asks)?
        else {
            return Ok(());
        };
        let seq = frame.seq;
        let claim = |key: wire::SessionKey| SessionClaim {
            domain: key.domain,
            session: key.session,
            secret: key.secret,
            owner: self.owner(),
        };
        driver.awaits(seq, 0, Cancellation::new());
        let mut resumed = driver.resumed.as_deref().copied();
        let refused = MutexGuard::unlocked(driver, || {
            let waiter = Waiter::new(self, seq);
            let refused = match asked {
                SessionFrame::Open => {
                    let (secret, owner) = (tracked.random.secret(), self.owner().cloned());
                    let opened = tracked.book.with(|it| it.open(now(), secret, owner, waiter));
                    tracked.expire(&self.workers);
                    opened.map(Result::err)
                }
                SessionFrame::Resume(key) => match resumed {
                    // The same question: its answer may have been lost.
                    Some((asked, session, incarnation))
                        if (asked, session) == (seq, key.session) =>
                    {
                        let again = tracked
                            .book
                            .with(|it| it.resume_again(now(), &claim(key), incarnation, waiter));
                        again.map(Result::err)
                    }
                    _ => {
                        let next = tracked.book.with(|it| it.resume(now(), &claim(key), waiter));
                        next.map(|next| next.map(|it| resumed = Some((seq, key.session, it))).err())
                    }
                },
                SessionFrame::Close(key) => {
                    let closed = tracked.book.with(|it| it.close(&claim(key)));
                    if let Ok(Ok(())) = closed {
                        waiter.say(|out, seq, _| {
                            wire::write_session(out, seq, &SessionFrame::Closed);
                        });
                    }
                    closed.map(Result::err)
                }
                SessionFrame::Granted(_) | SessionFrame::Closed => unreachable!("no questions"),
            };
            refused.ok().flatten()
        });
        driver.resumed = resumed.map(Box::new);
        self.not_granted(driver, seq, refused);
        Ok(())
    }

    /// A frame that acknowledges calls.
    ///
    /// # Errors
    /// What ends the connection, if the peer breaks the protocol.
    pub(in crate::server) fn ack_frame(
        self: &Arc<Self>,
        driver: &mut MutexGuard<'_, Driver<IO>>,
        frame: &Frame,
    ) -> Result<(), Disconnected> {
        let asked = AckFrame::parse(frame.body_slice());
        let Some((asked, tracked)) = self.question(driver, frame, asked, AckFrame::asks)? else {
            return Ok(());
        };
        let seq = frame.seq;
        let AckFrame::Acknowledge { domain, session, ack, incarnation, proof } = asked else {
            unreachable!("the others are no questions");
        };
        driver.awaits(seq, 0, Cancellation::new());
        let refused = MutexGuard::unlocked(driver, || {
            let waiter = Waiter::new(self, seq);
            let acknowledged = tracked.book.with(|ledger| {
                let who = (domain, session, incarnation);
                ledger.acknowledge(now(), who, (ack, proof), waiter)
            });
            acknowledged.ok().and_then(Result::err)
        });
        self.not_granted(driver, seq, refused);
        Ok(())
    }

    /// What is asked, and of whom; `None` if it is answered already or asks nothing.
    fn question<T>(
        &self,
        driver: &mut Driver<IO>,
        frame: &Frame,
        asked: Result<T, MalformedSession>,
        asks: impl FnOnce(&T) -> bool,
    ) -> Result<Option<(T, &Arc<Tracked>)>, Disconnected> {
        let fault = match (asked, &self.server.tracked) {
            (Ok(asked), _) if !asks(&asked) => return Ok(None),
            (Ok(asked), Some(tracked)) => {
                return match driver.session.admit(frame.seq, None, now) {
                    Admission::SeqInUse => Err(Disconnected::SeqInUse(frame.seq)),
                    Admission::Run | Admission::Wait | Admission::Refuse(_) => {
                        Ok(Some((asked, tracked)))
                    }
                };
            }
            (Ok(_), None) => no_ledger(),
            (Err(malformed), _) => Fault::with_code(malformed.fault_code(), malformed.to_string()),
        };
        let max_frame = self.server.limits.max_frame;
        driver.output.write(|out| write_fault(out, frame.seq, &fault, max_frame));
        Ok(None)
    }

    /// Answers a question that the ledger does not grant.
    fn not_granted(&self, driver: &mut Driver<IO>, seq: u64, refused: Option<Refusal>) {
        let Some(refusal) = refused else { return };
        driver.session.finished(seq);
        let max_frame = self.server.limits.max_frame;
        driver.output.write(|out| write_fault(out, seq, &refusal.fault(), max_frame));
    }
}

/// The stamp of a request that has one.
fn stamp(frame: &Frame) -> Stamp {
    let head = RequestHead::parse(frame.head()).expect("it was read when it came");
    head.stamp.expect("there is one").decode()
}

/// The answer to a call that must not run twice, and to whatever is said about sessions.
fn no_ledger() -> Fault {
    let text = "this server keeps no ledger of calls: it has no sessions (ServerBuilder::ledger)";
    Fault::with_code(FaultCode::Unsupported, text)
}
