use netrpc::service;

struct Arith;

#[service]
impl Arith {
    fn new() -> Self {
        Arith
    }

    fn double(&self, n: i64, reply: &mut i64) {
        *reply = 2 * n;
    }
}

fn main() {}
