use netrpc::service;

struct Arith;

#[service]
impl Arith {
    fn double(&self, reply: &mut i64, n: i64) {
        *reply = 2 * n;
    }
}

fn main() {}
