use std::cell::Cell;

use netrpc::service;

struct Counter {
    count: Cell<u64>,
}

#[service]
impl Counter {
    fn add(&self, n: u64, reply: &mut u64) {
        self.count.set(self.count.get() + n);
        *reply = self.count.get();
    }

    async fn reset(&self, _: (), reply: &mut u64) {
        *reply = self.count.take();
    }
}

fn main() {}
