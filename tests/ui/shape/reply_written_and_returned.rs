use netrpc::service;

struct Arith;

#[service]
impl Arith {
    fn double(&self, n: i64, reply: &mut i64) -> Result<i64, String> {
        *reply = 2 * n;
        Ok(*reply)
    }
}

fn main() {}
