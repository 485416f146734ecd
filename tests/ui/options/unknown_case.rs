use netrpc::service;

struct Arith;

#[service(rename_all = "Title Case")]
impl Arith {
    fn double(&self, n: i64, reply: &mut i64) {
        *reply = 2 * n;
    }
}

fn main() {}
