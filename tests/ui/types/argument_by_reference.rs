use netrpc::service;

struct Arith;

#[derive(serde::Serialize, serde::Deserialize)]
struct Args {
    a: i64,
    b: i64,
}

#[service]
impl Arith {
    fn multiply(&self, args: &Args, reply: &mut i64) {
        *reply = args.a * args.b;
    }
}

fn main() {}
