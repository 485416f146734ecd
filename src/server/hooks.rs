//! What the owner of a server has put around its handlers.

use std::{fmt, sync::Arc};

use netrpc_core::{Fault, fault::FaultCode};

#[cfg(feature = "tower")]
use super::layer::AnyLayer;
use super::{authenticate::CheckConnection, authorize::CheckCall};

/// What the owner of a server has put around its handlers.
#[derive(Clone, Default)]
pub(super) struct Hooks {
    /// Of connections, before anything is read from them.
    pub(super) authenticate: Vec<Arc<dyn CheckConnection>>,
    /// Of calls, before anything of them runs.
    pub(super) authorize: Vec<Arc<dyn CheckCall>>,
    /// Behind the checks, the first outermost.
    #[cfg(feature = "tower")]
    pub(super) layers: Vec<AnyLayer>,
}

impl Hooks {
    /// Whether something stands before the handlers.
    pub(super) fn concern_calls(&self) -> bool {
        #[cfg(feature = "tower")]
        if !self.layers.is_empty() {
            return true;
        }
        !self.authorize.is_empty()
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Hooks");
        debug.field("authenticate", &self.authenticate.len());
        debug.field("authorize", &self.authorize.len());
        #[cfg(feature = "tower")]
        debug.field("layers", &self.layers.len());
        debug.finish()
    }
}

/// A check's fault, which cannot say that a method has run.
pub(super) fn refusal(fault: Fault) -> Fault {
    if fault.code().may_have_run() { fault.into_code(FaultCode::Denied) } else { fault }
}
