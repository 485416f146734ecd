//! Something that was sent, and whose answer is awaited.

use std::{future::poll_fn, sync::Arc};

use netrpc_core::{
    error::Disconnected,
    pending::Outcome,
    wire::{AckFrame, Frame, HEADER_LEN, Kind, SessionFrame, write_ack, write_session},
};

use crate::client::{
    Handle,
    shared::{Answer, Shared},
};

/// A call or a question that is under way on a connection. Dropped, it is given up.
pub(super) struct Awaited {
    connection: Arc<Handle>,
    /// Its number there; `None` once it is over.
    seq: Option<u64>,
    is_call: bool,
}

/// What is asked about a session.
pub(super) enum Question {
    Session(SessionFrame),
    Acknowledgement(AckFrame),
}

impl Awaited {
    /// A call that was sent.
    pub(super) fn call(connection: Arc<Handle>, seq: u64) -> Self {
        Awaited { connection, seq: Some(seq), is_call: true }
    }

    /// Asks something about a session.
    ///
    /// # Errors
    /// If the connection takes no more.
    pub(super) fn question(
        connection: Arc<Handle>,
        question: &Question,
    ) -> Result<Self, Arc<Disconnected>> {
        let seq = ask(&connection.shared, question)?;
        Ok(Awaited { connection, seq: Some(seq), is_call: false })
    }

    /// What it ends with. Dropping the future leaves it under way.
    ///
    /// # Panics
    /// If it is over.
    pub(super) async fn outcome(&mut self) -> Outcome<Answer> {
        let seq = self.seq.expect("it is under way");
        let outcome = poll_fn(|cx| self.connection.shared.poll(seq, cx)).await;
        self.seq = None;
        outcome
    }

    /// Gives it up; whether it may have run, or still will.
    pub(super) fn abandon(&mut self) -> bool {
        match self.seq.take() {
            Some(seq) if self.is_call => self.connection.shared.abandon(seq),
            // Nobody is there to be told.
            Some(seq) => {
                self.connection.shared.detach(seq);
                false
            }
            None => false,
        }
    }
}

/// Asks something, and gives its number.
fn ask(shared: &Shared, question: &Question) -> Result<u64, Arc<Disconnected>> {
    let mut frame = Vec::new();
    let kind = match question {
        Question::Session(session) => {
            write_session(&mut frame, 0, session);
            Kind::Session
        }
        Question::Acknowledgement(ack) => {
            write_ack(&mut frame, 0, ack);
            Kind::Acknowledgement
        }
    };
    // The connection gives it a number, and a header.
    shared.ask(kind, &frame[HEADER_LEN..])
}

/// Says something without waiting for an answer, if that can be said.
pub(super) fn tell(shared: &Shared, question: &Question) {
    if let Ok(seq) = ask(shared, question) {
        shared.detach(seq);
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        self.abandon();
    }
}

/// Whether a frame about a session answers something.
pub(in crate::client) fn is_answer(frame: &Frame) -> bool {
    let body = frame.body_slice();
    match frame.kind {
        Kind::Session => SessionFrame::parse(body).is_ok_and(|session| !session.asks()),
        Kind::Acknowledgement => AckFrame::parse(body).is_ok_and(|ack| !ack.asks()),
        _ => false,
    }
}
