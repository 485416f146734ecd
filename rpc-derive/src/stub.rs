//! The typed stub: a service's methods as methods of its client.

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote};
use syn::{GenericParam, Generics, Ident, Type, WherePredicate, ext::IdentExt};

use crate::{
    case::Case,
    service::{Method, Service, Subject},
    types::{self, Taken},
};

/// `ArithClient`, if it is wanted.
pub(crate) fn stub(service: &Service) -> TokenStream {
    let Service { krate, cfgs, vis, docs, .. } = service;
    let Some(stub) = &service.client else { return TokenStream::new() };
    let methods = service.methods.iter().filter(|method| method.in_stub);
    let calls: Vec<_> = methods.map(|method| Call::of(service, method)).collect();
    let generics = generics(service, &calls);
    let (params, arguments, conditions) = generics.split_for_impl();
    let held = generics.type_params().map(|param| &param.ident);
    let held =
        quote!(::core::marker::PhantomData<fn() -> (#(::core::marker::PhantomData<#held>,)*)>);
    let methods = calls.iter().map(|call| call.methods(service));
    let name = stub.to_string();
    let about = match &service.subject {
        Subject::Type { .. } => format!("The methods of `{}`, called on a server.", service.name),
        Subject::Trait { ident, .. } => format!("The methods of [`{ident}`], called on a server."),
    };
    let docs = (!docs.is_empty()).then(|| quote!(#[doc = ""] #(#docs)*));
    let lints = quote! {
        #[allow(
            dead_code, unreachable_pub, private_interfaces, private_bounds, single_use_lifetimes,
            rustdoc::broken_intra_doc_links, rustdoc::private_intra_doc_links
        )]
    };
    quote! {
        #(#cfgs)*
        #[doc = #about]
        #docs
        #lints
        #vis struct #stub #params #conditions {
            stub: #krate::__private::Stub,
            types: #held,
        }

        #(#cfgs)*
        #lints
        impl #params #stub #arguments #conditions {
            /// Calls the service of its own name.
            pub fn new(client: #krate::Client) -> Self {
                Self { stub: #krate::__private::Stub::new(client), types: ::core::marker::PhantomData }
            }

            /// Calls a service that was registered under another name.
            pub fn with_name(client: #krate::Client, name: &str) -> Self {
                let stub = #krate::__private::Stub::with_name(client, name);
                Self { stub, types: ::core::marker::PhantomData }
            }

            /// Connects to a server, as `Client::dial` does.
            ///
            /// # Errors
            /// If there is nobody at the address.
            pub async fn dial(
                addr: impl #krate::__private::ToSocketAddrs,
            ) -> ::core::result::Result<Self, #krate::Error> {
                ::core::result::Result::Ok(Self::new(#krate::Client::dial(addr).await?))
            }

            /// The same connection and service with other options.
            #[must_use]
            pub fn with(&self, options: #krate::CallOptions) -> Self {
                Self { stub: self.stub.with(options), types: ::core::marker::PhantomData }
            }

            /// The client it calls with.
            pub fn client(&self) -> &#krate::Client {
                self.stub.client()
            }

            #(#methods)*
        }

        #(#cfgs)*
        #[automatically_derived]
        impl #params ::core::clone::Clone for #stub #arguments #conditions {
            fn clone(&self) -> Self {
                Self { stub: ::core::clone::Clone::clone(&self.stub), types: ::core::marker::PhantomData }
            }
        }

        #(#cfgs)*
        #[automatically_derived]
        impl #params ::core::fmt::Debug for #stub #arguments #conditions {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.debug_tuple(#name).field(&self.stub).finish()
            }
        }
    }
}

/// What the stub has for one method.
struct Call<'a> {
    method: &'a Method,
    taken: Taken,
    reply: Type,
}

impl<'a> Call<'a> {
    fn of(service: &Service, method: &'a Method) -> Self {
        let spelt = |ty: &Type| match &service.subject {
            Subject::Type { ty: this, .. } => types::without_self(ty, this),
            Subject::Trait { .. } => ty.clone(),
        };
        let reply = types::owned(&spelt(method.reply.ty()));
        Call { method, taken: types::taken(&spelt(&method.arguments.ty)), reply }
    }

    /// The type of what is sent, not always a sized one.
    fn sent(&self) -> Type {
        match &self.taken {
            Taken::Not => syn::parse_quote!(()),
            Taken::ByValue(ty) | Taken::ByReference(ty) => ty.clone(),
        }
    }

