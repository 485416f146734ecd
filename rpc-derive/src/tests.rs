//! The whole of the macro, without a compiler: tokens in, tokens out.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{
    Attribute, Expr, ExprPath, File, ImplItem, Item, ItemImpl, Path, Stmt, parse_quote,
    visit_mut::VisitMut,
};

use crate::{attr::ServiceOptions, check::check, errors::Errors, parse::parse};

fn generate(options: TokenStream, item: TokenStream) -> File {
    let generated = crate::generate(options, item);
    syn::parse2(generated.clone()).unwrap_or_else(|error| panic!("{error}: {generated}"))
}

/// What is reported of an item.
fn mistakes(options: TokenStream, item: TokenStream) -> Vec<String> {
    let message = |item: &Item| match item {
        Item::Macro(item) => {
            assert!(item.mac.path.segments.last()?.ident == "compile_error");
            Some(item.mac.parse_body::<syn::LitStr>().unwrap().value())
        }
        _ => None,
    };
    generate(options, item).items.iter().filter_map(message).collect()
}

/// The `impl` block of this type, and of this trait if it is one of a trait.
fn find_impl<'a>(file: &'a File, this: &str, of: Option<&str>) -> &'a ItemImpl {
    let inside = file.items.iter().filter_map(|item| match item {
        Item::Const(item) => match &*item.expr {
            Expr::Block(expr) => Some(&expr.block.stmts),
            _ => None,
        },
        _ => None,
    });
    let inside = inside.flatten().filter_map(|statement| match statement {
        Stmt::Item(item) => Some(item),
        _ => None,
    });
    let found = file.items.iter().chain(inside).find_map(|item| match item {
        Item::Impl(item) => {
            let named = |path: &Path, name: &str| path.segments.last().unwrap().ident == name;
            let same_trait = match (&item.trait_, of) {
                (None, None) => true,
                (Some((path, _)), Some(of)) => named(path, of),
                _ => false,
            };
            (same_trait && named(crate::types::path(&item.self_ty)?, this)).then_some(item)
        }
        _ => None,
    });
    found.unwrap_or_else(|| panic!("no impl of {of:?} for {this}"))
}

