//! Where a method leaves its reply: behind `&mut`, or in what it returns.

use std::collections::BTreeMap;

use netrpc::service;
use serde::{Deserialize, Serialize};

use crate::serve;

#[derive(Debug, PartialEq, Default, Serialize, Deserialize)]
struct Quotient {
    quo: i64,
    rem: i64,
}

/// It has no default.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Sign {
    Negative,
    Zero,
    Positive,
}

/// Only what a server needs.
#[derive(Default, Serialize)]
struct OnlySerialize {
    n: i64,
}

/// Borrows from whatever it is made of.
#[derive(Default, Serialize)]
struct Words<'a> {
    words: Vec<&'a str>,
}

type Outcome<T> = Result<T, String>;
type AnyResult<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;
type JustResult = Result<(), String>;

struct Leave {
    name: String,
}

#[service]
impl Leave {
    fn written(&self, (a, b): (i64, i64), reply: &mut Quotient) {
        *reply = Quotient { quo: a / b, rem: a % b };
    }

    fn written_or_failed(&self, (a, b): (i64, i64), reply: &mut Quotient) -> Result<(), String> {
        let quo = a.checked_div(b).ok_or("divide by zero")?;
        *reply = Quotient { quo, rem: a % b };
        Ok(())
    }

    async fn written_later(&self, (a, b): (i64, i64), reply: &mut Quotient) -> Result<(), String> {
        tokio::task::yield_now().await;
        self.written_or_failed((a, b), reply)
    }

    #[allow(clippy::unused_unit)]
    async fn written_as_unit(&self, n: i64, reply: &mut i64) -> () {
        *reply = n;
    }

    /// The reply starts as its default.
    fn added(&self, counts: BTreeMap<String, u32>, reply: &mut BTreeMap<String, u32>) {
        for (word, count) in counts {
            *reply.entry(word).or_default() += count;
        }
    }

    fn untouched(&self, _: (), _reply: &mut Quotient) {}

    fn unit(&self, _: (), _: &mut ()) {}

    fn returned(&self, n: i64) -> Result<Sign, String> {
        Ok(match n {
            ..0 => Sign::Negative,
            0 => Sign::Zero,
            1.. => Sign::Positive,
        })
    }

    async fn returned_later(&self, n: i64) -> Result<Sign, String> {
        tokio::task::yield_now().await;
        self.returned(n)
    }

    fn returned_unit(&self, ok: bool) -> Result<(), String> {
        ok.then_some(()).ok_or_else(|| "not ok".to_owned())
    }

    fn returned_by_alias(&self, n: i64) -> AnyResult<i64> {
        Ok(n)
    }

    fn written_by_alias(&self, n: i64, reply: &mut i64) -> JustResult {
        *reply = n;
        Ok(())
    }

    fn written_by_the_alias_of_fmt(&self, n: i64, reply: &mut String) -> std::fmt::Result {
        use std::fmt::Write as _;
        write!(reply, "{n}")
    }

    /// A reply may borrow from the service,
    async fn lent(&self, _: ()) -> Result<&str, String> {
        tokio::task::yield_now().await;
        Ok(&self.name)
    }

    /// from the arguments,
    fn lent_by_the_arguments<'a>(&self, text: &'a str) -> Result<&'a str, String> {
        Ok(text.trim())
    }

    /// and from inside of something else.
    async fn lent_inside<'a>(&self, text: &'a str, reply: &mut Words<'a>) {
        reply.words = text.split(' ').collect();
    }

    fn only_serialize(&self, n: i64, reply: &mut OnlySerialize) {
        reply.n = n;
    }

    fn slice(&self, _: ()) -> Result<&[u8], String> {
        Ok(self.name.as_bytes())
    }
}

fn leave() -> Leave {
    Leave { name: "leave".to_owned() }
}

