//! From an item's tokens to the methods in it that want to be served.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{Attribute, ImplItem, Item, ItemImpl, ItemTrait, Signature, TraitItem};

use crate::{
    attr::{self, MethodOptions},
    errors::Errors,
};

/// What `#[service]` can stand on, with every `#[method]` taken off.
pub(crate) enum Block {
    Impl(ItemImpl),
    Trait(ItemTrait),
}

impl ToTokens for Block {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        match self {
            Block::Impl(item) => item.to_tokens(tokens),
            Block::Trait(item) => item.to_tokens(tokens),
        }
    }
}

/// A method that is not skipped.
pub(crate) struct Candidate {
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) options: MethodOptions,
    pub(crate) sig: Signature,
}

/// The block and its methods. On any other item a mistake, and the item back.
pub(crate) fn parse(
    tokens: TokenStream,
    errors: &mut Errors,
) -> Result<(Block, Vec<Candidate>), TokenStream> {
    match syn::parse2(tokens.clone()) {
        Ok(Item::Impl(mut item)) => {
            let methods = impl_methods(&mut item, errors);
            Ok((Block::Impl(item), methods))
        }
        Ok(Item::Trait(mut item)) => {
            let methods = trait_methods(&mut item, errors);
            Ok((Block::Trait(item), methods))
        }
        Ok(item) => {
            let text = "`#[service]` goes on the `impl` block that has the methods, or on a trait";
            errors.at(keyword(&item), text);
            Err(tokens)
        }
        Err(error) => {
            errors.add(error);
            Err(tokens)
        }
    }
}

/// What the user sees as "the item": not all of its lines.
fn keyword(item: &Item) -> TokenStream {
    match item {
        Item::Struct(item) => item.struct_token.to_token_stream(),
        Item::Enum(item) => item.enum_token.to_token_stream(),
        Item::Union(item) => item.union_token.to_token_stream(),
        Item::Fn(item) => item.sig.fn_token.to_token_stream(),
        Item::Mod(item) => item.mod_token.to_token_stream(),
        item => item.to_token_stream(),
    }
}

fn impl_methods(item: &mut ItemImpl, errors: &mut Errors) -> Vec<Candidate> {
    let mut methods = Vec::new();
    for item in &mut item.items {
        match item {
            ImplItem::Fn(item) => {
                if let Err(error) = item.modifiers.require_empty() {
                    errors.add(error);
                }
                methods.extend(candidate(&mut item.attrs, &item.sig, errors));
            }
            ImplItem::Const(item) => attr::refuse(&mut item.attrs, errors),
            ImplItem::Type(item) => attr::refuse(&mut item.attrs, errors),
            ImplItem::Macro(item) => macro_item(&mut item.attrs, &item.mac, errors),
            _ => {}
        }
    }
    methods
}

fn trait_methods(item: &mut ItemTrait, errors: &mut Errors) -> Vec<Candidate> {
    let mut methods = Vec::new();
    for item in &mut item.items {
        match item {
            TraitItem::Fn(item) => methods.extend(candidate(&mut item.attrs, &item.sig, errors)),
            TraitItem::Const(item) => attr::refuse(&mut item.attrs, errors),
            TraitItem::Type(item) => attr::refuse(&mut item.attrs, errors),
            TraitItem::Macro(item) => macro_item(&mut item.attrs, &item.mac, errors),
            _ => {}
        }
    }
    methods
}

fn candidate(
    attrs: &mut Vec<Attribute>,
    sig: &Signature,
    errors: &mut Errors,
) -> Option<Candidate> {
    let options = MethodOptions::take(attrs, errors);
    let attrs = attrs.clone();
    options.skip.is_none().then(|| Candidate { attrs, options, sig: sig.clone() })
}

fn macro_item(attrs: &mut Vec<Attribute>, mac: &syn::Macro, errors: &mut Errors) {
    attr::refuse(attrs, errors);
    errors
        .at(&mac.path, "`#[service]` cannot see what this macro makes: move it out of this block");
}
