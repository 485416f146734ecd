use std::cell::Cell;

use netrpc::{Server, service};

#[service]
trait Count {
    fn add(&self, n: u64, reply: &mut u64);
}

struct Counter {
    count: Cell<u64>,
}

impl Count for Counter {
    fn add(&self, n: u64, reply: &mut u64) {
        self.count.set(self.count.get() + n);
        *reply = self.count.get();
    }
}

fn main() {
    let counter = Counter { count: Cell::new(0) };
    Server::new().register(CountServer::new(counter)).unwrap();
}
