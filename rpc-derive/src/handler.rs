//! The functions in a service's table: decode the arguments, call the method, encode its reply.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Attribute, Type, spanned::Spanned};

use crate::{
    interface,
    service::{Method, Receiver, Reply, Run, Service, Subject},
    types,
};

/// A method's handler: a function of the service, but for its first parameter.
pub(crate) struct Handler<'a> {
    cfgs: &'a [Attribute],
    signature: TokenStream,
    body: TokenStream,
}

impl<'a> Handler<'a> {
    pub(crate) fn of(service: &Service, method: &'a Method) -> Self {
        match method.run {
            Run::Sync { .. } => Handler::synchronous(service, method),
            Run::Async { .. } => Handler::asynchronous(service, method),
        }
    }

    /// The handler in a trait.
    pub(crate) fn declaration(&self) -> TokenStream {
        let Handler { cfgs, signature, .. } = self;
        quote!(#(#cfgs)* #signature;)
    }

    /// The handler in an `impl` of that trait.
    pub(crate) fn definition(&self) -> TokenStream {
        let Handler { cfgs, signature, body } = self;
        quote!(#(#cfgs)* #signature { #body })
    }

    fn synchronous(service: &Service, method: &'a Method) -> Self {
        let krate = &service.krate;
        let ident = &method.ident;
        let args = types::inferred(&method.arguments.ty);
        let buffer = quote_spanned!(Span::mixed_site()=> reply);
        let result = call_and_encode(service, method, &buffer);
        let signature = quote_spanned! {Span::mixed_site()=>
            fn #ident(
                service: &::std::sync::Arc<Self>,
                cx: &#krate::__private::Context,
                body: &#krate::__private::Body,
                reply: &mut #krate::__private::ReplyBuf,
            ) -> ::core::result::Result<(), #krate::__private::Fault>
        };
        let decode = decode(method);
        let body = quote_spanned! {Span::mixed_site()=>
            let args = #krate::__private::shape::#decode::<#args>(body)?;
            #result
        };
        Handler { cfgs: &method.cfgs, signature, body }
    }

    fn asynchronous(service: &Service, method: &'a Method) -> Self {
        let krate = &service.krate;
        let ident = &method.ident;
        let args = types::inferred(&method.arguments.ty);
        let buffer = quote_spanned!(Span::mixed_site()=> &mut reply);
        let result = call_and_encode(service, method, &buffer);
        let signature = quote_spanned! {Span::mixed_site()=>
            fn #ident(
                service: ::std::sync::Arc<Self>,
                cx: #krate::__private::Context,
                body: #krate::__private::Body,
                reply: #krate::__private::ReplyBuf,
            ) -> #krate::__private::HandlerFuture
        };
        let decode = decode(method);
        let body = quote_spanned! {Span::mixed_site()=>
            let mut reply = reply;
            let args = match #krate::__private::shape::#decode::<#args>(&body) {
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
        let at = ident.span();
        let body = quote_spanned!(at=> ::std::boxed::Box::pin(async move { #body }));
        Handler { cfgs: &method.cfgs, signature, body }
    }
}

/// What decodes the arguments. Both do the same, but the compiler has another answer to an `&Args`.
fn decode(method: &Method) -> TokenStream {
    match types::bare(&method.arguments.ty) {
        Type::Reference(_) => quote!(reference),
        _ => quote!(argument),
    }
}

/// From `args` to the encoded reply: a `Result<(), Fault>`.
fn call_and_encode(service: &Service, method: &Method, buffer: &TokenStream) -> TokenStream {
    let krate = &service.krate;
    let shape = quote!(#krate::__private::shape);
    let call = call(service, method);
    let reply = types::inferred(method.reply.ty());
    let mixed = Span::mixed_site();
    let Some(error) = &method.error else {
        return quote_spanned! {mixed=> {
            let mut written = #shape::initial::<#reply>();
            #call;
            #shape::finish::<#reply>(#buffer, written)
        }};
    };
    // What does not fit is the method's `E`, or all it returns: it is what these are placed at.
    let at = error.span();
    let fault = quote_spanned!(at=> (&__error).failure_kind().fault(__error));
    let err = quote_spanned!(at=> ::core::result::Result::Err(__error));
    let fail = quote_spanned! {mixed=>
        #err => ::core::result::Result::Err({
            use #krate::__private::failure::{ChainKind as _, OnwardKind as _, TextKind as _, WholeKind as _};
            #fault
        }),
    };
    match &method.reply {
        Reply::Written(_) => {
            let ok = quote_spanned!(at=> ::core::result::Result::Ok(()));
            quote_spanned! {mixed=> {
                let mut written = #shape::initial::<#reply>();
                match #call {
                    #ok => #shape::finish::<#reply>(#buffer, written),
                    #fail
                }
            }}
        }
        Reply::Returned(_) => {
            let ok = quote_spanned!(at=> ::core::result::Result::Ok(__reply));
            let returned = quote_spanned!(at=> __reply);
            quote_spanned! {mixed=>
                match #call {
                    #ok => #shape::finish::<#reply>(#buffer, #returned),
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
        Receiver::Arc => quote!(::core::clone::Clone::clone(&#this)),
        Receiver::RefArc => quote!(&#this),
    };
    let context = match (method.context, method.run) {
        (None, _) => None,
        // If it is of another type, that type is the mistake.
        (Some(at), Run::Sync { .. }) => Some(quote_spanned!(at.resolved_at(mixed)=> cx,)),
        (Some(at), Run::Async { .. }) => Some(quote_spanned!(at.resolved_at(mixed)=> &cx,)),
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
