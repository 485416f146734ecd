//! What methods are called on the wire.

use netrpc::{Demand, Error, Refusal, Service, service};

use crate::serve;

struct Names;

#[service]
impl Names {
    fn get_user_id(&self, _: (), reply: &mut u8) {
        *reply = 1;
    }

    #[allow(non_snake_case)]
    fn GoStyle(&self, _: (), reply: &mut u8) {
        *reply = 2;
    }

    fn r#type(&self, r#in: u8, reply: &mut u8) {
        *reply = r#in;
    }

    #[method(name = "FetchAll", alias = "fetch-all", alias = "Everything")]
    fn all(&self, _: (), reply: &mut u8) {
        *reply = 4;
    }

    fn _2nd(&self, _: (), reply: &mut u8) {
        *reply = 6;
    }

    #[method(alias = "Deux")]
    #[method(idempotent)]
    async fn two(&self, _: (), reply: &mut u8) {
        *reply = 5;
    }
}

#[tokio::test]
async fn a_method_answers_to_its_upper_camel_name_its_rust_name_and_its_aliases() {
    let client = serve!(Names);
    for (method, reply) in [
        ("Names.GetUserId", 1),
        ("Names.get_user_id", 1),
        ("Names.GoStyle", 2),
        ("Names.Type", 3),
        ("Names.type", 3),
        ("Names.FetchAll", 4),
        ("Names.all", 4),
        ("Names.fetch-all", 4),
        ("Names.Everything", 4),
        ("Names.Two", 5),
        ("Names.two", 5),
        ("Names.Deux", 5),
        ("Names.2nd", 6),
        ("Names._2nd", 6),
    ] {
        let got = match method {
            "Names.Type" | "Names.type" => client.call::<_, u8>(method, &3).await,
            _ => client.call::<_, u8>(method, &()).await,
        };
        assert_eq!(got.expect(method), reply, "{method}");
    }
    for method in ["Names.All", "Names.getUserId", "Names.go_style", "Names.r#type"] {
        let error = client.call::<_, u8>(method, &()).await.unwrap_err();
        assert!(
            matches!(error, Error::Refused { refusal: Refusal::UnknownMethod, .. }),
            "{method}: {error:?}"
        );
    }
}

struct Renamed;

#[service(name = "my.Service", rename_all = "lowerCamelCase")]
impl Renamed {
    fn get_user_id(&self, _: (), reply: &mut u8) {
        *reply = 1;
    }

    #[method(name = "AsIs")]
    fn as_it_is(&self, _: (), reply: &mut u8) {
        *reply = 2;
    }
}

#[tokio::test]
async fn a_service_and_all_of_its_methods_can_be_renamed() {
    let client = serve!(Renamed);
    for (method, reply) in [
        ("my.Service.getUserId", 1),
        ("my.Service.get_user_id", 1),
        ("my.Service.AsIs", 2),
        ("my.Service.as_it_is", 2),
    ] {
        assert_eq!(client.call::<_, u8>(method, &()).await.expect(method), reply, "{method}");
    }
    assert_eq!(Renamed::NAME, "my.Service");
    let stub = RenamedClient::new(client);
    assert_eq!(stub.get_user_id().await.unwrap(), 1);
    assert_eq!(RenamedClient::GET_USER_ID.name(), "my.Service.getUserId");
}

macro_rules! case {
    ($service:ident, $client:ident, $case:literal, $name:literal) => {{
        struct $service;

        #[service(rename_all = $case)]
        impl $service {
            fn get_user_id(&self, _: (), reply: &mut u8) {
                *reply = 1;
            }
        }

        assert_eq!($client::GET_USER_ID.name(), concat!(stringify!($service), ".", $name));
        assert_eq!($client::new(serve!($service)).get_user_id().await.unwrap(), 1);
    }};
}

#[tokio::test]
async fn rename_all_knows_the_usual_cases() {
    case!(A, AClient, "UpperCamelCase", "GetUserId");
    case!(B, BClient, "PascalCase", "GetUserId");
    case!(C, CClient, "lowerCamelCase", "getUserId");
    case!(D, DClient, "camelCase", "getUserId");
    case!(E, EClient, "snake_case", "get_user_id");
    case!(F, FClient, "SCREAMING_SNAKE_CASE", "GET_USER_ID");
    case!(G, GClient, "kebab-case", "get-user-id");
}

#[test]
fn the_table_says_what_each_method_declares() {
    struct Declared;

    #[service(client = false)]
    impl Declared {
        /// Doubles.
        ///
        ///     2 * n
        ///
        /// That is all.
        fn plain(&self, n: &str, reply: &mut i64) {
            *reply = 2 * n.len() as i64;
        }

        #[method(blocking, idempotent)]
        fn slow(&self, cx: &netrpc::Context, _: (), reply: &mut i64) {
            *reply = cx.time_left().is_some().into();
        }

        #[method(no_cancel)]
        async fn whole(&self, _: (), reply: &mut i64) {
            *reply = 1;
        }

        #[method(at_most_once)]
        fn once(&self, _: (), reply: &mut i64) {
            *reply = 1;
        }

        #[method(exactly_once)]
        async fn exactly(&self, _cx: &netrpc::Context, _: (), reply: &mut i64) {
            *reply = 1;
        }
    }

    let registry = netrpc_core::service::Registry::new();
    registry.register(Declared::NAME, &std::sync::Arc::new(Declared)).unwrap();
    let table = registry.snapshot();
    let options = |name| {
        let options = table.find(name).unwrap().options();
        (options.context, options.blocking, options.demands, options.no_cancel)
    };
    assert_eq!(options("Declared.Plain"), (false, false, Demand::None, false));
    assert_eq!(options("Declared.Slow"), (true, true, Demand::Idempotent, false));
    assert_eq!(options("Declared.Whole"), (false, false, Demand::None, true));
    assert_eq!(options("Declared.Once"), (true, false, Demand::AtMostOnce, false));
    assert_eq!(options("Declared.Exactly"), (true, false, Demand::ExactlyOnce, false));
    let plain = table.find("Declared.plain").unwrap();
    assert_eq!(plain.doc(), "Doubles.\n\n    2 * n\n\nThat is all.");
    assert_eq!(plain.types(), ("&str", "i64"));
    assert_eq!(plain.name(), "Plain");
}
