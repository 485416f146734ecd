use netrpc::service;

struct Arith;

#[service]
impl Arith {
    const BASE: i64 = 10;

    #[method(skip)]
    fn new() -> Self {
        Arith
    }
}

fn main() {}
