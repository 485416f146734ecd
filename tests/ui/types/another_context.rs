use netrpc::service;

struct Arith;

struct Context;

#[service]
impl Arith {
    async fn double(&self, _cx: &Context, n: i64, reply: &mut i64) {
        *reply = 2 * n;
    }
}

fn main() {}
