//! What a method can take: owned, borrowed from the request, nothing at all.

use std::{borrow::Cow, collections::BTreeMap, path::Path};

use netrpc::{Error, Refusal, service};
use serde::{Deserialize, Serialize};

use crate::serve;

#[derive(Serialize, Deserialize)]
struct Owned {
    words: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Borrowed<'a> {
    key: &'a str,
    value: &'a [u8],
}

/// Several lifetimes, and a generic one.
#[derive(Serialize, Deserialize)]
struct Two<'a, 'b, T> {
    left: &'a str,
    #[serde(borrow)]
    right: Cow<'b, str>,
    both: T,
}

/// Only what a server needs; what is sent has to be something else.
#[derive(Deserialize)]
struct OnlyDeserialize {
    n: i64,
}

struct Take;

#[service]
impl Take {
    fn owned(&self, args: Owned, reply: &mut usize) {
        *reply = args.words.len();
    }

    async fn owned_async(&self, args: Owned) -> Result<usize, String> {
        tokio::task::yield_now().await;
        Ok(args.words.len())
    }

    fn text(&self, text: &str, reply: &mut String) {
        *reply = text.to_uppercase();
    }

    async fn text_async(&self, text: &str, reply: &mut String) {
        tokio::task::yield_now().await;
        *reply = text.to_uppercase();
    }

    fn string(&self, mut text: String, reply: &mut String) {
        text.push('!');
        *reply = text;
    }

    fn bytes(&self, bytes: &[u8], reply: &mut u64) {
        *reply = bytes.iter().map(|&byte| u64::from(byte)).sum();
    }

    async fn bytes_async(&self, bytes: &[u8], reply: &mut u64) {
        tokio::task::yield_now().await;
        *reply = bytes.iter().map(|&byte| u64::from(byte)).sum();
    }

    fn path(&self, path: &Path, reply: &mut bool) {
        *reply = path.is_absolute();
    }

    fn borrowed(&self, args: Borrowed<'_>, reply: &mut String) {
        *reply = format!("{}={}", args.key, args.value.len());
    }

    async fn borrowed_async<'a>(&self, args: Borrowed<'a>) -> Result<String, String> {
        tokio::task::yield_now().await;
        Ok(format!("{}={}", args.key, args.value.len()))
    }

    async fn two<'a, 'b: 'a>(&self, args: Two<'a, 'b, Option<&str>>, reply: &mut String)
    where
        'a: 'a,
    {
        tokio::task::yield_now().await;
        *reply = format!("{}{}{}", args.left, args.right, args.both.unwrap_or("-"));
    }

    fn maybe(&self, text: Option<&str>, reply: &mut usize) {
        *reply = text.map_or(0, str::len);
    }

    fn vector(&self, numbers: Vec<i64>, reply: &mut i64) {
        *reply = numbers.into_iter().sum();
    }

    fn map(&self, counts: BTreeMap<String, u32>, reply: &mut u32) {
        *reply = counts.into_values().sum();
    }

    fn array(&self, [a, b, c]: [i32; 3], reply: &mut i32) {
        *reply = a * b * c;
    }

    fn tuple(&self, (text, times): (String, usize), reply: &mut String) {
        *reply = text.repeat(times);
    }

    fn pattern(&self, Borrowed { key, value: _ }: Borrowed<'_>, reply: &mut String) {
        *reply = key.to_owned();
    }

    fn nothing(&self, _: (), reply: &mut bool) {
        *reply = true;
    }

    async fn nothing_async(&self, (): ()) -> Result<bool, String> {
        Ok(true)
    }

    fn only_deserialize(&self, args: OnlyDeserialize, reply: &mut i64) {
        *reply = args.n;
    }

    fn letter(&self, letter: char, reply: &mut u32) {
        *reply = letter.into();
    }

    fn float(&self, x: f64, reply: &mut f64) {
        *reply = x / 2.0;
    }

    fn large(&self, n: u128, reply: &mut u128) {
        *reply = n + 1;
    }

    fn flag(&self, flag: bool, reply: &mut bool) {
        *reply = !flag;
    }
}

