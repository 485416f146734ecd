use netrpc::service;

struct Arith;

#[derive(serde::Serialize, serde::Deserialize)]
struct Product {
    of: (i64, i64),
    is: i64,
}

#[service]
impl Arith {
    fn multiply(&self, (a, b): (i64, i64), reply: &mut Product) {
        *reply = Product { of: (a, b), is: a * b };
    }
}

fn main() {}
