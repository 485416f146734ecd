//! How often a method may run: what it says has to be possible.

use proc_macro2::Span;

use crate::{attr::MethodOptions, errors::Errors, service::Demand};

/// What a method demands of its calls, or what is wrong with that.
pub(super) fn of(
    options: &MethodOptions,
    has_context: bool,
    errors: &mut Errors,
) -> Option<Demand> {
    let MethodOptions { idempotent, at_most_once, exactly_once, .. } = options;
    let said = [
        (idempotent, "idempotent", Demand::Idempotent),
        (at_most_once, "at_most_once", Demand::AtMostOnce),
        (exactly_once, "exactly_once", Demand::ExactlyOnce),
    ];
    let mut said = said.into_iter().filter_map(|(at, name, demand)| Some(((*at)?, name, demand)));
    let Some((_, first, demand)) = said.next() else { return Some(Demand::None) };
    if let Some((at, second, _)) = said.next() {
        errors.add(contradiction(at, first, second));
        return None;
    }
    if let (Some(at), false) = (exactly_once, has_context) {
        let text = "what runs exactly once is committed together with its outcome, which needs the call: \
                    take `cx: &Context` first, and write through `cx.txn()`, or with `cx.xid()` into a \
                    database of your own; or say `at_most_once`";
        errors.add(syn::Error::new(*at, text));
        return None;
    }
    Some(demand)
}

fn contradiction(at: Span, first: &str, second: &str) -> syn::Error {
    let text = match (first, second) {
        ("idempotent", _) => format!(
            "a method that is `idempotent` may run twice, and one that is `{second}` must not: remove one"
        ),
        _ => "what runs `exactly_once` runs `at_most_once`: remove one".to_owned(),
    };
    syn::Error::new(at, text)
}
