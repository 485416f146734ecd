//! `cx: &Context`, first, for those methods that ask for it.

use netrpc::{Context, service};

use crate::serve;

struct Ask;

#[service]
impl Ask {
    fn written(&self, cx: &Context, _: (), reply: &mut u64) {
        *reply = cx.call_id().connection;
    }

    async fn written_later(&self, cx: &Context, text: &str, reply: &mut String) {
        tokio::task::yield_now().await;
        *reply = format!("{text} from {}", cx.peer());
    }

    #[allow(unused_qualifications)]
    fn returned(&self, cx: &netrpc::Context, _: ()) -> Result<bool, String> {
        Ok(cx.is_cancelled())
    }

    async fn returned_later<'a>(&self, cx: &'a Context, _: ()) -> Result<String, String> {
        tokio::task::yield_now().await;
        Ok(cx.peer().to_string())
    }
}

#[tokio::test]
async fn a_method_that_asks_gets_the_context_of_its_call() {
    let client = AskClient::new(serve!(Ask));
    assert_eq!(client.written().await.unwrap(), 1);
    assert_eq!(client.written_later("hello").await.unwrap(), "hello from stream");
    assert!(!client.returned().await.unwrap());
    assert_eq!(client.returned_later().await.unwrap(), "stream");
}
