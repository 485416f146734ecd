use netrpc::service;

#[service]
trait Arithmetic {
    async fn double(&self, n: i64, reply: &mut i64) -> Result<(), String> {
        *reply = n.checked_mul(2)?;
        Ok(())
    }
}

fn main() {}
