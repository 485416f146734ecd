//! The options of `#[service(…)]` and `#[method(…)]`.

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;
use syn::{
    Attribute, Expr, ExprLit, Ident, Lit, LitBool, LitStr, Meta, Path, Token, Visibility,
    parse::Parser, parse_quote, punctuated::Punctuated, spanned::Spanned,
};

use crate::{case::Case, errors::Errors};

/// `#[service(…)]`.
pub(crate) struct ServiceOptions {
    pub(crate) name: Option<String>,
    pub(crate) case: Case,
    pub(crate) client: Companion,
    pub(crate) server: Companion,
    /// Where `server` is given, since it means nothing on an `impl` block.
    pub(crate) server_at: Option<Span>,
    pub(crate) vis: Option<Visibility>,
    /// `::netrpc`, or what its user calls it.
    pub(crate) krate: Path,
}

/// A type generated beside the service.
pub(crate) enum Companion {
    /// Named after the service.
    Usual,
    Named(Ident),
    Omitted,
}

/// `#[method(…)]`.
#[derive(Default)]
pub(crate) struct MethodOptions {
    pub(crate) name: Option<LitStr>,
    pub(crate) aliases: Vec<LitStr>,
    pub(crate) skip: Option<Span>,
    pub(crate) blocking: Option<Span>,
    pub(crate) idempotent: Option<Span>,
    pub(crate) at_most_once: Option<Span>,
    pub(crate) exactly_once: Option<Span>,
    pub(crate) no_cancel: Option<Span>,
}

impl ServiceOptions {
    /// The options between the parentheses of `#[service(…)]`.
    pub(crate) fn parse(tokens: TokenStream, errors: &mut Errors) -> Self {
        let mut options = ServiceOptions {
            name: None,
            case: Case::UpperCamel,
            client: Companion::Usual,
            server: Companion::Usual,
            server_at: None,
            vis: None,
            krate: parse_quote!(::netrpc),
        };
        let parsed = Punctuated::<Meta, Token![,]>::parse_terminated.parse2(tokens);
        let mut seen = Vec::new();
        for option in errors.check(parsed).unwrap_or_default() {
            let result = once(&option, &mut seen).and_then(|()| options.set(&option));
            errors.check(result);
        }
        options
    }

    fn set(&mut self, option: &Meta) -> syn::Result<()> {
        match &*key(option) {
            "name" => {
                let name = string(option)?;
                if name.value().is_empty() {
                    return Err(syn::Error::new_spanned(name, "a service's name cannot be empty"));
                }
                self.name = Some(name.value());
            }
            "rename_all" => {
                let name = string(option)?;
                self.case = Case::from_name(&name.value()).ok_or_else(|| {
                    let text = format!("no such case: `rename_all` knows {}", Case::KNOWN);
                    syn::Error::new_spanned(&name, text)
                })?;
            }
            "client" => self.client = Companion::parse(option)?,
            "server" => {
                self.server = Companion::parse(option)?;
                self.server_at = Some(option.span());
            }
            "vis" => {
                let vis = string(option)?;
                let text = "this is not a visibility, such as `pub(crate)`, or nothing";
                self.vis = Some(vis.parse().map_err(|_| syn::Error::new_spanned(vis, text))?);
            }
            "crate" => {
                let path = string(option)?;
                let text = "this is not a path, such as `crate::rpc` or `::netrpc`";
                let parsed = path.parse_with(Path::parse_mod_style);
                self.krate = parsed.map_err(|_| syn::Error::new_spanned(path, text))?;
            }
            other => {
                let text = format!(
                    "unknown option `{other}`: `#[service]` takes `name`, `rename_all`, `client`, \
                     `server`, `vis` and `crate`"
                );
                return Err(syn::Error::new_spanned(option.path(), text));
            }
        }
        Ok(())
    }
}

impl Companion {
    fn parse(option: &Meta) -> syn::Result<Self> {
        match literal(option) {
            Some(Lit::Str(name)) => match name.parse() {
                Ok(name) => Ok(Companion::Named(name)),
                Err(_) => Err(syn::Error::new_spanned(name, "this is not a name for a type")),
            },
            Some(Lit::Bool(LitBool { value: false, .. })) => Ok(Companion::Omitted),
            _ => {
                let key = key(option);
                let text = format!(
                    "write `{key} = \"Name\"` to rename it, `{key} = false` to leave it out"
                );
                Err(syn::Error::new_spanned(option, text))
            }
        }
    }

    /// What to call it, if it is wanted.
    pub(crate) fn name(&self, usual: impl FnOnce() -> Ident) -> Option<Ident> {
        match self {
            Companion::Usual => Some(usual()),
            Companion::Named(name) => Some(name.clone()),
            Companion::Omitted => None,
        }
    }
}