    /// `fn multiply`, `fn multiply_go` and `const MULTIPLY`.
    fn methods(&self, service: &Service) -> TokenStream {
        let krate = &service.krate;
        let Method { ident, cfgs, docs, deprecated, .. } = self.method;
        let reply = &self.reply;
        let sent = types::eternal(&self.sent());
        let item = ident.unraw().to_string();
        let constant = format_ident!("{}", Case::ScreamingSnake.apply(&item), span = ident.span());
        let go = format_ident!("{item}_go", span = ident.span());
        let name = format!("{}.{}", service.name, self.method.name);
        let (parameter, value) = self.parameter();
        let conditions = self.conditions(service);
        let about_call = docs.is_empty().then(|| {
            let text = format!("Calls `{name}` and waits for its reply.");
            quote!(#[doc = #text])
        });
        let about_go =
            format!("Starts [`{item}`](Self::{item}); the handle is the future of its reply.");
        let about_constant = format!("`{name}` by name and types.");
        quote! {
            #(#cfgs)*
            #[doc = #about_constant]
            #deprecated
            pub const #constant: #krate::TypedMethod<#sent, #reply> = #krate::TypedMethod::new(#name);

            #(#cfgs)*
            #(#docs)*
            #about_call
            #deprecated
            pub async fn #ident(
                &self, #parameter
            ) -> ::core::result::Result<#reply, #krate::Error> #conditions {
                self.stub.call(Self::#constant, #value).await
            }

            #(#cfgs)*
            #[doc = #about_go]
            #deprecated
            pub fn #go(&self, #parameter) -> #krate::Call<#reply> #conditions {
                self.stub.go(Self::#constant, #value)
            }
        }
    }

    /// The stub's parameter, and what it hands on.
    fn parameter(&self) -> (TokenStream, TokenStream) {
        let name = match &self.method.arguments.ident {
            Some(ident) if ident != "self" => {
                let text = ident.unraw().to_string();
                match text.trim_start_matches('_') {
                    "" => format_ident!("args"),
                    text => format_ident!("{text}"),
                }
            }
            _ => format_ident!("args"),
        };
        match &self.taken {
            Taken::Not => (TokenStream::new(), quote!(&())),
            Taken::ByValue(ty) => (quote!(#name: #ty), quote!(&#name)),
            Taken::ByReference(ty) => {
                let ty = types::inferred(ty);
                (quote!(#name: &#ty), quote!(#name))
            }
        }
    }

    /// What a caller needs. A service whose arguments are only `Deserialize` must compile all the
    /// same, so the conditions are on a lifetime as well, which leaves them to the caller.
    fn conditions(&self, service: &Service) -> TokenStream {
        let serde = {
            let krate = &service.krate;
            quote!(#krate::__private::serde)
        };
        let mut conditions = Vec::new();
        let sent = self.sent();
        if !types::is_plain(&sent) {
            let (lifetimes, sent) = types::higher_ranked(&sent);
            let lifetimes =
                if lifetimes.is_empty() { quote!('__0) } else { quote!(#(#lifetimes),*) };
            conditions.push(quote!(for<#lifetimes> #sent: #serde::Serialize));
        }
        if !types::is_plain(&self.reply) {
            let reply = &self.reply;
            conditions.push(quote!(for<'__0> #reply: #serde::de::DeserializeOwned));
        }
        if conditions.is_empty() { TokenStream::new() } else { quote!(where #(#conditions),*) }
    }
}

/// Those parameters of the service that its methods' signatures mention, with what is asked of them
/// and with those that this mentions in turn.
fn generics(service: &Service, calls: &[Call<'_>]) -> Generics {
    let Subject::Type { generics, .. } = &service.subject else { return Generics::default() };
    let signatures = calls.iter().map(|call| {
        let (sent, reply) = (call.sent(), &call.reply);
        quote!(#sent #reply)
    });
    let mut mentioned: TokenStream = signatures.collect();
    let conditions = || generics.where_clause.iter().flat_map(|clause| &clause.predicates);
    let mut wanted: Vec<&Ident> = Vec::new();
    let mut grown = true;
    while grown {
        grown = false;
        for param in &generics.params {
            let name = match param {
                GenericParam::Lifetime(_) => continue,
                GenericParam::Type(param) => &param.ident,
                GenericParam::Const(param) => &param.ident,
            };
            if !wanted.contains(&name) && types::mentions(&mentioned, name) {
                wanted.push(name);
                param.to_tokens(&mut mentioned);
                for condition in conditions().filter(|condition| is_on(condition, name)) {
                    condition.to_tokens(&mut mentioned);
                }
                grown = true;
            }
        }
    }
    let mut kept = Generics::default();
    kept.params = generics
        .params
        .iter()
        .filter(|param| match param {
            GenericParam::Lifetime(_) => false,
            GenericParam::Type(param) => wanted.contains(&&param.ident),
            GenericParam::Const(param) => wanted.contains(&&param.ident),
        })
        .cloned()
        .collect();
    let conditions: Vec<_> = conditions()
        .filter(|condition| wanted.iter().any(|name| is_on(condition, name)))
        .cloned()
        .collect();
    if !conditions.is_empty() {
        kept.make_where_clause().predicates.extend(conditions);
    }
    kept
}

/// Whether the condition is on this parameter, or on a type that is made with it.
fn is_on(condition: &WherePredicate, param: &Ident) -> bool {
    matches!(condition, WherePredicate::Type(on) if types::mentions(&on.bounded_ty, param))
}
