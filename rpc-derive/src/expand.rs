//! From a checked service to its implementation of `Service`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::{Attribute, Expr, ExprLit, Ident, Lit, Meta};

use crate::{
    handler::Handler,
    interface,
    service::{Demand, Method, Run, Service, SharedName, Subject},
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

/// `impl Service for Arith`, and its handlers.
///
/// They are functions of an `impl` of their own, on the condition that this is a service. That goes
/// without saying, and since it is said for any lifetime, the compiler does not look whether it is
/// true. But it takes from it that the service can be shared between threads: if that is wrong, it
/// is said once, of the type, and not again of every future that holds it.
fn implementation(service: &Service) -> TokenStream {
    let Service { krate, name, cfgs, .. } = service;
    let Some(Target { params, ty, conditions }) = Target::of(service) else {
        return TokenStream::new();
    };
    let entries = service.methods.iter().map(|method| entry(service, method));
    let handlers: Vec<_> =
        service.methods.iter().map(|method| Handler::of(service, method)).collect();
    let declarations = handlers.iter().map(Handler::declaration);
    let lints = stub::lints();
    let definitions = handlers.iter().map(Handler::definition);
    quote! {
        #(#cfgs)*
        #lints
        const _: () = {
            trait __Handlers {
                #(#declarations)*
            }

            #[automatically_derived]
            impl #params __Handlers for #ty
            where
                #conditions
                for<'__any> #ty: #krate::__private::Service,
            {
                #(#definitions)*
            }

            #[automatically_derived]
            impl #params #krate::__private::Service for #ty where #conditions {
                const NAME: &'static str = #name;
                const METHODS: &'static [#krate::__private::Method<Self>] = &[#(#entries),*];
            }
        };
    }
}

/// `Method::sync("Multiply", …).aliases(&["multiply"])`, and so on.
fn entry(service: &Service, method: &Method) -> TokenStream {
    let krate = &service.krate;
    let Method { ident, name, aliases, cfgs, .. } = method;
    let constructor = match method.run {
        Run::Sync { .. } => quote!(sync),
        Run::Async { .. } => quote!(asynchronous),
    };
    let aliases = (!aliases.is_empty()).then(|| quote!(.aliases(&[#(#aliases),*])));
    let doc = doc_text(&method.docs).map(|text| quote!(.doc(#text)));
    let args = types::inferred(&method.arguments.ty);
    let reply = types::inferred(method.reply.ty());
    let context = method.context.map(|_| quote!(.with_context()));
    let run = match method.run {
        Run::Sync { blocking } => blocking.then(|| quote!(.blocking())),
        Run::Async { no_cancel } => no_cancel.then(|| quote!(.no_cancel())),
    };
    let demand = match method.demand {
        Demand::None => None,
        Demand::Idempotent => Some(quote!(.idempotent())),
        Demand::AtMostOnce => Some(quote!(.at_most_once())),
        Demand::ExactlyOnce => Some(quote!(.exactly_once())),
    };
    quote! {
        #(#cfgs)*
        #krate::__private::Method::<Self>::#constructor(#name, <Self as __Handlers>::#ident)
            #aliases
            #doc
            .types(#krate::__private::shape::types::<#args, #reply>)
            #context
            #run
            #demand
    }
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
