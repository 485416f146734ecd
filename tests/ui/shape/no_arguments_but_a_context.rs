use netrpc::service;

struct Arith;

#[service]
impl Arith {
    async fn answer(&self, cx: &netrpc::Context) -> Result<i64, String> {
        cx.cancelled().await;
        Ok(42)
    }
}

fn main() {}
