use netrpc::{Client, service};

struct Arith;

#[service]
impl Arith {
    fn double(&self, n: i64, reply: &mut i64) {
        *reply = 2 * n;
    }
}

fn call(client: &Client) {
    let _ = client.go(ArithClient::DOUBLE, "six");
}

fn main() {
    let _ = call;
}
