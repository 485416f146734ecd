use netrpc::service;

struct Arith;

#[service]
impl Arith {
    fn multiply(&self, args: Args, reply: &mut i64) {
        *reply = args.a * args.b;
    }
}

fn main() {}
