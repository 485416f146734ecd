//! Types as the user wrote them, rewritten for the places where the generated code needs them.

use proc_macro2::{Span, TokenTree};
use quote::ToTokens;
use syn::{
    ExprPath, GenericArgument, Ident, Lifetime, Path, PathArguments, QSelf, Token, Type,
    TypeImplTrait, TypePath, TypeReference, parse_quote, parse_quote_spanned,
    spanned::Spanned,
    visit_mut::{self, VisitMut},
};

/// The type inside of invisible groups (from `macro_rules!`) and parentheses.
pub(crate) fn bare(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => bare(&group.elem),
        Type::Paren(paren) => bare(&paren.elem),
        ty => ty,
    }
}

/// Whether this is `()`.
pub(crate) fn is_unit(ty: &Type) -> bool {
    matches!(bare(ty), Type::Tuple(tuple) if tuple.elems.is_empty())
}

/// The type's path, if it is a plain one.
pub(crate) fn path(ty: &Type) -> Option<&Path> {
    match bare(ty) {
        Type::Path(TypePath { qself: None, path, .. }) => Some(path),
        _ => None,
    }
}

/// Whether it is a plain path that ends in `name`, such as `netrpc::Context` in `Context`.
pub(crate) fn ends_in(ty: &Type, name: &str) -> bool {
    path(ty).and_then(|path| path.segments.last()).is_some_and(|last| last.ident == name)
}

/// The types between the angle brackets at the end of the path.
pub(crate) fn arguments(path: &Path) -> Vec<&Type> {
    match path.segments.last().map(|last| &last.arguments) {
        Some(PathArguments::AngleBracketed(arguments)) => arguments
            .args
            .iter()
            .filter_map(|argument| match argument {
                GenericArgument::Type(ty) => Some(ty),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// `T` of `Name<T>`.
pub(crate) fn argument_of<'a>(ty: &'a Type, name: &str) -> Option<&'a Type> {
    let [argument] = arguments(path(ty).filter(|_| ends_in(ty, name))?)[..] else { return None };
    Some(argument)
}

/// The type as one would write it.
pub(crate) fn text(ty: &Type) -> String {
    let mut text = ty.to_token_stream().to_string();
    for (spaced, tight) in [(" :: ", "::"), (" < ", "<"), (" >", ">"), (" ,", ","), ("& ", "&")] {
        text = text.replace(spaced, tight);
    }
    text
}

/// Every lifetime left to the compiler: what a type is inside of a function's body.
pub(crate) fn inferred(ty: &Type) -> Type {
    with_lifetimes(ty, |span| Lifetime::new("'_", span))
}

/// Every lifetime `'static`: what a type is in a constant, or as an owned value.
pub(crate) fn eternal(ty: &Type) -> Type {
    with_lifetimes(ty, |span| Lifetime::new("'static", span))
}

/// Every lifetime a name of its own, and those names: what a type is behind `for<…>`.
pub(crate) fn higher_ranked(ty: &Type) -> (Vec<Lifetime>, Type) {
    let mut names = Vec::new();
    let ty = with_lifetimes(ty, |span| {
        let name = lifetime(names.len(), span);
        names.push(name.clone());
        name
    });
    (names, ty)
}

/// `'a`, `'b` and so on.
fn lifetime(number: usize, span: Span) -> Lifetime {
    let letter = char::from(b'a' + (number % 26) as u8);
    let more = (number / 26).checked_sub(1).map(|more| more.to_string()).unwrap_or_default();
    Lifetime::new(&format!("'{letter}{more}"), span)
}

/// The type with every lifetime but `'static` replaced, also those that are not written.
fn with_lifetimes(ty: &Type, name: impl FnMut(Span) -> Lifetime) -> Type {
    struct Rename<F>(F);

    impl<F: FnMut(Span) -> Lifetime> VisitMut for Rename<F> {
        fn visit_type_reference_mut(&mut self, reference: &mut TypeReference) {
            if reference.lifetime.is_none() {
                reference.lifetime = Some((self.0)(reference.and_token.span()));
                self.visit_type_mut(&mut reference.elem);
            } else {
                visit_mut::visit_type_reference_mut(self, reference);
            }
        }

        fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
            if lifetime.ident != "static" {
                *lifetime = (self.0)(lifetime.span());
            }
        }

        // Their lifetimes are bound inside.
        fn visit_type_fn_ptr_mut(&mut self, _: &mut syn::TypeFnPtr) {}
    }

    let mut ty = ty.clone();
    Rename(name).visit_type_mut(&mut ty);
    ty
}

/// The type with `Self` spelt out, for an `impl` block of another type.
pub(crate) fn without_self(ty: &Type, self_ty: &Type) -> Type {
    struct Spell<'a>(&'a Type);

    impl Spell<'_> {
        /// `Self::Item` as `<Type>::Item`.
        fn qualify(&self, qself: &mut Option<QSelf>, path: &mut Path) {
            let Some(first) = path.segments.first().filter(|first| first.ident == "Self") else {
                return;
            };
            let span = first.span();
            let rest = path.segments.iter().skip(1).cloned().collect();
            *path = Path { leading_colon: Some(Token![::](span)), segments: rest };
            *qself = Some(QSelf {
                lt_token: Token![<](span),
                ty: Box::new(self.0.clone()),
                position: 0,
                as_token: None,
                gt_token: Token![>](span),
            });
        }
    }

    impl VisitMut for Spell<'_> {
        fn visit_type_mut(&mut self, ty: &mut Type) {
            match ty {
                Type::Path(TypePath { qself: None, path, .. }) if path.is_ident("Self") => {
                    *ty = self.0.clone();
                }
                ty => visit_mut::visit_type_mut(self, ty),
            }
        }

        fn visit_type_path_mut(&mut self, ty: &mut TypePath) {
            visit_mut::visit_type_path_mut(self, ty);
            self.qualify(&mut ty.qself, &mut ty.path);
        }

        fn visit_expr_path_mut(&mut self, expr: &mut ExprPath) {
            visit_mut::visit_expr_path_mut(self, expr);
            self.qualify(&mut expr.qself, &mut expr.path);
        }
    }

    let mut ty = ty.clone();
    Spell(self_ty).visit_type_mut(&mut ty);
    ty
}

