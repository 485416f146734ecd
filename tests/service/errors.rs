//! What a method can fail with, and what its caller gets of it.

use std::{convert::Infallible, error, fmt, io};

use anyhow::Context as _;
use netrpc::{Error, Fault, service};
use serde::{Deserialize, Serialize};

use crate::serve;

/// An error that is nothing but `Display`.
struct Displayed(i64);

impl fmt::Display for Displayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "displayed {}", self.0)
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Overdrawn {
    balance: i64,
}

struct Fail;

#[service]
impl Fail {
    fn anyhow(&self, _: (), _reply: &mut ()) -> anyhow::Result<()> {
        Err(io::Error::other("disk full")).context("writing the report")
    }

    async fn anyhow_async(&self, _: ()) -> anyhow::Result<i64> {
        tokio::task::yield_now().await;
        anyhow::bail!("no {}", "luck")
    }

    fn string(&self, _: (), _reply: &mut ()) -> Result<(), String> {
        Err("a string".to_owned())
    }

    fn text(&self, _: ()) -> Result<i64, &'static str> {
        Err("a str")
    }

    async fn text_of_the_arguments<'a>(&self, text: &'a str) -> Result<i64, &'a str> {
        Err(text)
    }

    fn boxed(&self, _: (), _reply: &mut ()) -> Result<(), Box<dyn error::Error + Send + Sync>> {
        Err("boxed".into())
    }

    async fn boxed_async(&self, _: ()) -> Result<i64, Box<dyn error::Error + Send + Sync>> {
        Ok("x".parse::<i64>()?)
    }

    fn displayed(&self, n: i64, _reply: &mut ()) -> Result<(), Displayed> {
        Err(Displayed(n))
    }

    fn io(&self, _: (), _reply: &mut ()) -> io::Result<()> {
        Err(io::Error::other("an io error"))
    }

    fn fault(&self, balance: i64, _reply: &mut ()) -> Result<(), Fault> {
        Err(Fault::new("account overdrawn").with_detail(&Overdrawn { balance }))
    }

    async fn fault_async(&self, balance: i64) -> Result<i64, Fault> {
        Err(Fault::new("account overdrawn").with_detail(&Overdrawn { balance }))
    }

    fn fault_in_anyhow(&self, balance: i64, _reply: &mut ()) -> anyhow::Result<()> {
        let fault = Fault::new("account overdrawn").with_detail(&Overdrawn { balance });
        Err(fault).context("paying")
    }

    fn never(&self, n: i64) -> Result<i64, Infallible> {
        Ok(n)
    }
}

#[tokio::test]
async fn an_error_arrives_as_its_text() {
    let client = FailClient::new(serve!(Fail));
    let text = |error: Error| {
        assert!(matches!(error, Error::Method(_)), "{error:?}");
        error.to_string()
    };
    assert_eq!(text(client.anyhow().await.unwrap_err()), "writing the report: disk full");
    assert_eq!(text(client.anyhow_async().await.unwrap_err()), "no luck");
    assert_eq!(text(client.string().await.unwrap_err()), "a string");
    assert_eq!(text(client.text().await.unwrap_err()), "a str");
    assert_eq!(text(client.text_of_the_arguments("mine").await.unwrap_err()), "mine");
    assert_eq!(text(client.boxed().await.unwrap_err()), "boxed");
    let parse = "x".parse::<i64>().unwrap_err().to_string();
    assert_eq!(text(client.boxed_async().await.unwrap_err()), parse);
    assert_eq!(text(client.displayed(7).await.unwrap_err()), "displayed 7");
    assert_eq!(text(client.io().await.unwrap_err()), "an io error");
    assert_eq!(client.never(7).await.unwrap(), 7);
}

#[tokio::test]
async fn a_fault_arrives_whole_also_from_inside_of_anyhow() {
    let client = FailClient::new(serve!(Fail));
    for error in [
        client.fault(-7).await.unwrap_err(),
        client.fault_async(-7).await.unwrap_err(),
        client.fault_in_anyhow(-7).await.unwrap_err(),
    ] {
        let fault = error.fault().expect("the method failed");
        assert_eq!(fault.message(), "account overdrawn");
        assert_eq!(fault.detail().unwrap(), Some(Overdrawn { balance: -7 }));
    }
}
