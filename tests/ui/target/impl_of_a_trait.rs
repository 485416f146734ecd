use netrpc::service;

trait Doubling {
    fn double(&self, n: i64, reply: &mut i64);
}

struct Arith;

#[service]
impl Doubling for Arith {
    fn double(&self, n: i64, reply: &mut i64) {
        *reply = 2 * n;
    }
}

fn main() {}
