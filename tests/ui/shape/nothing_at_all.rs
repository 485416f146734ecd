use netrpc::service;

struct Arith;

#[service]
impl Arith {
    fn ping(&self) {}
}

fn main() {}
