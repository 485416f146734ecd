use netrpc::service;

struct Arith;

#[service]
impl Arith {
    fn double(&self, #[cfg(debug_assertions)] n: i64, reply: &mut i64) {
        *reply = 2 * n;
    }
}

fn main() {}
