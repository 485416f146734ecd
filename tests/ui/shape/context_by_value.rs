use netrpc::service;

struct Arith;

#[service]
impl Arith {
    async fn double(&self, cx: netrpc::Context, n: i64) -> Result<i64, String> {
        cx.cancelled().await;
        Ok(2 * n)
    }
}

fn main() {}
