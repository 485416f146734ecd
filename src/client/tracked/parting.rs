//! A client that is closed parts from its sessions.

use std::{sync::Arc, time::Duration};

use netrpc_core::{error::Disconnected, wire::SessionFrame};

use super::{
    Sessions,
    awaited::{self, Question},
};
use crate::client::{Handle, route::Route, shared::Shared};

/// How long a server that does not read may hold up the end of a client.
const PATIENCE: Duration = Duration::from_secs(1);

impl Sessions {
    /// Lets no call begin any more, and tells the server that nobody needs the sessions that there are, or what
    /// is settled in that of a log. It waits until that has left, not for an answer.
    pub(in crate::client) async fn part(&self, route: &Route) {
        let ends = Ends(route);
        let questions: Vec<_> = match &self.journal {
            None => {
                let keys = self.close(Arc::new(Disconnected::Closed)).into_iter();
                keys.map(|key| Question::Session(SessionFrame::Close(key))).collect()
            }
            // It goes on when the log is opened again.
            Some(journal) => {
                journal.close().await;
                let ack = self.last_ack().map(Question::Acknowledgement);
                self.close(Arc::new(Disconnected::Closed));
                ack.into_iter().collect()
            }
        };
        if questions.is_empty() {
            return ends.not_yet();
        }
        let Some(connection) = route.established() else { return };
        for question in questions {
            // It waits for no answer.
            awaited::tell(&connection.shared, &question);
        }
        let _ = tokio::time::timeout(PATIENCE, leaves(&connection)).await;
        ends.not_yet();
    }
}

impl Sessions {
    /// Nobody holds the client or a call any more. The server is told that nobody needs the session, if it is
    /// there: a courtesy, for it would end in its time.
    pub(in crate::client) fn take_leave(&self, shared: &Shared) {
        if self.journal.is_some() || !shared.is_established() {
            return;
        }
        for key in self.close(Arc::new(Disconnected::Closed)) {
            let close = Question::Session(SessionFrame::Close(key));
            awaited::tell(shared, &close);
        }
    }
}

/// Waits until what is queued has been offered to the operating system.
async fn leaves(connection: &Handle) {
    let shared = &connection.shared;
    let queued = shared.end_of_queue();
    loop {
        let changed = shared.changed.notified();
        if shared.has_offered(queued) {
            return;
        }
        changed.await;
    }
}

/// Whoever gives up waiting has closed the client all the same.
struct Ends<'a>(&'a Route);

impl Ends<'_> {
    /// There is more to be said.
    fn not_yet(self) {
        std::mem::forget(self);
    }
}

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}
