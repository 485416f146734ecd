use netrpc::service;

struct Arith;

#[derive(serde::Deserialize)]
struct Args {
    a: i64,
    b: i64,
}

#[service]
impl Arith {
    fn multiply(&self, args: Args, reply: &mut i64) {
        *reply = args.a * args.b;
    }
}

fn call(client: &ArithClient) -> netrpc::Call<i64> {
    client.multiply_go(&Args { a: 6, b: 7 })
}

fn main() {
    let _ = call;
}
