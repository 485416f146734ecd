use netrpc::service;

struct Arith;

#[service]
impl Arith {
    async fn divide(&self, (a, b): (i64, i64)) -> Result<i64, ArithError> {
        Ok(a / b)
    }
}

fn main() {}
