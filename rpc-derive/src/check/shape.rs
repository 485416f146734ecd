//! A method's signature: which of the served shapes it has.

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;
use syn::{
    FnArg, GenericParam, Pat, PatType, ReceiverKind, ReturnType, Safety, Signature, Type,
    TypeReference, WherePredicate, spanned::Spanned,
};

use crate::{
    attr::MethodOptions,
    errors::Errors,
    service::{Arguments, Receiver, Reply, Run},
    types,
};

/// What a signature says.
pub(super) struct Shape {
    pub(super) receiver: Receiver,
    pub(super) run: Run,
    pub(super) context: Option<Span>,
    pub(super) arguments: Arguments,
    pub(super) reply: Reply,
    /// The type of the method's errors, or the nearest thing to it that is written.
    pub(super) error: Option<TokenStream>,
}

impl Shape {
    /// The shape of a signature, or what is wrong with it.
    pub(super) fn of(
        sig: &Signature,
        options: &MethodOptions,
        errors: &mut Errors,
    ) -> Option<Shape> {
        let mistakes = errors.count();
        qualifiers(sig, errors);
        generics(sig, errors);
        let run = run(sig, options, errors);
        let receiver = sig.receiver().and_then(|this| receiver(this, errors));
        let parameters = Parameters::of(sig, errors);
        let returned = returned(sig, parameters.is_some(), errors);
        if errors.count() > mistakes {
            return None;
        }
        let Parameters { context, arguments, reply } = parameters?;
        let Returned { reply: returned, error } = returned?;
        let reply = reply.map(Reply::Written).or(returned)?;
        Some(Shape { receiver: receiver?, run, context, arguments, reply, error })
    }
}

fn qualifiers(sig: &Signature, errors: &mut Errors) {
    if let Some(keyword) = &sig.constness {
        let text = "a served method cannot be `const`: remove that, or mark it `#[method(skip)]`";
        errors.at(keyword, text);
    }
    if let Safety::Unsafe(keyword) = &sig.safety {
        let text = "a served method cannot be `unsafe`, since its callers can promise nothing: let it check \
                    what it needs, or mark it `#[method(skip)]`";
        errors.at(keyword, text);
    }
    if let Some(abi) = &sig.abi {
        let text = "a served method cannot be `extern`: remove that, or mark it `#[method(skip)]`";
        errors.at(abi, text);
    } else if let Some(variadic) = &sig.variadic {
        let text = "a served method takes one argument: `Vec<T>` for any number of values";
        errors.at(variadic, text);
    }
}

fn generics(sig: &Signature, errors: &mut Errors) {
    for param in &sig.generics.params {
        match param {
            GenericParam::Lifetime(_) => {}
            GenericParam::Type(_) | GenericParam::Const(_) => {
                let text = "a caller cannot choose a type, so a served method is not generic: name the type, \
                            or make it a parameter of the `impl` block";
                errors.at(param, text);
            }
        }
    }
    for predicate in sig.generics.where_clause.iter().flat_map(|clause| &clause.predicates) {
        match predicate {
            WherePredicate::Lifetime(_) => {}
            _ => {
                let text = "a served method is always there: remove this condition, or put it on the whole block";
                errors.at(predicate, text);
            }
        }
    }
}

fn run(sig: &Signature, options: &MethodOptions, errors: &mut Errors) -> Run {
    match (&sig.asyncness, options.blocking, options.no_cancel) {
        (None, blocking, no_cancel) => {
            if let Some(at) = no_cancel {
                let text = "a synchronous method runs to its end once it has begun: `no_cancel` is for `async fn`";
                errors.add(syn::Error::new(at, text));
            }
            Run::Sync { blocking: blocking.is_some() }
        }
        (Some(_), blocking, no_cancel) => {
            if let Some(at) = blocking {
                let text = "an `async` method must not block: remove `async`, or hand what blocks to \
                            `tokio::task::spawn_blocking`";
                errors.add(syn::Error::new(at, text));
            }
            Run::Async { no_cancel: no_cancel.is_some() }
        }
    }
}

fn receiver(this: &syn::Receiver, errors: &mut Errors) -> Option<Receiver> {
    const SHARED: &str = "calls run at the same time and share the service: take `&self`, and keep what changes \
                          in a `Mutex` or an atomic";
    const KEPT: &str =
        "a call cannot take the service away from other calls: take `&self` or `self: Arc<Self>`";
    match &this.kind {
        ReceiverKind::Reference(_, _, None) => return Some(Receiver::Ref),
        ReceiverKind::Reference(_, _, Some(_)) => errors.at(this, SHARED),
        ReceiverKind::Typed(_, ty) => match types::bare(ty) {
            ty if types::argument_of(ty, "Arc").is_some() => return Some(Receiver::Arc),
            Type::Reference(TypeReference { mutability: Some(_), .. }) => errors.at(this, SHARED),
            Type::Reference(reference) if types::argument_of(&reference.elem, "Arc").is_some() => {
                return Some(Receiver::RefArc);
            }
            Type::Reference(_) => return Some(Receiver::Ref),
            _ => errors.at(this, KEPT),
        },
        _ => errors.at(this, KEPT),
    }
    None
}

