use netrpc::service;

struct Arith;

#[service]
impl Arith {
    fn double(&self, n: i64, reply: &mut i64) {
        *reply = 2 * n;
    }
}

#[service(client = "OtherClient")]
impl Arith {
    fn triple(&self, n: i64, reply: &mut i64) {
        *reply = 3 * n;
    }
}

fn main() {}
