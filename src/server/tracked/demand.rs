//! What a method insists on, and what a server can promise.

use netrpc_core::{
    Fault,
    fault::FaultCode,
    ledger::Class,
    semantics::{Demand, Semantics},
    service::Entry,
};

use super::Tracked;

/// Whether a call under these semantics is good enough for its method.
///
/// # Errors
/// What it is answered: it has not run.
pub(in crate::server) fn met(entry: &Entry, semantics: Semantics) -> Result<(), Fault> {
    let demands = entry.options().demands;
    if demands.is_met_by(semantics) { Ok(()) } else { Err(unmet(entry, demands)) }
}

#[cold]
fn unmet(entry: &Entry, demands: Demand) -> Fault {
    let name = entry.full_name();
    let text = match demands {
        Demand::ExactlyOnce => {
            format!("{name} takes calls under Semantics::ExactlyOnce only (CallOptions::semantics)")
        }
        _ => format!(
            "{name} must not run twice: call it in netrpc's own protocol, under Semantics::AtMostOnce or \
             ExactlyOnce (CallOptions::semantics)"
        ),
    };
    Fault::with_code(FaultCode::Unsupported, text)
}

impl Tracked {
    /// How a stamped call is recorded.
    ///
    /// # Errors
    /// If what it asks for cannot be promised: it has not run.
    pub(super) fn class(&self, entry: &Entry, semantics: Semantics) -> Result<Class, Fault> {
        met(entry, semantics)?;
        if semantics == Semantics::ExactlyOnce {
            let text =
                "this server cannot promise that a call runs exactly once: its ledger is volatile";
            return Err(Fault::with_code(FaultCode::Unsupported, text));
        }
        Ok(Class::Recorded)
    }
}