/// The signatures and types in the stub, as text.
fn stub(file: &File, name: &str) -> Vec<String> {
    let item = |item: &ImplItem| match item {
        ImplItem::Fn(item) => text(&item.sig),
        ImplItem::Const(item) => {
            let (ident, ty) = (&item.ident, &item.ty);
            text(quote!(const #ident: #ty))
        }
        item => panic!("{}", text(item)),
    };
    find_impl(file, name, None).items.iter().map(item).collect()
}

fn text(tokens: impl ToTokens) -> String {
    tokens.to_token_stream().to_string()
}

fn arith() -> TokenStream {
    quote! {
        /// Does sums.
        #[allow(clippy::all)]
        impl<T> Arith<T> where T: Clone {
            /// Multiplies.
            #[method(name = "Times")]
            #[inline]
            pub fn multiply(&self, args: Args, reply: &mut i64) -> Result<(), Error> { body() }

            #[method(skip)]
            pub(crate) const fn new<'a>(x: &'a mut [u8]) -> impl Iterator + 'a { body() }

            pub const LIMIT: usize = 3;
        }
    }
}

#[test]
fn the_block_stays_as_it_is_but_for_the_options_of_methods() {
    let mut expected: ItemImpl = syn::parse2(arith()).unwrap();
    for item in &mut expected.items {
        if let ImplItem::Fn(item) = item {
            item.attrs.retain(|attr| !attr.path().is_ident("method"));
        }
    }
    for options in [quote!(), quote!(no_such_option)] {
        let generated = generate(options, arith());
        let Item::Impl(block) = &generated.items[0] else { panic!("{}", text(&generated)) };
        assert_eq!(text(block), text(&expected));
    }
}

#[test]
fn what_is_not_a_block_stays_as_it_is() {
    for item in [
        quote!(
            struct Arith<T>(T);
        ),
        quote!(
            pub async fn double() {}
        ),
        quote!(
            impl<T> Trait for Arith<T> {
                fn double(&self) {}
            }
        ),
    ] {
        let generated = generate(quote!(), item.clone());
        assert_eq!(generated.items.len(), 2, "the item and the mistake: {}", text(&generated));
        assert_eq!(text(&generated.items[0]), text(&item));
    }
}

#[test]
fn a_service_is_its_block_an_implementation_and_a_stub() {
    let generated = generate(quote!(), arith());
    let kinds: Vec<_> = generated
        .items
        .iter()
        .map(|item| match item {
            Item::Impl(ItemImpl { trait_: Some((path, _)), self_ty, .. }) => {
                format!("{} for {}", text(path.segments.last()), text(self_ty))
            }
            Item::Impl(item) => text(&item.self_ty),
            Item::Struct(item) => format!("struct {}", item.ident),
            Item::Const(item) => text(&item.ident),
            item => panic!("{}", text(item)),
        })
        .collect();
    assert_eq!(
        kinds,
        [
            "Arith < T >",
            "_", // the implementation
            "struct ArithClient",
            "ArithClient",
            "Clone for ArithClient",
            "Debug for ArithClient",
        ]
    );
}

#[test]
fn no_path_depends_on_what_the_user_has_in_scope() {
    struct Roots(Vec<String>);

    impl VisitMut for Roots {
        fn visit_path_mut(&mut self, path: &mut Path) {
            if path.leading_colon.is_some() {
                self.0.push(path.segments[0].ident.to_string());
            } else if path.segments.len() > 1 {
                self.0.push(text(&path));
            }
            syn::visit_mut::visit_path_mut(self, path);
        }

        fn visit_expr_path_mut(&mut self, path: &mut ExprPath) {
            if path.qself.is_none() {
                self.visit_path_mut(&mut path.path); // the others are `<Arith>::multiply`
            }
        }

        fn visit_attribute_mut(&mut self, _: &mut Attribute) {} // lints have paths, too
    }

    let item = quote! {
        impl Arith {
            fn multiply(&self, cx: &Context, args: Args<'_>, reply: &mut Reply) -> Result<(), E> {}
            async fn divide(self: Arc<Self>, args: String) -> Result<Vec<u8>, E> {}
        }
    };
    let mut generated = generate(quote!(), item);
    generated.items.remove(0);
    let mut roots = Roots(Vec::new());
    roots.visit_file_mut(&mut generated);
    roots.0.sort();
    roots.0.dedup();
    assert_eq!(
        roots.0,
        ["Self :: DIVIDE", "Self :: MULTIPLY", "Self :: new", "core", "netrpc", "std"]
    );
}

#[test]
fn a_stub_takes_arguments_by_reference_and_returns_replies_owned() {
    for (args, reply, parameter, sent, received) in [
        ("args: Args", "Reply", "args : & Args", "Args", "Reply"),
        ("key: &str", "String", "key : & str", "str", "String"),
        ("key: String", "&str", "key : & str", "str", ":: std :: string :: String"),
        ("key: &'a str", "Option<&'a str>", "key : & str", "str", "Option < & 'static str >"),
        ("_bytes: &[u8]", "&[u8]", "bytes : & [u8]", "[u8]", ":: std :: vec :: Vec < u8 >"),
        ("r#in: Vec<Vec<T>>", "T", "r#in : & [Vec < T >]", "[Vec < T >]", "T"),
        (
            "args: Args<'_>",
            "&Reply<'a>",
            "args : & Args < '_ >",
            "Args < 'static >",
            "Reply < 'static >",
        ),
        ("(a, b): (i64, i64)", "f64", "args : & (i64 , i64)", "(i64 , i64)", "f64"),
        ("n: u8", "()", "n : u8", "u8", "()"),
        ("_: ()", "Self", "", "()", "Arith < T >"),
        ("path: &Path", "PathBuf", "path : & Path", "Path", "PathBuf"),
        (
            "list: [u8; Self::N]",
            "u8",
            "list : & [u8 ; < Arith < T > > :: N]",
            "[u8 ; < Arith < T > > :: N]",
            "u8",
        ),
    ] {
        let (args, reply): (TokenStream, TokenStream) =
            (args.parse().unwrap(), reply.parse().unwrap());
        let item = quote! {
            impl<T> Arith<T> { fn get(&self, #args) -> Result<#reply, String> {} }
        };
        let stub = stub(&generate(quote!(), item), "ArithClient");
        let space = if parameter.is_empty() { "" } else { " " };
        let call = format!(
            "async fn get (& self ,{space}{parameter}) -> :: core :: result :: Result < {received} , :: netrpc :: Error >"
        );
        let go =
            format!("fn get_go (& self ,{space}{parameter}) -> :: netrpc :: Call < {received} >");
        let constant = format!("const GET : :: netrpc :: TypedMethod < {sent} , {received} >");
        for expected in [call, go, constant] {
            let found = stub.iter().any(|item| item.starts_with(&expected));
            assert!(found, "{expected}\n{}", stub.join("\n"));
        }
    }
}

#[test]
fn a_stub_has_the_parameters_that_its_methods_mention_and_no_others() {
    for (generics, conditions, args, expected) in [
        ("<S: Storage>", "", "()", ""),
        ("<S: Storage>", "", "S::Key", "< S : Storage >"),
        ("<S, K>", "where S: Storage<K>, K: Key", "K", "< K > where K : Key"),
        (
            "<S, K>",
            "where S: Storage<K>, K: Key",
            "S::Value",
            "< S , K > where S : Storage < K > , K : Key",
        ),
        ("<A, B: Of<C>, C, D>", "", "Vec<B>", "< B : Of < C > , C >"),
        ("<const N: usize, T: ?Sized>", "", "[u8; N]", "< const N : usize >"),
        ("<T>", "where Vec<T>: Debug, u8: From<u8>", "T", "< T > where Vec < T > : Debug"),
    ] {
        let [generics, conditions, args]: [TokenStream; 3] =
            [generics, conditions, args].map(|it| it.parse().unwrap());
        let item = quote! {
            impl #generics Kv<S> #conditions { fn get(&self, args: #args, reply: &mut ()) {} }
        };
        let generated = generate(quote!(), item);
        let stub = &find_impl(&generated, "KvClient", None).generics;
        let clause = &stub.where_clause;
        assert_eq!(text(quote!(#stub #clause)), expected);
    }
}

#[test]
fn the_futures_of_a_trait_can_be_sent() {
    let item = quote! {
        pub trait Arithmetic: Sized {
            async fn double(&self, n: i64, reply: &mut i64) -> Result<(), Self::Error>;
            async fn triple(&self, n: i64, reply: &mut i64) { *reply = 3 * n; }
            fn quadruple(&self, n: i64, reply: &mut i64);
            type Error: Display;
        }
    };
    let generated = generate(quote!(), item);
    let expected: Item = parse_quote! {
        pub trait Arithmetic: Sized {
            fn double(&self, n: i64, reply: &mut i64)
                -> impl ::core::future::Future<Output = Result<(), Self::Error>> + ::core::marker::Send;
            #[allow(clippy::manual_async_fn)]
            fn triple(&self, n: i64, reply: &mut i64)
                -> impl ::core::future::Future<Output = ()> + ::core::marker::Send
            where
                Self: ::core::marker::Send + ::core::marker::Sync
            {
                async move { *reply = 3 * n; }
            }
            fn quadruple(&self, n: i64, reply: &mut i64);
            type Error: Display;
        }
    };
    assert_eq!(text(&generated.items[0]), text(&expected));
}

#[test]
fn all_mistakes_of_a_block_are_reported_together_and_the_rest_is_served() {
    let item = quote! {
        impl Arith {
            fn new() -> Self {}
            fn right(&self, n: i64, reply: &mut i64) {}
            #[method(skipp)]
            fn zero(&mut self, n: i64, reply: &mut i64) {}
            unsafe fn two<T>(self, a: i64, b: i64) -> i64 {}
        }
    };
    let found = mistakes(quote!(client = 7), item.clone());
    let expected = [
        "client = \"Name\"", // each of them says what to do
        "unknown option `skipp`",
        "`new` takes no `self`",
        "take `&self`, and keep what changes in a `Mutex`",
        "cannot be `unsafe`",
        "is not generic",
        "take `&self` or `self: Arc<Self>`",
        "a tuple `(a, b): (i64, i64)`",
        "returns `Result<R, E>`",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.contains(expected), "{found}");
    }
    let generated = generate(quote!(), item);
    let service = text(find_impl(&generated, "Arith", Some("Service")));
    assert!(service.contains("\"Right\"") && !service.contains("\"Two\""), "{service}");
    let stub = stub(&generated, "ArithClient").join("\n");
    assert!(stub.contains("fn right_go") && !stub.contains("two"), "{stub}");
}

#[test]
fn every_served_shape_is_served() {
    let receivers = ["&self", "&'a self", "self: Arc<Self>", "self: &std::sync::Arc<Self>"];
    let contexts = ["", "cx: &Context,", "cx: &'a netrpc::Context,", "_: &Context,"];
    let arguments =
        ["args: A", "&n: &u8", "(a, b): (A, B)", "A { a, .. }: A<'_>", "_: ()", "mut x: X<'a>"];
    let replies = [
        ", reply: &mut R) {",
        ", reply: &mut R) -> () {",
        ", _: &'a mut R<'a>) -> Result<(), E> {",
        ", reply: &mut R) -> anyhow::Result<()> {",
        ", reply: &mut R,) -> fmt::Result {",
        ") -> Result<R, E> {",
        ") -> io::Result<()> {",
        ") -> MyResult<&'a R> {",
    ];
    let mut shapes = 0;
    for keyword in ["fn", "async fn", "pub fn", "pub(crate) async fn"] {
        for receiver in receivers {
            for context in contexts {
                for args in arguments {
                    for reply in replies {
                        let item = format!(
                            "impl Arith {{ {keyword} m<'a>({receiver}, {context} {args} {reply} }} }}"
                        );
                        let mut errors = Errors::default();
                        let options = ServiceOptions::parse(TokenStream::new(), &mut errors);
                        let parsed = parse(item.parse().unwrap(), &mut errors);
                        let Ok((block, methods)) = parsed else { panic!("{item}") };
                        let service = check(options, &block, &methods, &mut errors);
                        assert_eq!(errors.count(), 0, "{item}: {}", errors.into_compile_errors());
                        assert_eq!(service.unwrap().methods.len(), 1);
                        shapes += 1;
                    }
                }
            }
        }
    }
    assert_eq!(shapes, 4 * 4 * 4 * 6 * 8);
}
