use netrpc::service;

struct Arith;

#[service]
impl Arith {
    fn multiply(&self, a: i64, b: i64, reply: &mut i64) {
        *reply = a * b;
    }
}

fn main() {}