#[tokio::test]
async fn a_reply_is_written_or_returned() {
    let client = LeaveClient::new(serve!(leave()));
    let quotient = Quotient { quo: 8, rem: 2 };
    assert_eq!(client.written(&(42, 5)).await.unwrap(), quotient);
    assert_eq!(client.written_or_failed(&(42, 5)).await.unwrap(), quotient);
    assert_eq!(client.written_later(&(42, 5)).await.unwrap(), quotient);
    assert_eq!(client.written_as_unit(42).await.unwrap(), 42);
    assert_eq!(client.written_by_alias(42).await.unwrap(), 42);
    assert_eq!(client.written_by_the_alias_of_fmt(42).await.unwrap(), "42");
    assert_eq!(client.returned(-1).await.unwrap(), Sign::Negative);
    assert_eq!(client.returned_later(1).await.unwrap(), Sign::Positive);
    assert_eq!(client.returned_by_alias(1).await.unwrap(), 1);
    let counts = BTreeMap::from([("a".to_owned(), 1)]);
    assert_eq!(client.added(&counts).await.unwrap(), counts);
}

#[tokio::test]
async fn a_method_that_writes_nothing_replies_the_default() {
    let client = LeaveClient::new(serve!(leave()));
    assert_eq!(client.untouched().await.unwrap(), Quotient::default());
}

#[tokio::test]
async fn a_reply_may_be_nothing() {
    let client = LeaveClient::new(serve!(leave()));
    let () = client.unit().await.unwrap();
    let () = client.returned_unit(true).await.unwrap();
    assert_eq!(client.returned_unit(false).await.unwrap_err().to_string(), "not ok");
}

#[tokio::test]
async fn a_reply_may_be_borrowed_and_arrives_owned() {
    let client = LeaveClient::new(serve!(leave()));
    let name: String = client.lent().await.unwrap();
    assert_eq!(name, "leave");
    let trimmed: String = client.lent_by_the_arguments(" x ").await.unwrap();
    assert_eq!(trimmed, "x");
    let bytes: Vec<u8> = client.slice().await.unwrap();
    assert_eq!(bytes, b"leave");

    #[derive(Deserialize)]
    struct Words {
        words: Vec<String>,
    }
    let reply: Words = client.client().call("Leave.LentInside", "a b").await.unwrap();
    assert_eq!(reply.words, ["a", "b"]);
}

#[tokio::test]
async fn a_reply_need_not_be_deserialize() {
    #[derive(Deserialize)]
    struct OnlyDeserialize {
        n: i64,
    }
    let reply: OnlyDeserialize = serve!(leave()).call("Leave.OnlySerialize", &7).await.unwrap();
    assert_eq!(reply.n, 7);
}

#[tokio::test]
async fn a_failed_method_has_no_reply() {
    let client = LeaveClient::new(serve!(leave()));
    let error = client.written_or_failed(&(1, 0)).await.unwrap_err();
    assert_eq!(error.to_string(), "divide by zero");
    let error = client.written_later(&(1, 0)).await.unwrap_err();
    assert_eq!(error.to_string(), "divide by zero");
}

#[derive(Debug, PartialEq, Clone, Copy, Default, Serialize, Deserialize)]
struct Point {
    x: i32,
    y: i32,
}

#[service]
impl Point {
    const AXES: usize = 2;

    fn plus(&self, other: Self, reply: &mut Self) {
        *reply = Point { x: self.x + other.x, y: self.y + other.y };
    }

    async fn both(&self, axes: [bool; Self::AXES]) -> Result<Vec<Self>, String> {
        Ok(axes.iter().map(|axis| if *axis { *self } else { Self::default() }).collect())
    }
}

#[tokio::test]
async fn arguments_and_replies_may_be_of_the_type_of_the_service() {
    let client = PointClient::new(serve!(Point { x: 1, y: 2 }));
    let three = Point { x: 3, y: 3 };
    assert_eq!(client.plus(&three).await.unwrap(), Point { x: 4, y: 5 });
    let both = [Point { x: 1, y: 2 }, Point::default()];
    assert_eq!(client.both(&[true, false]).await.unwrap(), both);
}

#[test]
fn aliases_of_result_are_seen_through() {
    let outcome: Outcome<i64> = leave().returned_by_alias(1).map_err(|error| error.to_string());
    assert_eq!(outcome, Ok(1));
}