impl MethodOptions {
    /// Takes every `#[method(…)]` off the item and reads it.
    pub(crate) fn take(attrs: &mut Vec<Attribute>, errors: &mut Errors) -> Self {
        let mut options = MethodOptions::default();
        let mut seen = Vec::new();
        for attr in take(attrs, errors) {
            let parsed = attr.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated);
            let parsed = match &attr.meta {
                Meta::List(_) => parsed,
                _ => Err(syn::Error::new_spanned(
                    &attr,
                    "write its options in parentheses: `#[method(skip)]`",
                )),
            };
            for option in errors.check(parsed).unwrap_or_default() {
                let result = match &*key(&option) {
                    "alias" => Ok(()), // any number of them
                    _ => once(&option, &mut seen),
                };
                errors.check(result.and_then(|()| options.set(&option)));
            }
        }
        if let Some(skip) = options.skip
            && seen.len() + options.aliases.len() > 1
        {
            let text = "a skipped method has no other options: remove them, or `skip`";
            errors.add(syn::Error::new(skip, text));
        }
        options
    }

    fn set(&mut self, option: &Meta) -> syn::Result<()> {
        match &*key(option) {
            "name" => self.name = Some(method_name(option)?),
            "alias" => self.aliases.push(method_name(option)?),
            "skip" => self.skip = Some(flag(option)?),
            "blocking" => self.blocking = Some(flag(option)?),
            "idempotent" => self.idempotent = Some(flag(option)?),
            "at_most_once" => self.at_most_once = Some(flag(option)?),
            "exactly_once" => self.exactly_once = Some(flag(option)?),
            "no_cancel" => self.no_cancel = Some(flag(option)?),
            other => {
                let text = format!(
                    "unknown option `{other}`: `#[method]` takes `name`, `alias`, `skip`, `blocking`, \
                     `idempotent`, `at_most_once`, `exactly_once` and `no_cancel`"
                );
                return Err(syn::Error::new_spanned(option.path(), text));
            }
        }
        Ok(())
    }
}

/// Takes every `#[method]` off an item that cannot have one.
pub(crate) fn refuse(attrs: &mut Vec<Attribute>, errors: &mut Errors) {
    for attr in take(attrs, errors) {
        errors.at(attr, "`#[method]` goes on a method of the block");
    }
}

/// Takes off every `#[method]`, and those that only the compiler could tell the presence of.
fn take(attrs: &mut Vec<Attribute>, errors: &mut Errors) -> Vec<Attribute> {
    for attr in attrs.extract_if(.., |attr| is_conditional(attr)) {
        let text =
            "`#[method]` cannot depend on a `cfg_attr`: write the method twice, with `#[cfg]`";
        errors.at(attr, text);
    }
    attrs.extract_if(.., |attr| attr.path().is_ident("method")).collect()
}

/// `#[cfg_attr(…, method(…))]`
fn is_conditional(attr: &Attribute) -> bool {
    let items = |attr: &Attribute| {
        attr.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated).unwrap_or_default()
    };
    attr.path().is_ident("cfg_attr")
        && items(attr).iter().skip(1).any(|item| item.path().is_ident("method"))
}

/// The option's key as it is written.
fn key(option: &Meta) -> String {
    option.path().to_token_stream().to_string().replace(' ', "")
}

fn once(option: &Meta, seen: &mut Vec<String>) -> syn::Result<()> {
    let key = key(option);
    if seen.contains(&key) {
        return Err(syn::Error::new_spanned(option, format!("`{key}` is given twice")));
    }
    seen.push(key);
    Ok(())
}

fn literal(option: &Meta) -> Option<&Lit> {
    match option {
        Meta::NameValue(option) => match &option.value {
            Expr::Lit(ExprLit { lit, .. }) => Some(lit),
            _ => None,
        },
        Meta::Path(_) | Meta::List(_) => None,
    }
}

fn string(option: &Meta) -> syn::Result<LitStr> {
    match literal(option) {
        Some(Lit::Str(value)) => Ok(value.clone()),
        _ => {
            let text = format!("`{key}` takes a string: `{key} = \"…\"`", key = key(option));
            Err(syn::Error::new_spanned(option, text))
        }
    }
}

fn flag(option: &Meta) -> syn::Result<Span> {
    match option {
        Meta::Path(path) => Ok(path.span()),
        Meta::List(_) | Meta::NameValue(_) => {
            let text = format!("`{key}` takes no value: write just `{key}`", key = key(option));
            Err(syn::Error::new_spanned(option, text))
        }
    }
}

/// A method's name on the wire: what follows the last dot of `Service.Method`.
fn method_name(option: &Meta) -> syn::Result<LitStr> {
    let name = string(option)?;
    let text = match &*name.value() {
        "" => "a method's name cannot be empty",
        value if value.contains('.') => {
            "a method's name has no dot: the service's name before it is added by the server"
        }
        _ => return Ok(name),
    };
    Err(syn::Error::new_spanned(name, text))
}
