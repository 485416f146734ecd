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
        if semantics != Semantics::ExactlyOnce {
            return Ok(Class::Recorded);
        }
        let refuse = |text| Err(Fault::with_code(FaultCode::Unsupported, text));
        let name = entry.full_name();
        let Some(store) = &self.store else {
            let text = format!(
                "{name} cannot run exactly once here: the server's ledger is volatile (Ledger::open)"
            );
            return refuse(text);
        };
        if self.completions_of(name).is_some() {
            return Ok(Class::Recorded);
        }
        if entry.options().demands != Demand::ExactlyOnce {
            let text = format!(
                "{name} cannot run exactly once: it is not #[method(exactly_once)], and no CompletionStore \
                 remembers what it does"
            );
            return refuse(text);
        }
        if store.transactions().is_none() {
            let text = format!(
                "{name} cannot run exactly once here: handlers cannot write into the ledger's store"
            );
            return refuse(text);
        }
        Ok(Class::Transactional)
    }
}
