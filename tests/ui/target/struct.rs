use netrpc::service;

#[service]
pub struct Arith {
    pub base: i64,
}

fn main() {}
