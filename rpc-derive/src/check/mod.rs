//! Every rule about what can be served, each with what to do instead.

mod demand;
mod names;
mod shape;

use proc_macro2::Ident;
use quote::format_ident;
use syn::{Attribute, ItemImpl, ItemTrait, Type, ext::IdentExt, parse_quote};

use self::{
    names::{Named, Names},
    shape::Shape,
};
use crate::{
    attr::ServiceOptions,
    errors::Errors,
    parse::{Block, Candidate},
    service::{Method, Service, Subject},
    types,
};

/// The service, made of those methods that are right; `None` if there is no saying whose they are.
pub(crate) fn check(
    options: ServiceOptions,
    block: &Block,
    candidates: &[Candidate],
    errors: &mut Errors,
) -> Option<Service> {
    let (owner, subject, attrs, usual_vis) = match block {
        Block::Impl(item) => {
            let (owner, subject) = impl_subject(item, &options, errors)?;
            (owner, subject, &item.attrs, parse_quote!(pub))
        }
        Block::Trait(item) => {
            let subject = trait_subject(item, &options, errors)?;
            (item.ident.unraw(), subject, &item.attrs, item.vis.clone())
        }
    };
    if candidates.is_empty() && errors.count() == 0 {
        let text = "there is no method here to serve: a served method looks like \
                    `fn name(&self, args: A, reply: &mut R) -> Result<(), E>`";
        errors.at(&owner, text);
    }
    let client = options.client.name(|| format_ident!("{owner}Client"));
    let mut names = Names::new(options.case, client.clone());
    let methods = candidates
        .iter()
        .filter_map(|candidate| method(candidate, &subject, &mut names, errors))
        .collect();
    Some(Service {
        krate: options.krate,
        name: options.name.unwrap_or_else(|| owner.to_string()),
        subject,
        cfgs: of_kind(attrs, "cfg"),
        docs: of_kind(attrs, "doc"),
        vis: options.vis.unwrap_or(usual_vis),
        client,
        methods,
        shared_names: names.into_shared(),
    })
}

/// The type that the block is of, and its name.
fn impl_subject(
    item: &ItemImpl,
    options: &ServiceOptions,
    errors: &mut Errors,
) -> Option<(Ident, Subject)> {
    if let Some((path, _)) = &item.trait_ {
        let text = "`#[service]` goes on an `impl` block of the type's own methods; to serve a trait, \
                    put it on the trait itself, which makes a service of any implementor";
        errors.at(path, text);
        return None;
    }
    if let Some(at) = options.server_at {
        let text = "`server` is for a `#[service]` on a trait: this type is itself what a server registers";
        errors.add(syn::Error::new(at, text));
    }
    let Some(last) = types::path(&item.self_ty).and_then(|path| path.segments.last()) else {
        errors.at(
            &item.self_ty,
            "a service is a type with a name: a struct or an enum of this crate",
        );
        return None;
    };
    let bound = item.generics.lifetimes().map(|param| param.lifetime.clone());
    if let Some(lifetime) = bound.chain(types::higher_ranked(&item.self_ty).0).next() {
        let text = "a service lives as long as its server, so its type cannot have a lifetime \
                    parameter: let it own its data, or share them by `Arc`";
        errors.at(lifetime, text);
        return None;
    }
    let ty = Box::new(types::bare(&item.self_ty).clone());
    let generics = Box::new(item.generics.clone());
    Some((last.ident.unraw(), Subject::Type { ty, generics }))
}

fn trait_subject(
    item: &ItemTrait,
    options: &ServiceOptions,
    errors: &mut Errors,
) -> Option<Subject> {
    if !item.generics.params.is_empty() {
        let text = "a caller cannot choose a type, so a served trait has no parameters: \
                    name the types its methods take and return";
        errors.at(&item.generics.params, text);
        return None;
    }
    let owner = item.ident.unraw();
    let server = options.server.name(|| format_ident!("{owner}Server"));
    Some(Subject::Trait { ident: item.ident.clone(), server })
}

fn method(
    candidate: &Candidate,
    subject: &Subject,
    names: &mut Names,
    errors: &mut Errors,
) -> Option<Method> {
    let Candidate { attrs, options, sig } = candidate;
    let cfgs = of_kind(attrs, "cfg");
    if sig.receiver().is_none() {
        // A function of the type, not a method: there is no more to say about it.
        let text = format!(
            "`{}` takes no `self`, so it cannot be called by name: mark it `#[method(skip)]`, or move it \
             out of this block",
            sig.ident
        );
        errors.at(&sig.ident, text);
        return None;
    }
    let Named { name, aliases, in_stub } = names.claim(sig, options, &cfgs, errors)?;
    let Shape { receiver, run, context, arguments, reply, error } =
        Shape::of(sig, options, errors)?;
    let demand = demand::of(options, context.is_some(), errors)?;
    if let Subject::Trait { .. } = subject {
        refuse_self(&[&arguments.ty, reply.ty()], errors)?;
    }
    Some(Method {
        ident: sig.ident.clone(),
        name,
        aliases,
        cfgs,
        docs: of_kind(attrs, "doc"),
        deprecated: of_kind(attrs, "deprecated").pop(),
        receiver,
        run,
        context,
        in_stub,
        demand,
        arguments,
        reply,
        error,
    })
}

/// A caller knows a trait's methods, but not who implements it.
fn refuse_self(types: &[&Type], errors: &mut Errors) -> Option<()> {
    let Some(this) = types.iter().find_map(|ty| types::find(ty, "Self")) else {
        return Some(());
    };
    let text = "a caller knows the trait, but not who implements it: \
                what a method takes and replies cannot depend on `Self`";
    errors.at(this, text);
    None
}

fn of_kind(attrs: &[Attribute], kind: &str) -> Vec<Attribute> {
    attrs.iter().filter(|attr| attr.path().is_ident(kind)).cloned().collect()
}
