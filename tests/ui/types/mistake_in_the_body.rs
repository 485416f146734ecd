use netrpc::service;

struct Arith;

#[service]
impl Arith {
    async fn double(&self, n: i64, reply: &mut i64) -> Result<(), String> {
        *reply = 2.0 * n;
        Ok(())
    }
}

fn main() {}
