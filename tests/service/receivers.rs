//! How a method takes its service.

use std::{
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use netrpc::{Server, service};

use crate::{connect, serve};

#[derive(Default)]
struct Counter {
    count: AtomicU64,
}

impl Counter {
    fn next(&self) -> u64 {
        self.count.fetch_add(1, Ordering::SeqCst) + 1
    }
}

#[service]
impl Counter {
    fn by_reference(&self, _: (), reply: &mut u64) {
        *reply = self.next();
    }

    fn by_explicit_reference(self: &Self, _: (), reply: &mut u64) {
        *reply = self.next();
    }

    async fn by_reference_async<'a>(&'a self, _: (), reply: &mut u64) {
        tokio::task::yield_now().await;
        *reply = self.next();
    }

    fn by_arc(self: Arc<Self>, _: (), reply: &mut u64) {
        *reply = self.next();
    }

    async fn by_arc_async(mut self: Arc<Self>, _: (), reply: &mut u64) {
        self = Arc::clone(&self);
        // It can be given away, and outlive the call.
        *reply = tokio::spawn(async move { self.next() }).await.unwrap();
    }

    fn by_reference_to_an_arc(self: &Arc<Self>, _: (), reply: &mut u64) {
        *reply = Arc::clone(self).next();
    }

    async fn by_reference_to_an_arc_async(self: &Arc<Self>, _: ()) -> Result<u64, String> {
        tokio::task::yield_now().await;
        Ok(self.next())
    }

    /// Not served, whatever it takes.
    #[method(skip)]
    #[allow(dead_code)]
    fn not_served(mut self: Rc<Self>, _: &dyn Fn(), n: impl Into<u64>) -> u64 {
        Rc::get_mut(&mut self).map_or(0, |it| it.next()) + n.into()
    }

    #[method(skip)]
    fn new() -> Self {
        Self::default()
    }
}

#[tokio::test]
async fn every_receiver_is_the_one_service() {
    let client = CounterClient::new(serve!(Counter::new()));
    assert_eq!(client.by_reference().await.unwrap(), 1);
    assert_eq!(client.by_explicit_reference().await.unwrap(), 2);
    assert_eq!(client.by_reference_async().await.unwrap(), 3);
    assert_eq!(client.by_arc().await.unwrap(), 4);
    assert_eq!(client.by_arc_async().await.unwrap(), 5);
    assert_eq!(client.by_reference_to_an_arc().await.unwrap(), 6);
    assert_eq!(client.by_reference_to_an_arc_async().await.unwrap(), 7);
}

#[tokio::test]
async fn a_service_that_is_shared_already_is_registered_as_it_is() {
    let counter = Arc::new(Counter::new());
    let server = Server::new();
    server.register(counter.clone()).unwrap();
    let client = CounterClient::new(connect(&server));
    assert_eq!(client.by_arc().await.unwrap(), 1);
    assert_eq!(counter.next(), 2);
}