/// The first time that `name` stands in these tokens.
pub(crate) fn find(tokens: impl ToTokens, name: &str) -> Option<Ident> {
    tokens.into_token_stream().into_iter().find_map(|token| match token {
        TokenTree::Ident(ident) => (ident == name).then_some(ident),
        TokenTree::Group(group) => find(group.stream(), name),
        TokenTree::Punct(_) | TokenTree::Literal(_) => None,
    })
}

/// Whether `name` stands in these tokens.
pub(crate) fn mentions(tokens: impl ToTokens, name: &Ident) -> bool {
    find(tokens, &name.to_string()).is_some()
}

/// The first `impl Trait` in a type.
pub(crate) fn find_impl_trait(ty: &Type) -> Option<TypeImplTrait> {
    struct Find(Option<TypeImplTrait>);

    impl VisitMut for Find {
        fn visit_type_impl_trait_mut(&mut self, ty: &mut TypeImplTrait) {
            self.0.get_or_insert_with(|| ty.clone());
        }
    }

    let mut find = Find(None);
    find.visit_type_mut(&mut ty.clone());
    find.0
}

/// How the stub takes a method's arguments.
pub(crate) enum Taken {
    /// They are `()`, so it does not.
    Not,
    /// Small and `Copy`.
    ByValue(Type),
    /// The type behind the reference; not always a sized one.
    ByReference(Type),
}

/// How the stub of a method with these arguments takes them.
pub(crate) fn taken(ty: &Type) -> Taken {
    let span = ty.span();
    match bare(ty) {
        ty if is_unit(ty) => Taken::Not,
        ty if is_copy_builtin(ty) => Taken::ByValue(ty.clone()),
        Type::Reference(reference) => Taken::ByReference((*reference.elem).clone()),
        ty if ends_in(ty, "String") => Taken::ByReference(parse_quote_spanned!(span=> str)),
        ty => Taken::ByReference(match argument_of(ty, "Vec") {
            Some(element) => parse_quote_spanned!(span=> [#element]),
            None => ty.clone(),
        }),
    }
}

/// What the stub of a method with this reply returns: the same, owned.
pub(crate) fn owned(ty: &Type) -> Type {
    let Type::Reference(reference) = bare(ty) else { return eternal(ty) };
    match bare(&reference.elem) {
        Type::Slice(slice) => {
            let element = eternal(&slice.elem);
            parse_quote!(::std::vec::Vec<#element>)
        }
        target if ends_in(target, "str") => parse_quote!(::std::string::String),
        target => eternal(target),
    }
}

/// Whether it is one of the language's own types that are cheap to copy.
fn is_copy_builtin(ty: &Type) -> bool {
    const NAMES: &[&str] = &[
        "bool", "char", "f32", "f64", "i8", "i16", "i32", "i64", "i128", "isize", "u8", "u16",
        "u32", "u64", "u128", "usize",
    ];
    path(ty).is_some_and(|path| NAMES.iter().any(|name| path.is_ident(name)))
}

/// Whether anybody can see that it is `Serialize` and `DeserializeOwned`.
pub(crate) fn is_plain(ty: &Type) -> bool {
    match bare(ty) {
        ty if is_unit(ty) || is_copy_builtin(ty) => true,
        ty if ends_in(ty, "str") || ends_in(ty, "String") => true,
        Type::Slice(slice) => is_plain(&slice.elem),
        Type::Tuple(tuple) => tuple.elems.iter().all(is_plain),
        ty => ["Vec", "Option"].iter().any(|name| argument_of(ty, name).is_some_and(is_plain)),
    }
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::*;

    fn text(tokens: impl ToTokens) -> String {
        tokens.to_token_stream().to_string()
    }

    #[test]
    fn lifetimes_are_replaced_wherever_they_hide() {
        let ty: Type = parse_quote!(Map<'a, &str, &'static [&'b u8], fn(&u8)>);
        assert_eq!(text(inferred(&ty)), text(quote!(Map<'_, &'_ str, &'static [&'_ u8], fn(&u8)>)));
        assert_eq!(
            text(eternal(&ty)),
            text(quote!(Map<'static, &'static str, &'static [&'static u8], fn(&u8)>))
        );
        let (names, ty) = higher_ranked(&ty);
        assert_eq!(names.iter().map(text).collect::<Vec<_>>(), ["'a", "'b", "'c"]);
        assert_eq!(text(ty), text(quote!(Map<'a, &'b str, &'static [&'c u8], fn(&u8)>)));
    }

    #[test]
    fn self_is_spelt_out() {
        let this: Type = parse_quote!(Kv<T>);
        for (ty, spelt) in [
            (quote!(Self), quote!(Kv<T>)),
            (quote!(Vec<Self>), quote!(Vec<Kv<T>>)),
            (quote!([u8; Self::N]), quote!([u8; <Kv<T>>::N])),
            (quote!(<Self as Trait>::Item), quote!(<Kv<T> as Trait>::Item)),
            (quote!(Selfish), quote!(Selfish)),
        ] {
            let ty: Type = parse_quote!(#ty);
            assert_eq!(
                text(without_self(&ty, &this)).replace(' ', ""),
                text(spelt).replace(' ', "")
            );
        }
    }
}
