use netrpc::service;

struct Arith;

#[service]
impl Arith {
    fn double(&self, n: i64, cx: &netrpc::Context, reply: &mut i64) {
        let _ = cx;
        *reply = 2 * n;
    }
}

fn main() {}