/// The parameters after `self`.
struct Parameters {
    context: Option<Span>,
    arguments: Arguments,
    /// `R` of `reply: &mut R`.
    reply: Option<Type>,
}

impl Parameters {
    fn of(sig: &Signature, errors: &mut Errors) -> Option<Self> {
        let mistakes = errors.count();
        let mut inputs: Vec<&PatType> = Vec::new();
        for input in &sig.inputs {
            let FnArg::Typed(input) = input else { continue };
            refuse_generic(&input.ty, errors);
            for attr in &input.attrs {
                if attr.path().is_ident("cfg") || attr.path().is_ident("cfg_attr") {
                    let text = "`#[service]` cannot tell whether this parameter is there: put `#[cfg]` on two \
                                methods instead";
                    errors.at(attr, text);
                }
            }
            inputs.push(input);
        }
        let reply = inputs.pop_if(|last| mutable(&last.ty).is_some());
        let reply = reply.and_then(|reply| mutable(&reply.ty));
        if let Some(ty) = reply {
            refuse_unsized(ty, errors);
        }
        for early in &inputs {
            let Some(target) = mutable(&early.ty) else { continue };
            if types::ends_in(target, "Context") {
                errors.at(&early.ty, LENT);
            } else if reply.is_none() {
                errors.at(early, "the reply comes last: `args: A, reply: &mut R`");
            } else {
                let text =
                    "a served method has one `&mut`, its reply: put all it replies into one struct";
                errors.at(early, text);
            }
        }
        if errors.count() > mistakes {
            return None;
        }
        let (context, inputs) = match &inputs[..] {
            [first, inputs @ ..] if is_context(&first.ty) => (Some(first.ty.span()), inputs),
            inputs => (None, inputs),
        };
        let arguments = match inputs {
            [] => {
                let text = "a served method takes one argument: `_: ()` if it needs none";
                errors.at(&sig.ident, text);
                return None;
            }
            [arguments] => arguments,
            [first, more @ ..] => {
                too_many(first, more, sig, reply.is_some(), errors);
                return None;
            }
        };
        let ident = match &*arguments.pat {
            Pat::Ident(pat) if pat.subpat.is_none() => Some(pat.ident.clone()),
            _ => None,
        };
        let arguments = Arguments { ty: (*arguments.ty).clone(), ident };
        Some(Parameters { context, arguments, reply: reply.cloned() })
    }
}

/// `R` of `&mut R`.
fn mutable(ty: &Type) -> Option<&Type> {
    match types::bare(ty) {
        Type::Reference(TypeReference { mutability: Some(_), elem, .. }) => Some(elem),
        _ => None,
    }
}

/// `&Context`, by whatever path. There is no argument type that it could be mistaken for: nothing
/// behind a plain reference can be decoded but `str`, `[u8]` and `Path`.
fn is_context(ty: &Type) -> bool {
    match types::bare(ty) {
        Type::Reference(TypeReference { mutability: None, elem, .. }) => {
            types::ends_in(elem, "Context")
        }
        _ => false,
    }
}

const LENT: &str = "the context is lent: `cx: &Context`";

/// More than one argument; or the second is a reply, or a context, that does not look like one.
fn too_many(first: &PatType, more: &[&PatType], sig: &Signature, reply: bool, errors: &mut Errors) {
    let context = |it: &PatType| match types::bare(&it.ty) {
        Type::Reference(reference) => types::ends_in(&reference.elem, "Context"),
        ty => types::ends_in(ty, "Context"),
    };
    if context(first) {
        errors.at(&first.ty, LENT);
    } else if let Some(cx) = more.iter().find(|it| context(it)) {
        errors.at(cx, "the context comes first: `cx: &Context, args: A`");
    } else if let ([last], false, true) = (more, reply, returns_nothing(&sig.output)) {
        let target = match types::bare(&last.ty) {
            Type::Reference(reference) => &reference.elem,
            ty => ty,
        };
        let text = format!(
            "the reply is written through a mutable reference: `&mut {}`; if this is an argument, put all \
             arguments into one struct or tuple",
            types::text(target)
        );
        errors.at(&last.ty, text);
    } else {
        let all = || [first].into_iter().chain(more.iter().copied());
        let pats: Vec<_> = all().map(|it| it.pat.to_token_stream().to_string()).collect();
        let tys: Vec<_> = all().map(|it| types::text(&it.ty)).collect();
        let mut text = format!(
            "a served method takes one argument: put all of them into one struct, or take a tuple \
             `({}): ({})`",
            pats.join(", "),
            tys.join(", ")
        );
        if let Type::Reference(first) = types::bare(&first.ty)
            && types::path(&first.elem).is_some_and(|path| !path.is_ident("str"))
        {
            text += "; if the first is a `netrpc::Context`, write `&Context`";
        }
        let mut extra = TokenStream::new();
        for it in more {
            it.to_tokens(&mut extra);
        }
        errors.at(extra, text);
    }
}

