use std::rc::Rc;

use netrpc::service;

struct Arith;

#[service]
impl Arith {
    async fn double(&self, n: i64, reply: &mut i64) {
        let n = Rc::new(n);
        std::future::ready(()).await;
        *reply = 2 * *n;
    }
}

fn main() {}
