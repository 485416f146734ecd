//! Fields that the sender does not know: zero, as in Go, unless serde has a default for them.
//!
//! serde does not say which fields have a default; it says, once all that came has been read, that
//! one is missing. So the value is read again with that one zero, and what was found out is kept
//! with the type.

use std::cell::{Cell, RefCell};

use crate::types::{Plan, Struct, Target};

/// How often a value is read again because of fields that its sender does not know, each time
/// knowing of one more; then all of them are known at once.
const MAX_ATTEMPTS: usize = 8;

/// A field of a Rust struct that the struct on the wire does not have.
#[derive(Clone, Copy)]
struct Missing<'t> {
    of: &'t Struct,
    target: Target,
    name: &'static str,
}

/// What has been learnt from failing to read a value.
#[derive(Default)]
pub(super) struct Attempt<'t> {
    /// The last struct that was read to its end and has not got all fields.
    last: Cell<Option<(&'t Struct, Target)>>,
    /// Fields that have no default: they are zero.
    missing: RefCell<Vec<Missing<'t>>>,
}

impl<'t> Attempt<'t> {
    /// Whether it is worth trying again, after a field was missed.
    #[cold]
    pub(super) fn learn(&self, name: &'static str) -> bool {
        let Some((of, target)) = self.last.take() else { return false };
        let mut missing = self.missing.borrow_mut();
        if !target.fields.contains(&name) || knows(&missing, of, target, name) {
            return false;
        }
        missing.push(Missing { of, target, name });
        true
    }

    /// The next of the target's fields, from `from` on, that is to be zero although the sender does
    /// not know it.
    #[inline]
    pub(super) fn next_missing(
        &self,
        of: &'t Struct,
        target: Target,
        plan: &Plan,
        from: &mut usize,
    ) -> Option<&'static str> {
        if plan.is_complete { None } else { self.find_missing(of, target, plan, from) }
    }

    fn find_missing(
        &self,
        of: &'t Struct,
        target: Target,
        plan: &Plan,
        from: &mut usize,
    ) -> Option<&'static str> {
        let missing = self.missing.borrow();
        let kept = plan.missing.get().map_or(&[][..], |kept| kept);
        let nothing = missing.is_empty() && kept.is_empty();
        while let Some(name) = target.fields.get(*from).filter(|_| !nothing) {
            let is_known = plan.of.contains(&(*from as u32));
            *from += 1;
            if !is_known && (kept.contains(name) || knows(&missing, of, target, name)) {
                return Some(name);
            }
        }
        self.last.set(Some((of, target)));
        None
    }

    /// Keeps what it took several attempts to find out, for the values to come.
    #[inline]
    pub(super) fn keep(&self) {
        if !self.missing.borrow().is_empty() {
            self.keep_missing();
        }
    }

    #[cold]
    fn keep_missing(&self) {
        let missing = self.missing.borrow();
        for Missing { of, target, .. } in &*missing {
            of.learn(*target, |name| knows(&missing, of, *target, name));
        }
    }
}

/// Whether that field is missing; after too many attempts, all are.
fn knows(missing: &[Missing<'_>], of: &Struct, target: Target, name: &str) -> bool {
    missing.len() > MAX_ATTEMPTS
        || missing
            .iter()
            .any(|known| known.name == name && std::ptr::eq(known.of, of) && known.target == target)
}
