use netrpc::service;

struct Arith;

#[derive(Default, serde::Serialize)]
struct Product(i64);

#[service]
impl Arith {
    fn multiply(&self, (a, b): (i64, i64), reply: &mut Product) {
        *reply = Product(a * b);
    }
}

fn call(client: &ArithClient) -> netrpc::Call<Product> {
    client.multiply_go(&(6, 7))
}

fn main() {
    let _ = call;
}
