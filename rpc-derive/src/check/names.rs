//! The names of a block's methods, on the wire and in the stub: each belongs to one method.

use quote::ToTokens;
use syn::{Attribute, Ident, Signature, ext::IdentExt};

use crate::{
    attr::MethodOptions,
    case::{self, Case},
    errors::Errors,
    service::SharedName,
};

/// The names given out so far.
pub(super) struct Names {
    case: Case,
    /// What the stub is called, if there is one.
    client: Option<Ident>,
    wire: Vec<Claim>,
    stub: Vec<Claim>,
    shared: Vec<SharedName>,
}

struct Claim {
    name: String,
    holder: Holder,
}

/// The names that a method has got.
pub(super) struct Named {
    pub(super) name: String,
    pub(super) aliases: Vec<String>,
    /// Whether its names in the stub are free as well.
    pub(super) in_stub: bool,
}

/// The method that has a name.
#[derive(Clone)]
struct Holder {
    ident: Ident,
    /// If there are any, the method may be absent.
    cfgs: Vec<Attribute>,
}

impl Names {
    pub(super) fn new(case: Case, client: Option<Ident>) -> Self {
        let (wire, stub, shared) = (Vec::new(), Vec::new(), Vec::new());
        Names { case, client, wire, stub, shared }
    }

    /// A method's name on the wire, and its other names there; `None` if there is such a method.
    pub(super) fn claim(
        &mut self,
        sig: &Signature,
        options: &MethodOptions,
        cfgs: &[Attribute],
        errors: &mut Errors,
    ) -> Option<Named> {
        let item = sig.ident.unraw().to_string();
        let holder = Holder { ident: sig.ident.clone(), cfgs: cfgs.to_vec() };
        let twin = |claim: &Claim| claim.holder.ident == sig.ident && claim.holder.cfgs.is_empty();
        if cfgs.is_empty() && self.wire.iter().any(twin) {
            return None; // of two functions with one name the compiler tells
        }

        // Each name, and where it is written: the Rust name is an alias nobody has to write.
        let (name, at): (String, &dyn ToTokens) = match &options.name {
            Some(at) => (at.value(), at),
            None => (self.case.apply(&item), &sig.ident),
        };
        let mut aliases: Vec<(String, &dyn ToTokens)> = Vec::new();
        if name != item {
            aliases.push((item.clone(), &sig.ident));
        }
        for at in &options.aliases {
            let alias = at.value();
            if alias == name || aliases.iter().any(|(own, _)| *own == alias) {
                errors.at(at, format_args!("`{alias}` is a name of this method already"));
            } else {
                aliases.push((alias, at));
            }
        }
        let mut free = true;
        for (name, at) in [&(name.clone(), at)].into_iter().chain(&aliases) {
            // Two methods may share more than one name; that is still one mistake.
            free = free && self.is_free(name, &holder, at, errors);
            self.wire.push(Claim { name: name.clone(), holder: holder.clone() });
        }
        let in_stub = match self.claim_in_stub(&item, &holder) {
            Ok(()) => true,
            Err(error) => {
                if free {
                    errors.add(error);
                }
                false
            }
        };
        let aliases = aliases.into_iter().map(|(alias, _)| alias).collect();
        Some(Named { name, aliases, in_stub })
    }

    /// Names that only a `#[cfg]` keeps apart.
    pub(super) fn into_shared(self) -> Vec<SharedName> {
        self.shared
    }

    fn is_free(
        &mut self,
        name: &str,
        holder: &Holder,
        at: &dyn ToTokens,
        errors: &mut Errors,
    ) -> bool {
        let Some(other) = self.wire.iter().find(|claim| claim.name == name) else { return true };
        let other = &other.holder;
        if other.ident == holder.ident {
            return true; // they are never there together, or the compiler tells
        }
        if !other.cfgs.is_empty() || !holder.cfgs.is_empty() {
            let methods = [other, holder].map(|one| (one.ident.clone(), one.cfgs.clone()));
            self.shared.push(SharedName { name: name.to_owned(), methods });
            return true;
        }
        let text = format!(
            "`{name}` is a name of the method `{}` already: give one of the two another with \
             `#[method(name = \"…\")]`",
            other.ident
        );
        errors.at(at, text);
        false
    }

    /// The stub has functions of its own, and two and a constant for each method.
    fn claim_in_stub(&mut self, item: &str, holder: &Holder) -> syn::Result<()> {
        let Some(client) = &self.client else { return Ok(()) };
        if ["new", "with_name", "dial", "with", "client"].contains(&item) {
            let text = format!(
                "`{client}` has a `{item}` of its own: rename the method, and keep its name on the wire \
                 with `#[method(name = \"…\")]`, or do without the stub: `#[service(client = false)]`"
            );
            return Err(syn::Error::new_spanned(&holder.ident, text));
        }
        for name in [item.to_owned(), format!("{item}_go"), case::constant(item)] {
            let other =
                self.stub.iter().find(|claim| claim.name == name).map(|claim| &claim.holder);
            if let Some(other) = other
                && other.cfgs.is_empty()
                && holder.cfgs.is_empty()
            {
                let text = format!(
                    "`{client}::{name}` is made for the method `{}` already: rename one of the two, or \
                     do without the stub: `#[service(client = false)]`",
                    other.ident
                );
                return Err(syn::Error::new_spanned(&holder.ident, text));
            }
            self.stub.push(Claim { name, holder: holder.clone() });
        }
        Ok(())
    }
}
