use netrpc::service;

struct Arith;

#[service(client = true)]
impl Arith {
    fn double(&self, n: i64, reply: &mut i64) {
        *reply = 2 * n;
    }
}

fn main() {}
