use netrpc::service;

struct Arith;

#[service]
impl Arith {
    async fn double(&self, n: i64, mut reply: Vec<i64>) {
        reply.push(2 * n);
    }
}

fn main() {}
