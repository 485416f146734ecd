//! A client that is closed parts from its sessions.

use std::{sync::Arc, time::Duration};

use netrpc_core::{error::Disconnected, wire::SessionFrame};

use super::{
    Sessions,
    awaited::{Awaited, Question},
};
use crate::client::{Handle, route::Route};

/// How long a server that does not read may hold up the end of a client.
const PATIENCE: Duration = Duration::from_secs(1);

impl Sessions {
    /// Lets no call begin any more, and tells the server that nobody needs the sessions that there are. It
    /// waits until that has left, not for an answer.
    pub(in crate::client) async fn part(&self, route: &Route) {
        let keys = self.close(Arc::new(Disconnected::Closed));
        if keys.is_empty() {
            return;
        }
        let Some(connection) = route.established() else { return };
        let _ends = Ends(route);
        for key in keys {
            let close = Question::Session(SessionFrame::Close(key));
            drop(Awaited::question(connection.clone(), &close));
        }
        let _ = tokio::time::timeout(PATIENCE, leaves(&connection)).await;
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

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}
