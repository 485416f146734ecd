use netrpc::service;

struct Arith;

#[service]
impl Arith {
    fn double(&self, n: i64) -> i64 {
        2 * n
    }
}

fn main() {}
