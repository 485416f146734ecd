use netrpc::service;

struct Arith;

#[service]
impl Arith {
    fn divide(&self, args: (i64, i64), quotient: &mut i64, remainder: &mut i64) {
        *quotient = args.0 / args.1;
        *remainder = args.0 % args.1;
    }
}

fn main() {}
