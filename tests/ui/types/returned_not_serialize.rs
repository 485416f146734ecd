use netrpc::service;

struct Arith;

#[derive(serde::Deserialize)]
struct Product(i64);

#[service]
impl Arith {
    fn multiply(&self, (a, b): (i64, i64)) -> Result<Product, String> {
        Ok(Product(a * b))
    }
}

fn main() {}