/// What follows the arrow.
struct Returned {
    reply: Option<Reply>,
    error: Option<TokenStream>,
}

fn returned(sig: &Signature, parameters: bool, errors: &mut Errors) -> Option<Returned> {
    const WRITTEN: &str = "a method that writes its reply returns nothing, or `Result<(), E>`";
    const RETURNED: &str = "a method without `reply: &mut R` returns `Result<R, E>`";
    let written =
        matches!(sig.inputs.last(), Some(FnArg::Typed(last)) if mutable(&last.ty).is_some());
    let ty = match &sig.output {
        ReturnType::Type(_, ty) if !types::is_unit(ty) => types::bare(ty),
        _ if written => return Some(Returned { reply: None, error: None }),
        _ if !parameters => return None, // whether there is a reply, will be seen when they are right
        output => {
            let text = "this method has no reply: add a parameter `reply: &mut R`, or return `Result<R, E>`";
            match output {
                ReturnType::Type(_, ty) => errors.at(ty, text),
                ReturnType::Default => errors.at(&sig.ident, text),
            }
            return None;
        }
    };
    if let Type::ImplTrait(_) = ty {
        let text =
            "write it as an `async fn` if this is a future, or name the type that is returned";
        errors.at(ty, text);
        return None;
    }
    if let Some(word) = types::find_impl_trait(ty) {
        errors.at(word, "name the type of the reply, which its caller has to know");
        return None;
    }
    let last = types::path(ty).and_then(|path| path.segments.last());
    let Some(last) = last.filter(|last| last.ident.to_string().ends_with("Result")) else {
        errors.at(ty, if written { WRITTEN } else { RETURNED });
        return None;
    };
    let arguments = types::path(ty).map(types::arguments).unwrap_or_default();
    let error = match arguments[..] {
        [_, error] => error.to_token_stream(),
        _ => ty.to_token_stream(),
    };
    let reply = match (arguments.first(), written) {
        (Some(reply), true) if !types::is_unit(reply) && last.ident == "Result" => {
            let text = "this method has two replies: remove the `&mut` parameter, or return `Result<(), E>`";
            errors.at(reply, text);
            return None;
        }
        (_, true) => None, // also `fmt::Result`, and what others call theirs
        (Some(reply), false) => Some(Reply::Returned((*reply).clone())),
        (None, false) => {
            let text = format!(
                "the type of the reply has to be seen here: write `Result<R, E>`, or `{}<R>`",
                last.ident
            );
            errors.at(ty, text);
            return None;
        }
    };
    Some(Returned { reply, error: Some(error) })
}

/// Whether there is nothing for a reply in what is returned.
fn returns_nothing(output: &ReturnType) -> bool {
    match output {
        ReturnType::Default => true,
        ReturnType::Type(_, ty) if types::is_unit(ty) => true,
        ReturnType::Type(_, ty) => {
            let arguments = types::path(ty).map(types::arguments).unwrap_or_default();
            types::ends_in(ty, "Result")
                && arguments.first().is_none_or(|reply| types::is_unit(reply))
        }
    }
}

/// `impl Trait`, which has no name to decode or encode by.
fn refuse_generic(ty: &Type, errors: &mut Errors) {
    if let Some(word) = types::find_impl_trait(ty) {
        let text =
            "a caller cannot choose a type, so a served method is not generic: name the type";
        errors.at(word, text);
    }
}

fn refuse_unsized(ty: &Type, errors: &mut Errors) {
    let text = match types::bare(ty) {
        Type::Slice(slice) => {
            let vec = format!("&mut Vec<{}>", types::text(&slice.elem));
            format!("the reply begins as `Default::default()`, which a slice cannot: `{vec}`")
        }
        Type::TraitObject(_) => "a reply is of one known type: name it".to_owned(),
        ty if types::ends_in(ty, "str") => {
            "the reply begins as `Default::default()`, which a `str` cannot: `&mut String`"
                .to_owned()
        }
        _ => return,
    };
    errors.at(ty, text);
}
