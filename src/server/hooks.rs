//! What the owner of a server has put around its handlers.

use std::{fmt, sync::Arc};

use netrpc_core::{Fault, fault::FaultCode};

use super::{authenticate::CheckConnection, authorize::CheckCall};

/// What the owner of a server has put around its handlers.
#[derive(Clone, Default)]
pub(super) struct Hooks {
    /// Of connections, before anything is read from them.
    pub(super) authenticate: Vec<Arc<dyn CheckConnection>>,
    /// Of calls, before anything of them runs.
    pub(super) authorize: Vec<Arc<dyn CheckCall>>,
}

impl Hooks {
    /// Whether something stands before the handlers.
    pub(super) fn concern_calls(&self) -> bool {
        !self.authorize.is_empty()
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("authenticate", &self.authenticate.len())
            .field("authorize", &self.authorize.len())
            .finish()
    }
}

/// A check's fault, which cannot say that a method has run.
pub(super) fn refusal(fault: Fault) -> Fault {
    if fault.code().may_have_run() { fault.into_code(FaultCode::Denied) } else { fault }
}
