use netrpc::{Context, service};

struct Arith;

#[service]
impl Arith {
    fn double(&self, cx: &mut Context, n: i64, reply: &mut i64) {
        let _ = cx;
        *reply = 2 * n;
    }
}

fn main() {}
