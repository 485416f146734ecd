//! The `#[service]` attribute of [netrpc](https://docs.rs/netrpc).
#![forbid(unsafe_code)]

mod attr;
mod case;
mod check;
mod errors;
mod expand;
mod handler;
mod interface;
mod parse;
mod service;
mod stub;
#[cfg(test)]
mod tests;
mod types;

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};

use crate::{attr::ServiceOptions, errors::Errors, parse::Block};

/// Exports the methods of an `impl` block, or of a trait.
#[proc_macro_attribute]
pub fn service(
    options: proc_macro::TokenStream,
    item: proc_macro::TokenStream,
) -> proc_macro::TokenStream {
    generate(options.into(), item.into()).into()
}

/// The block, and what is generated beside it or what is wrong with it.
fn generate(options: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let options = ServiceOptions::parse(options, &mut errors);
    let (block, generated) = match parse::parse(item, &mut errors) {
        Err(item) => (item, None),
        Ok((mut block, candidates)) => {
            let service = check::check(options, &block, &candidates, &mut errors);
            if let Block::Trait(item) = &mut block {
                interface::make_futures_send(item);
            }
            (block.into_token_stream(), service.as_ref().map(expand::expand))
        }
    };
    // Whatever is wrong, the block stays and what is right in it is served: no mistake brings
    // others in its train.
    let errors = errors.into_compile_errors();
    quote!(#block #generated #errors)
}
