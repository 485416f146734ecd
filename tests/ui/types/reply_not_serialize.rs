use netrpc::service;

struct Arith;

#[derive(Default, serde::Deserialize)]
struct Product {
    of: (i64, i64),
    is: i64,
}

#[service]
impl Arith {
    async fn multiply(&self, (a, b): (i64, i64), reply: &mut Product) {
        *reply = Product { of: (a, b), is: a * b };
    }
}

fn main() {}