#[tokio::test]
async fn a_method_takes_whatever_can_be_deserialized() {
    let client = TakeClient::new(serve!(Take));
    let words = Owned { words: vec!["hello".into(), "bye".into()] };
    assert_eq!(client.owned(&words).await.unwrap(), 2);
    assert_eq!(client.owned_async(&words).await.unwrap(), 2);
    assert_eq!(client.string("hey").await.unwrap(), "hey!");
    assert_eq!(client.vector(&[1, 2, 3]).await.unwrap(), 6);
    let counts = BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]);
    assert_eq!(client.map(&counts).await.unwrap(), 3);
    assert_eq!(client.array(&[2, 3, 7]).await.unwrap(), 42);
    assert_eq!(client.tuple(&("ab".to_owned(), 2)).await.unwrap(), "abab");
}

#[tokio::test]
async fn builtin_arguments_are_passed_by_value() {
    let client = TakeClient::new(serve!(Take));
    assert_eq!(client.letter('A').await.unwrap(), 65);
    assert_eq!(client.float(3.0).await.unwrap(), 1.5);
    assert_eq!(client.large(u128::from(u64::MAX)).await.unwrap(), 1 << 64);
    assert!(!client.flag(true).await.unwrap());
}

#[tokio::test]
async fn arguments_borrow_from_the_request_also_across_an_await() {
    let client = TakeClient::new(serve!(Take));
    // Borrowed here as well: from something that is gone before the reply comes.
    let text = String::from("hello");
    let calls = (client.text_go(&text), client.text_async_go(&text));
    drop(text);
    assert_eq!(calls.0.await.unwrap(), "HELLO");
    assert_eq!(calls.1.await.unwrap(), "HELLO");
    assert_eq!(client.bytes(&[1, 2, 250]).await.unwrap(), 253);
    assert_eq!(client.bytes_async(&[1, 2, 250]).await.unwrap(), 253);
    assert!(client.path(Path::new("/tmp")).await.unwrap());

    let (key, value) = (String::from("k"), vec![0; 3]);
    let pair = Borrowed { key: &key, value: &value };
    assert_eq!(client.borrowed(&pair).await.unwrap(), "k=3");
    assert_eq!(client.borrowed_async(&pair).await.unwrap(), "k=3");
    assert_eq!(client.pattern(&pair).await.unwrap(), "k");
    let two = Two { left: &key, right: Cow::Borrowed("l"), both: Some(&*key) };
    assert_eq!(client.two(&two).await.unwrap(), "klk");
    assert_eq!(client.maybe(&Some(&*key)).await.unwrap(), 1);
}

#[tokio::test]
async fn a_method_without_arguments_is_called_without() {
    let client = TakeClient::new(serve!(Take));
    assert!(client.nothing().await.unwrap());
    assert!(client.nothing_async().await.unwrap());
    assert!(client.nothing_go().await.unwrap());
    let client = client.client();
    assert!(client.call(TakeClient::NOTHING, &()).await.unwrap());
}

#[tokio::test]
async fn arguments_need_not_be_serialize() {
    let client = serve!(Take);
    #[derive(Serialize)]
    struct OnlySerialize {
        n: i64,
    }
    let args = OnlySerialize { n: 7 };
    let reply: i64 = client.call("Take.OnlyDeserialize", &args).await.unwrap();
    assert_eq!(reply, 7);
}

#[tokio::test]
async fn arguments_of_another_type_are_refused_and_the_method_does_not_run() {
    let client = serve!(Take);
    for method in ["Take.Owned", "Take.OwnedAsync", "Take.Bytes", "Take.BytesAsync"] {
        let error = client.call::<_, u64>(method, &-1).await.unwrap_err();
        assert!(
            matches!(error, Error::Refused { refusal: Refusal::BadArguments, .. }),
            "{method}: {error:?}"
        );
        assert!(!error.may_have_run(), "{method}");
    }
}
