use netrpc::service;

struct Arith;

#[service]
impl Arith {
    fn double(&self, n: i64) -> impl Future<Output = Result<i64, String>> {
        async move { Ok(2 * n) }
    }
}

fn main() {}
