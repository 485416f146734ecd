use netrpc::service;

struct Arith;

#[service]
impl Arith {
    #[method(blocking = true)]
    fn double(&self, n: i64, reply: &mut i64) {
        *reply = 2 * n;
    }
}

fn main() {}
