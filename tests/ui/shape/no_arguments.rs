use netrpc::service;

struct Arith;

#[service]
impl Arith {
    fn answer(&self, reply: &mut i64) {
        *reply = 42;
    }
}

fn main() {}
