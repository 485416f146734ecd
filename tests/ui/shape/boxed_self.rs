use netrpc::service;

struct Arith;

#[service]
impl Arith {
    fn double(self: Box<Self>, n: i64, reply: &mut i64) {
        *reply = 2 * n;
    }
}

fn main() {}
