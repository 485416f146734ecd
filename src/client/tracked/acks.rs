//! Acknowledgements that travel alone: after a second in which no call carried them, at half a window, or when
//! a call waits for what they free.

use std::{
    sync::{Arc, Weak},
    time::Instant,
};

use netrpc_core::{
    pending::Outcome,
    semantics::{Grant, Series, SeriesLimits, Xid},
    wire::{AckFrame, FaultCode, SessionFrame, SessionKey},
};

use super::{
    Sessions,
    awaited::{self, Awaited, Question},
    opening::Said,
};
use crate::client::{Handle, now, shared::Answer};

/// What there is to do.
enum Step {
    Nothing,
    /// Look anew.
    Again,
    Wait(Instant),
    /// To be said on this connection.
    Acknowledge(Arc<Handle>, AckFrame, Xid),
    Part(Arc<Handle>, Vec<SessionKey>),
}

impl Sessions {
    /// Sees to it that what is settled is acknowledged in time.
    pub(super) fn look(&self) {
        {
            let mut state = self.state.lock();
            let unsent = state.current.as_ref().and_then(Series::unsent_ack).is_some();
            if state.acking || !unsent && state.parting.is_empty() {
                return;
            }
            state.acking = true;
        }
        drop(self.runtime.spawn(acknowledge(self.weak())));
    }

    /// There is a connection.
    pub(in crate::client) fn connected(&self) {
        self.look();
    }

    /// What is to be said of the present session before its client goes.
    pub(super) fn last_ack(&self) -> Option<AckFrame> {
        let mut state = self.state.lock();
        let series = state.current.as_mut()?;
        series.last_ack()?;
        Some(acknowledgement(series))
    }

    fn step(&self) -> Step {
        // Looked up before: a line's lock is not taken under this one, and whoever drops the last handle of a
        // connection takes this one.
        let Some(connection) = self.connection() else {
            // It is looked at again when there is one; unless that was just now.
            self.state.lock().acking = false;
            return if self.is_connected() { Step::Again } else { Step::Nothing };
        };
        let mut state = self.state.lock();
        if !state.parting.is_empty() {
            return Step::Part(connection, std::mem::take(&mut state.parting));
        }
        let is_wanted = state.waiting > 0;
        if let Some(series) = &mut state.current {
            let now = now();
            if series.ack_due(now).is_some() || is_wanted && series.unsent_ack().is_some() {
                let xid = series.xid(0);
                return Step::Acknowledge(connection, acknowledgement(series), xid);
            }
            if let Some(at) = series.next_timeout() {
                return Step::Wait(at);
            }
        }
        state.acking = false;
        Step::Nothing
    }

    /// Whether there is a connection after all, and nobody else has noticed.
    fn is_connected(&self) -> bool {
        let is_there = self.route.upgrade().is_some_and(|route| route.established().is_some());
        is_there && !std::mem::replace(&mut self.state.lock().acking, true)
    }

    /// Where an acknowledgement can be sent. No connection is made for it, unless a call waits for it.
    fn connection(&self) -> Option<Arc<Handle>> {
        let route = self.route.upgrade()?;
        let is_wanted = self.state.lock().waiting > 0;
        if !is_wanted {
            return route.established();
        }
        let connection = route.current().ok()?;
        match connection.shared.closed() {
            None => Some(connection),
            Some(cause) => route.renew(&connection, cause).ok(),
        }
    }

    /// What became of an acknowledgement; `false` if it is to be tried again later.
    fn acknowledged(&self, asked: Instant, xid: Xid, outcome: Outcome<Answer>) -> bool {
        let said = match outcome {
            Outcome::Answered(Answer::Frame(frame)) => Said::of(&frame),
            Outcome::Answered(_) => Said::Nonsense,
            // The next connection takes its time.
            Outcome::Lost { .. } => {
                self.disconnected();
                return true;
            }
        };
        match said {
            Said::Confirmed(standing) => self.heard(asked, &standing),
            Said::Fault(fault) if is_the_end(fault.code()) => self.gone(xid.domain, xid.session),
            Said::Fault(_) | Said::Granted(_) | Said::Closed | Said::Nonsense => {
                self.disconnected();
                return false;
            }
        }
        true
    }
}

/// Sends what is due until nothing is.
async fn acknowledge(sessions: Weak<Sessions>) {
    loop {
        let (step, bell) = {
            let Some(sessions) = sessions.upgrade() else { return };
            (sessions.step(), sessions.bell.clone())
        };
        match step {
            Step::Nothing => return,
            Step::Again => {}
            Step::Wait(at) => {
                tokio::select! {
                    biased;
                    () = bell.notified() => {}
                    () = tokio::time::sleep_until(at.into()) => {}
                }
            }
            Step::Part(connection, keys) => {
                for key in keys {
                    // A courtesy: whether it arrives does not matter.
                    awaited::tell(&connection.shared, &Question::Session(SessionFrame::Close(key)));
                }
            }
            Step::Acknowledge(connection, ack, xid) => {
                let asked = now();
                let outcome = match Awaited::question(connection, &Question::Acknowledgement(ack)) {
                    Ok(mut awaited) => awaited.outcome().await,
                    Err(cause) => Outcome::Lost { may_have_run: false, cause },
                };
                let Some(sessions) = sessions.upgrade() else { return };
                if !sessions.acknowledged(asked, xid, outcome) {
                    drop(sessions);
                    tokio::time::sleep(SeriesLimits::default().ack_idle).await;
                }
            }
        }
    }
}

/// What a session's client says that is due, now.
pub(super) fn acknowledgement(series: &mut Series) -> AckFrame {
    let ack = series.unsent_ack().or(series.last_ack()).unwrap_or(series.confirmed());
    let proof = series.acknowledged(now(), ack);
    let Grant { domain, session, incarnation, .. } = *series.grant();
    AckFrame::Acknowledge { domain, session, ack, incarnation, proof }
}

/// Whether the session is of no use after such an answer.
fn is_the_end(code: FaultCode) -> bool {
    matches!(
        code,
        FaultCode::WrongDomain
            | FaultCode::WrongEpoch
            | FaultCode::SessionExpired
            | FaultCode::SessionUnknown
            | FaultCode::Fenced
            | FaultCode::NotYours
    )
}
