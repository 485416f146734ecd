//! Services with parameters: served for each choice of them, and a stub that knows only those that
//! its methods mention.

use std::{fmt::Display, marker::PhantomData};

use netrpc::{Server, Service, service};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{connect, serve};

trait Storage {
    type Value;

    fn read(&self, key: &str) -> Option<Self::Value>;
}

/// Holds one thing.
struct One(&'static str);

impl Storage for One {
    type Value = String;

    fn read(&self, key: &str) -> Option<String> {
        (key == "one").then(|| self.0.to_owned())
    }
}

struct Kv<S> {
    storage: S,
}

// No method mentions `S`, so `KvClient` has no parameter.
#[service]
impl<S: Storage> Kv<S>
where
    S::Value: Display,
{
    fn get(&self, key: &str, reply: &mut String) -> Result<(), String> {
        *reply = self.storage.read(key).ok_or("no such key")?.to_string();
        Ok(())
    }

    async fn get_async(&self, key: &str) -> Result<String, String> {
        tokio::task::yield_now().await;
        self.storage.read(key).map(|value| value.to_string()).ok_or_else(|| "no such key".into())
    }
}

#[tokio::test]
async fn a_stub_is_not_generic_over_what_no_method_mentions() {
    assert_eq!(Kv::<One>::NAME, "Kv");
    let client: KvClient = KvClient::new(serve!(Kv { storage: One("first") }));
    assert_eq!(client.get("one").await.unwrap(), "first");
    assert_eq!(client.get_async("one").await.unwrap(), "first");
    assert_eq!(client.get("two").await.unwrap_err().to_string(), "no such key");
}

/// A key, its conditions here and there, a storage that is not mentioned, and a size.
struct Cache<S, K, V, const N: usize> {
    storage: S,
    types: PhantomData<fn() -> (K, V)>,
}

#[service]
impl<S: Send + Sync, K, V: Default + Serialize, const N: usize> Cache<S, K, V, N>
where
    S: Fn(K) -> V,
    K: DeserializeOwned + Send,
{
    fn get(&self, key: K, reply: &mut V) {
        *reply = (self.storage)(key);
    }

    async fn get_all(&self, keys: Vec<K>) -> Result<Vec<V>, String> {
        let mut values = Vec::new();
        for key in keys {
            values.push((self.storage)(key));
        }
        Ok(values)
    }

    fn first(&self, _: First<N>, reply: &mut usize) {
        *reply = N;
    }
}

#[derive(Serialize, Deserialize)]
struct First<const N: usize>;

/// An argument for a parameter.
#[derive(Serialize, Deserialize)]
struct Key(u8);

#[tokio::test]
async fn a_stub_is_generic_over_what_its_methods_mention() {
    let cache =
        Cache::<_, Key, String, 3> { storage: |Key(n)| format!("value {n}"), types: PhantomData };
    let client: CacheClient<Key, String, 3> = CacheClient::new(serve!(cache));
    assert_eq!(client.get(&Key(1)).await.unwrap(), "value 1");
    assert_eq!(client.get_all(&[Key(1), Key(2)]).await.unwrap(), ["value 1", "value 2"]);
    assert_eq!(client.first(&First).await.unwrap(), 3);
    assert_eq!(format!("{client:?}").split('(').next(), Some("CacheClient"));
    let other = client.clone();
    assert_eq!(other.get(&Key(2)).await.unwrap(), "value 2");
}

/// A type that asks something of its parameter.
#[derive(Default, Serialize, Deserialize)]
struct Boxed<T: Display>(T);

trait Convert {
    type Into: Display;
}

struct Numbers;

impl Convert for Numbers {
    type Into = u16;
}

struct Typed<C>(PhantomData<fn() -> C>);

// The methods mention `C` only by what it names; its condition goes with it.
#[service]
impl<C: Convert> Typed<C>
where
    C::Into: DeserializeOwned + Send,
{
    fn show(&self, value: C::Into, reply: &mut Boxed<String>) {
        *reply = Boxed(value.to_string());
    }
}

#[tokio::test]
async fn conditions_follow_the_parameters_they_are_on() {
    let client = TypedClient::<Numbers>::new(serve!(Typed::<Numbers>(PhantomData)));
    assert_eq!(client.show(&7).await.unwrap().0, "7");
}

struct Chosen<T>(T);

#[service(name = "Small", client = "SmallClient")]
impl Chosen<u8> {
    fn get(&self, _: (), reply: &mut u8) {
        *reply = self.0;
    }
}

#[service(name = "Large", client = "LargeClient")]
impl Chosen<u64> {
    fn get_large(&self, _: (), reply: &mut u64) {
        *reply = self.0;
    }
}

#[tokio::test]
async fn two_choices_of_one_type_are_two_services() {
    let server = Server::new();
    server.register(Chosen(1_u8)).unwrap();
    server.register(Chosen(2_u64)).unwrap();
    let client = connect(&server);
    assert_eq!(SmallClient::new(client.clone()).get().await.unwrap(), 1);
    assert_eq!(LargeClient::new(client).get_large().await.unwrap(), 2);
}
