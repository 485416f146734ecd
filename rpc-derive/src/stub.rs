//! The typed stub: a service's methods as methods of its client.

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote};
use syn::{GenericParam, Generics, Ident, Meta, Type, WherePredicate, ext::IdentExt, parse_quote};

use crate::{
    case,
    service::{Demand, Method, Service, Subject},
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
    let held = quote!((#(::core::marker::PhantomData<#held>,)*));
    let own = own_functions(service);
    let methods = calls.iter().map(|call| call.methods(service));
    let name = stub.to_string();
    let about = match &service.subject {
        Subject::Type { .. } => format!("The methods of `{}`, called on a server.", service.name),
        Subject::Trait { ident, .. } => format!("The methods of [`{ident}`], called on a server."),
    };
    let docs = (!docs.is_empty()).then(|| quote!(#[doc = ""] #(#docs)*));
    let lints = lints();
    quote! {
        #(#cfgs)*
        #[doc = #about]
        #docs
        #lints
        #vis struct #stub #params #conditions {
            stub: #krate::__private::Stub,
            types: ::core::marker::PhantomData<fn() -> #held>,
        }

        #(#cfgs)*
        #lints
        impl #params #stub #arguments #conditions {
            #own
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

/// What a user asks of his own code, he does not ask of what is generated beside it.
pub(crate) fn lints() -> TokenStream {
    quote! {
        #[allow(
            dead_code, deprecated, non_snake_case, private_bounds, private_interfaces, unreachable_pub,
            rustdoc::broken_intra_doc_links, rustdoc::private_intra_doc_links,
            clippy::all, clippy::nursery, clippy::pedantic, clippy::restriction
        )]
    }
}

/// What every stub has; [`names`](crate::check) knows their names.
fn own_functions(service: &Service) -> TokenStream {
    let krate = &service.krate;
    quote! {
        /// Calls the service by its own name.
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
            Taken::Not => parse_quote!(()),
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
        let constant = format_ident!("{}", case::constant(&item), span = ident.span());
        let go = format_ident!("{item}_go", span = ident.span());
        let name = format!("{}.{}", service.name, self.method.name);
        let (parameter, value) = self.parameter();
        let conditions = self.conditions(service);
        let demand = match self.method.demand {
            Demand::None => None,
            Demand::Idempotent => Some(quote!(Idempotent)),
            Demand::AtMostOnce => Some(quote!(AtMostOnce)),
            Demand::ExactlyOnce => Some(quote!(ExactlyOnce)),
        };
        let demand = demand.map(|it| quote!(.demanding(#krate::Demand::#it)));
        let about_call = docs.is_empty().then(|| {
            let text = format!("Calls `{name}` and waits for its reply.");
            quote!(#[doc = #text])
        });
        let about_go =
            format!("Starts [`{item}`](Self::{item}); the handle is the future of its reply.");
        let about_constant = format!("`{name}`, with its types.");
        let hidden = docs.iter().find(|doc| matches!(&doc.meta, Meta::List(_))); // `#[doc(hidden)]`
        quote! {
            #(#cfgs)*
            #[doc = #about_constant]
            #hidden
            #deprecated
            pub const #constant: #krate::TypedMethod<#sent, #reply> =
                #krate::TypedMethod::new(#name) #demand;

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
            #hidden
            #deprecated
            pub fn #go(&self, #parameter) -> #krate::Call<#reply> #conditions {
                self.stub.go(Self::#constant, #value)
            }
        }
    }

    /// The stub's parameter, and what it hands on.
    fn parameter(&self) -> (TokenStream, TokenStream) {
        // The method's own name for them, `_key` without the underscore.
        let name = self.method.arguments.ident.as_ref().map(ToString::to_string);
        let name = name.and_then(|name| syn::parse_str(name.trim_start_matches('_')).ok());
        let name: Ident = name.unwrap_or_else(|| format_ident!("args"));
        match &self.taken {
            Taken::Not => (TokenStream::new(), quote!(&())),
            Taken::ByValue(ty) => (quote!(#name: #ty), quote!(&#name)),
            Taken::ByReference(ty) => {
                let ty = types::inferred(ty);
                (quote!(#name: &#ty), quote!(#name))
            }
        }
    }

    /// What is asked of the types, of whoever calls the method. It must not be asked of the
    /// service itself, whose arguments may be `Deserialize` only; so each condition is one on a
    /// lifetime too, and the compiler leaves it until there is one.
    fn conditions(&self, service: &Service) -> TokenStream {
        let krate = &service.krate;
        let serde = quote!(#krate::__private::serde);
        let mut conditions = Vec::new();
        let sent = self.sent();
        if !types::is_plain(&sent) {
            let (lifetimes, sent) = types::higher_ranked(&sent);
            conditions.push(match &lifetimes[..] {
                [] => quote!(#sent: for<'a> #serde::Serialize),
                lifetimes => quote!(for<#(#lifetimes),*> #sent: #serde::Serialize),
            });
        }
        let reply = &self.reply;
        if !types::is_plain(reply) {
            conditions.push(quote!(#reply: for<'de> #serde::Deserialize<'de>));
        }
        if conditions.is_empty() { TokenStream::new() } else { quote!(where #(#conditions),*) }
    }
}

/// Those parameters of the service that its methods' signatures mention, with the conditions on
/// them, and with those parameters that these mention in turn.
fn generics(service: &Service, calls: &[Call<'_>]) -> Generics {
    let Subject::Type { generics, .. } = &service.subject else { return Generics::default() };
    let mut mentioned = TokenStream::new();
    for call in calls {
        call.sent().to_tokens(&mut mentioned);
        call.reply.to_tokens(&mut mentioned);
    }
    let (mut params, mut conditions) = (Vec::new(), Vec::new());
    // One pass for each link of the longest chain from a signature to a parameter.
    loop {
        let known = params.len();
        params.clear();
        for param in &generics.params {
            if let Some(name) = name(param)
                && types::mentions(&mentioned, name)
            {
                params.push(param);
            }
        }
        if params.len() == known {
            break;
        }
        let all = generics.where_clause.iter().flat_map(|clause| &clause.predicates);
        conditions = all.filter(|condition| is_on(condition, &params)).collect();
        mentioned.extend(quote!(#(#params)* #(#conditions)*));
    }
    let mut kept =
        Generics { params: params.into_iter().cloned().collect(), ..Generics::default() };
    if !conditions.is_empty() {
        kept.make_where_clause().predicates.extend(conditions.into_iter().cloned());
    }
    kept
}

fn name(param: &GenericParam) -> Option<&Ident> {
    match param {
        GenericParam::Lifetime(_) => None,
        GenericParam::Type(param) => Some(&param.ident),
        GenericParam::Const(param) => Some(&param.ident),
    }
}

/// Whether the condition is on one of these parameters, or on a type that is made with one.
fn is_on(condition: &WherePredicate, params: &[&GenericParam]) -> bool {
    let WherePredicate::Type(condition) = condition else { return false };
    let mut names = params.iter().copied().filter_map(name);
    names.any(|name| types::mentions(&condition.bounded_ty, name))
}
