//! From a checked service to its implementation of `Service`.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{Attribute, Expr, ExprLit, Ident, Lit, Meta, Type, spanned::Spanned};

use crate::{
    interface,
    service::{Method, Receiver, Reply, Run, Service, SharedName, Subject},
    stub, types,
};

/// All that is generated for a service; its block is not part of it.
pub(crate) fn expand(service: &Service) -> TokenStream {
    let implementation = implementation(service);
    let shared = service.shared_names.iter().map(|name| shared_name(service, name));
    let server = interface::server(service);
    let stub = stub::stub(service);
    quote!(#implementation #(#shared)* #server #stub)
}

/// Whose methods are served, as the generated code writes it.
struct Target {
    /// `<T: Storage>`
    params: TokenStream,
    /// `Kv<T>`
    ty: TokenStream,
    /// What follows `where`.
    conditions: TokenStream,
}

impl Target {
    /// `None` if nothing is to be served: a trait of which only the stub is wanted.
    fn of(service: &Service) -> Option<Self> {
        let shared = quote!(::core::marker::Send + ::core::marker::Sync + 'static);
        match &service.subject {
            Subject::Type { ty, generics } => {
                let (params, _, clause) = generics.split_for_impl();
                let conditions = clause.iter().flat_map(|clause| &clause.predicates);
                let mut conditions = quote!(#(#conditions,)*);
                if !generics.params.is_empty() {
                    // Whether it can be shared depends on the parameters: whoever registers it will see.
                    conditions.extend(quote!(#ty: #shared,));
                }
                Some(Target { params: quote!(#params), ty: quote!(#ty), conditions })
            }
            Subject::Trait { server: None, .. } => None,
            Subject::Trait { ident, server: Some(server) } => {
                let implementor = interface::implementor();
                Some(Target {
                    params: quote!(<#implementor: ?::core::marker::Sized>),
                    ty: quote!(#server<#implementor>),
                    conditions: quote!(#implementor: #ident + #shared,),
                })
            }
        }
    }
}

/// `impl Service for Arith`.
fn implementation(service: &Service) -> TokenStream {
    let Service { krate, name, cfgs, .. } = service;
    let Some(target) = Target::of(service) else { return TokenStream::new() };
    let methods = service.methods.iter().map(|method| entry(service, &target, method));
    let Target { params, ty, conditions } = &target;
    quote! {
        #(#cfgs)*
        #[automatically_derived]
        #[allow(deprecated)]
        impl #params #krate::__private::Service for #ty where #conditions {
            const NAME: &'static str = #name;
            const METHODS: &'static [#krate::__private::Method<Self>] = &[#(#methods),*];
        }
    }
}

/// `Method::sync("Multiply", …).aliases(&["multiply"])`, and so on.
fn entry(service: &Service, target: &Target, method: &Method) -> TokenStream {
    let krate = &service.krate;
    let Method { ident, name, aliases, cfgs, .. } = method;
    let (constructor, handler) = match method.run {
        Run::Sync { .. } => (quote!(sync), sync_handler(service, target, method)),
        Run::Async { .. } => (quote!(asynchronous), async_handler(service, target, method)),
    };
    let aliases = (!aliases.is_empty()).then(|| quote!(.aliases(&[#(#aliases),*])));
    let doc = doc_text(&method.docs).map(|text| quote!(.doc(#text)));
    let args = types::inferred(&method.arguments.ty);
    let reply = types::inferred(method.reply.ty());
    let context = method.context.then(|| quote!(.with_context()));
    let run = match method.run {
        Run::Sync { blocking } => blocking.then(|| quote!(.blocking())),
        Run::Async { no_cancel } => no_cancel.then(|| quote!(.no_cancel())),
    };
    let idempotent = method.idempotent.then(|| quote!(.idempotent()));
    quote! {
        #(#cfgs)*
        #krate::__private::Method::<Self>::#constructor(#name, { #handler #ident })
            #aliases
            #doc
            .types(#krate::__private::shape::types::<#args, #reply>)
            #context
            #run
            #idempotent
    }
}

/// A function that decodes the arguments, calls the method and encodes its reply.
fn sync_handler(service: &Service, target: &Target, method: &Method) -> TokenStream {
    let krate = &service.krate;
    let Target { params, ty, conditions } = target;
    let ident = &method.ident;
    let args = arguments(service, method);
    let buffer = quote_spanned!(Span::mixed_site()=> reply);
    let result = call_and_encode(service, method, &buffer);
    quote_spanned! {Span::mixed_site()=>
        fn #ident #params(
            service: &::std::sync::Arc<#ty>,
            cx: &#krate::__private::Context,
            body: &#krate::__private::Body,
            reply: &mut #krate::__private::ReplyBuf,
        ) -> ::core::result::Result<(), #krate::__private::Fault>
        where
            #conditions
        {
            let args = #krate::__private::shape::argument::<#args>(body)?;
            #result
        }
    }
}

/// The same as a future.
fn async_handler(service: &Service, target: &Target, method: &Method) -> TokenStream {
    let krate = &service.krate;
    let Target { params, ty, conditions } = target;
    let ident = &method.ident;
    let args = arguments(service, method);
    let buffer = quote_spanned!(Span::mixed_site()=> &mut reply);
    let result = call_and_encode(service, method, &buffer);
    let body = quote_spanned! {Span::mixed_site()=>
        let args = match #krate::__private::shape::argument::<#args>(&body) {
            ::core::result::Result::Ok(args) => args,
            ::core::result::Result::Err(fault) => {
                let result = ::core::result::Result::Err(fault);
                return #krate::__private::Finished { reply, result };
            }
        };
        let result = #result;
        #krate::__private::Finished { reply, result }
    };
    // A future that cannot be sent is a mistake in its method.
    let future = quote_spanned!(ident.span()=> ::std::boxed::Box::pin(async move { #body }));
    // That the service is one goes without saying, and as if for some lifetime the compiler does
    // not look whether it is so. But it infers that the service can be shared between threads: if
    // that is wrong, it is said of the type, once, and not again of every future that holds it.
    quote_spanned! {Span::mixed_site()=>
        fn #ident #params(
            service: ::std::sync::Arc<#ty>,
            cx: #krate::__private::Context,
            body: #krate::__private::Body,
            mut reply: #krate::__private::ReplyBuf,
        ) -> #krate::__private::HandlerFuture
        where
            #conditions
            for<'__any> #ty: #krate::__private::Service,
        {
            #future
        }
    }
}

/// The type of a method's arguments, inside of a function that knows no `Self`.
fn arguments(service: &Service, method: &Method) -> Type {
    without_self(service, &types::inferred(&method.arguments.ty))
}

fn without_self(service: &Service, ty: &Type) -> Type {
    match &service.subject {
        Subject::Type { ty: this, .. } => types::without_self(ty, this),
        Subject::Trait { .. } => ty.clone(),
    }
}

/// From `args` to the encoded reply: a `Result<(), Fault>`.
fn call_and_encode(service: &Service, method: &Method, buffer: &TokenStream) -> TokenStream {
    let krate = &service.krate;
    let shape = quote!(#krate::__private::shape);
    let call = call(service, method);
    let reply = without_self(service, &types::inferred(method.reply.ty()));
    let mixed = Span::mixed_site();
    let Some(error) = &method.error else {
        return quote_spanned! {mixed=> {
            let mut written = #shape::initial::<#reply>();
            #call;
            #shape::finish::<#reply>(#buffer, &written)
        }};
    };
    // What does not fit is the method's `E`, or all it returns: it is what these are placed at.
    let at = error.span();
    let fault = quote_spanned!(at=> (&__error).failure_kind().fault(__error));
    let err = quote_spanned!(at=> ::core::result::Result::Err(__error));
    let fail = quote_spanned! {mixed=>
        #err => ::core::result::Result::Err({
            use #krate::__private::failure::{ChainKind as _, TextKind as _, WholeKind as _};
            #fault
        }),
    };
    match &method.reply {
        Reply::Written(_) => {
            let ok = quote_spanned!(at=> ::core::result::Result::Ok(()));
            quote_spanned! {mixed=> {
                let mut written = #shape::initial::<#reply>();
                match #call {
                    #ok => #shape::finish::<#reply>(#buffer, &written),
                    #fail
                }
            }}
        }
        Reply::Returned(_) => {
            let ok = quote_spanned!(at=> ::core::result::Result::Ok(__reply));
            let returned = quote_spanned!(at=> __reply);
            quote_spanned! {mixed=>
                match #call {
                    #ok => #shape::finish::<#reply>(#buffer, &#returned),
                    #fail
                }
            }
        }
    }
}

/// `<Arith>::multiply(service, args, &mut written)`, awaited if need be.
fn call(service: &Service, method: &Method) -> TokenStream {
    let mixed = Span::mixed_site();
    let ident = &method.ident;
    let (function, this) = match &service.subject {
        Subject::Type { ty, .. } => (quote!(<#ty>::#ident), quote_spanned!(mixed=> service)),
        Subject::Trait { ident: interface, .. } => {
            let implementor = interface::implementor();
            let this = quote_spanned!(mixed=> service.implementor);
            (quote!(<#implementor as #interface>::#ident), this)
        }
    };
    let this = match method.receiver {
        Receiver::Ref => quote!(&*#this),
        Receiver::Arc => quote!(::std::sync::Arc::clone(&#this)),
        Receiver::RefArc => quote!(&#this),
    };
    let context = match (method.context, method.run) {
        (false, _) => None,
        (true, Run::Sync { .. }) => Some(quote_spanned!(mixed=> cx,)),
        (true, Run::Async { .. }) => Some(quote_spanned!(mixed=> &cx,)),
    };
    let args = quote_spanned!(mixed=> args);
    let written = match method.reply {
        Reply::Written(_) => Some(quote_spanned!(mixed=> &mut written)),
        Reply::Returned(_) => None,
    };
    let wait = match method.run {
        Run::Sync { .. } => None,
        Run::Async { .. } => Some(quote!(.await)),
    };
    quote!(#function(#this, #context #args, #written) #wait)
}

/// The text of doc comments, without the space that follows the slashes.
fn doc_text(docs: &[Attribute]) -> Option<String> {
    let mut lines = Vec::new();
    for doc in docs {
        if let Meta::NameValue(doc) = &doc.meta
            && let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = &doc.value
        {
            lines.extend(text.value().split('\n').map(|line| line.trim_end().to_owned()));
        }
    }
    let written = lines.iter().filter(|line| !line.is_empty());
    let indent = written.map(|line| line.len() - line.trim_start().len()).min()?;
    let lines: Vec<_> = lines.iter().map(|line| line.get(indent..).unwrap_or_default()).collect();
    Some(lines.join("\n").trim_matches('\n').to_owned())
}

/// Two methods with one wire name, kept apart by `#[cfg]` only: lets the compiler find out whether
/// they are.
fn shared_name(service: &Service, shared: &SharedName) -> TokenStream {
    let cfgs = &service.cfgs;
    let name: String =
        shared.name.chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
    let name = syn::parse_str(&name).unwrap_or_else(|_| format_ident!("_{name}"));
    let methods = shared.methods.iter().map(|(method, cfgs)| {
        let mut name: Ident = name.clone();
        name.set_span(method.span());
        quote_spanned!(method.span()=> #(#cfgs)* struct #name;)
    });
    quote! {
        #(#cfgs)*
        #[allow(dead_code, non_camel_case_types)]
        const _: () = { #(#methods)* };
    }
}
