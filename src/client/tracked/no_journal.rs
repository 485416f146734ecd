//! Without the feature `durable` there are no logs, and nobody can have one.

use std::convert::Infallible;

use netrpc_core::{
    Error,
    semantics::{Grant, Xid},
};

use super::sessions::Said;

pub(super) struct Journal(Infallible);

#[derive(Debug, Clone, Copy)]
pub(super) struct Ticket(Infallible);

impl Journal {
    pub(super) fn session(&self, _: &Grant) {
        match self.0 {}
    }

    pub(super) fn call(&self, _: Xid, _: &Said<'_>) -> Ticket {
        match self.0 {}
    }

    pub(super) fn settle(&self, _: Xid, _: bool) {
        match self.0 {}
    }

    pub(super) fn settling(&self) -> usize {
        match self.0 {}
    }

    pub(super) fn failure(&self) -> Option<Error> {
        match self.0 {}
    }

    #[allow(clippy::unused_async)] // as the other's
    pub(super) async fn is_safe(&self, ticket: Ticket) -> Result<(), Error> {
        match ticket.0 {}
    }

    pub(super) fn write(&self) {
        match self.0 {}
    }

    #[allow(clippy::unused_async)] // as the other's
    pub(super) async fn close(&self) {
        match self.0 {}
    }
}
