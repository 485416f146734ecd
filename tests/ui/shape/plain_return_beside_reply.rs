use netrpc::service;

struct Arith;

#[service]
impl Arith {
    fn double(&self, n: i64, reply: &mut i64) -> bool {
        *reply = 2 * n;
        true
    }
}

fn main() {}
