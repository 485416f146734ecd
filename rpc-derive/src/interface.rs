//! `#[service]` on a trait: the trait itself, and the service made of whoever implements it.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::{Ident, ItemTrait, ReturnType, TraitItem, TraitItemFn, parse_quote, parse_quote_spanned};

use crate::{
    service::{Service, Subject},
    stub,
};

/// The type parameter that stands for whoever implements the trait.
pub(crate) fn implementor() -> Ident {
    // Beside it stand the types in the trait's methods, so it is not just `T`.
    format_ident!("Implementor")
}

/// Rewrites each `async fn` so that its future can be sent to another thread.
pub(crate) fn make_futures_send(item: &mut ItemTrait) {
    for item in &mut item.items {
        if let TraitItem::Fn(method) = item {
            make_future_send(method);
        }
    }
}

fn make_future_send(method: &mut TraitItemFn) {
    let Some(keyword) = method.sig.asyncness.take() else { return };
    let span = keyword.span;
    let output = match &method.sig.output {
        ReturnType::Default => quote_spanned!(span=> ()),
        ReturnType::Type(_, ty) => quote!(#ty),
    };
    method.sig.output = parse_quote_spanned! {span=>
        -> impl ::core::future::Future<Output = #output> + ::core::marker::Send
    };
    if let Some(body) = &mut method.default {
        let statements = &body.stmts;
        *body = parse_quote_spanned!(span=> { async move { #(#statements)* } });
        // The future holds on to what it was called on.
        method.sig.generics.make_where_clause().predicates.push(parse_quote! {
            Self: ::core::marker::Send + ::core::marker::Sync
        });
        method.attrs.push(parse_quote!(#[allow(clippy::manual_async_fn)]));
    }
}

/// `ArithmeticServer<T>`, the service made of a `T: Arithmetic`.
pub(crate) fn server(service: &Service) -> TokenStream {
    let Service { cfgs, vis, .. } = service;
    let Subject::Trait { ident, server: Some(server) } = &service.subject else {
        return TokenStream::new();
    };
    let lints = stub::lints();
    let implementor = implementor();
    let name = server.to_string();
    let about = format!("Serves the methods of any [`{ident}`]: register it with a server.");
    quote! {
        #(#cfgs)*
        #[doc = #about]
        #lints
        #vis struct #server<#implementor: ?::core::marker::Sized> {
            implementor: ::std::sync::Arc<#implementor>,
        }

        #(#cfgs)*
        #lints
        impl<#implementor> #server<#implementor> {
            /// Serves this value.
            pub fn new(implementor: #implementor) -> Self {
                Self { implementor: ::std::sync::Arc::new(implementor) }
            }
        }

        #(#cfgs)*
        #[automatically_derived]
        impl<#implementor: ?::core::marker::Sized> ::core::convert::From<::std::sync::Arc<#implementor>>
            for #server<#implementor>
        {
            /// Serves a value that is shared already.
            fn from(implementor: ::std::sync::Arc<#implementor>) -> Self {
                Self { implementor }
            }
        }

        #(#cfgs)*
        #[automatically_derived]
        impl<#implementor: ?::core::marker::Sized> ::core::clone::Clone for #server<#implementor> {
            fn clone(&self) -> Self {
                Self { implementor: ::core::clone::Clone::clone(&self.implementor) }
            }
        }

        #(#cfgs)*
        #[automatically_derived]
        impl<#implementor: ?::core::marker::Sized> ::core::fmt::Debug for #server<#implementor> {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.debug_struct(#name).finish_non_exhaustive()
            }
        }
    }
}
