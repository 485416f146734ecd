use netrpc::service;

macro_rules! double {
    () => {
        fn double(&self, n: i64, reply: &mut i64) {
            *reply = 2 * n;
        }
    };
}

struct Arith;

#[service]
impl Arith {
    double!();
}

fn main() {}
