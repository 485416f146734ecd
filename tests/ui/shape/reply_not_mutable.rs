use netrpc::service;

struct Arith;

#[service]
impl Arith {
    fn double(&self, n: i64, reply: &i64) -> Result<(), String> {
        let _ = (n, reply);
        Ok(())
    }
}

fn main() {}
