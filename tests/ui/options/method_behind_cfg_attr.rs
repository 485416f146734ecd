use netrpc::service;

struct Arith;

#[service]
impl Arith {
    #[cfg_attr(debug_assertions, method(skip))]
    fn double(&self, n: i64, reply: &mut i64) {
        *reply = 2 * n;
    }
}

fn main() {}
